"""What a .gitignore leaves out, as git says."""

import subprocess
from pathlib import Path

from app.formats.gitignore import Ignored

rules = """
# a comment
*.log
!kept.log
/build/
docs/*.txt
**/cache
deep/**/leaf
a?c
[xy]z
[!p]q
with\\ space
\\#hash
name/
trailing/**
logs/*
!logs/keep.txt
all/**
!all/keep.txt
[
"""
paths = [
    "a.log", "sub/a.log", "kept.log", "sub/kept.log", "build/x", "sub/build/x", "docs/a.txt", "docs/sub/a.txt", "cache/x",
    "sub/cache", "deep/leaf", "deep/a/b/leaf", "abc", "ac", "a/c", "xz", "zz", "pq", "rq", "with space", "#hash", "name",
    "other/name/file", "trailing/x/y", "plain.txt", "sub/plain.txt", "build",
    "logs/a.txt", "logs/keep.txt", "logs/sub/a.txt", "all/a.txt", "all/keep.txt", "all/sub/a.txt",
]  # fmt: skip


def test_the_same_files_are_left_out_as_by_git(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text(rules)
    ignored = Ignored(rules)
    # git looks at what is there: each alone, for some are folders of others
    for path in paths:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        asked = subprocess.run(["git", "-C", str(tmp_path), "check-ignore", "-q", "--no-index", path], check=False)
        assert (path in ignored) is (asked.returncode == 0), path
        file.unlink()
        while file.parent != tmp_path:
            file = file.parent
            file.rmdir()
