"""What only the folder promises: where files lie, what a full disk does, and in which order bytes become visible."""

import errno
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from app.domain.digest import digest_of_bytes, hex_of
from app.errors import StoreFull, UploadExpired
from app.objects.local import LocalStore
from app.objects.local_files import room_needed
from app.objects.store import open_store

project = Path(__file__).parents[2]
"""Where a child process finds the package."""


def wait_until_open(path: Path, count: int) -> None:
    """Until this process holds so many descriptors of a file."""
    while True:
        with suppress(FileNotFoundError):
            if [os.readlink(entry) for entry in os.scandir("/proc/self/fd")].count(str(path)) == count:
                return
        time.sleep(0.01)


def test_an_object_lies_under_its_digest_and_a_part_under_its_upload(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "objects")
    with store.stage() as staged:
        staged.write(b"abc")
        staged.place()
    hexadecimal = hex_of(digest_of_bytes(b"abc"))
    store.write_part(UUID(int=7), 3, 0, [b"part"])
    uploaded = {f"uploads/{UUID(int=7).hex}/{name}" for name in ("whole", "3-4")}
    files = {
        str(path.relative_to(tmp_path / "objects")) for path in (tmp_path / "objects").rglob("*") if path.is_file()
    }
    assert files == {f"sha256/{hexadecimal[:2]}/{hexadecimal[2:4]}/{hexadecimal}", *uploaded}
    assert (tmp_path / "objects").stat().st_mode & 0o077 == 0, "private adapters are not for other users of the machine"


def test_a_file_that_is_no_object_is_not_listed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    folder = tmp_path / "sha256" / "ab" / "cd"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("not an object")
    (folder / ("00" * 32)).write_text("an object's name in the wrong folder")
    assert list(store.digests()) == []


def test_a_folder_that_cannot_be_listed_stops_the_listing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "sha256" / "ab").write_text("a file where a folder should be")
    with pytest.raises(NotADirectoryError):
        list(store.digests())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_full_store(number: int) -> None:
    with pytest.raises(StoreFull), room_needed():
        raise OSError(number, os.strerror(number))


def test_other_errors_of_the_disk_stay_what_they_are() -> None:
    with pytest.raises(OSError, match="Input/output"), room_needed():
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_nothing_is_placed_after_a_write_failed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with store.stage() as staged:
        assert staged.file is not None
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, staged.file.fileno())
        os.close(full)
        with pytest.raises(StoreFull):
            staged.write(b"abc")
        with pytest.raises(ValueError):
            staged.place()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(store.digests()) == []


order_check = """
import os, sys
from pathlib import Path
from app.objects.store import open_store

store = open_store(sys.argv[1])
steps = []

def record(name, original):
    def call(*arguments, **options):
        result = original(*arguments, **options)
        target = os.readlink(f"/proc/self/fd/{arguments[0]}") if isinstance(arguments[0], int) else str(arguments[-1])
        steps.append((name, target))
        return result
    return call

os.fsync, os.rename = record("fsync", os.fsync), record("rename", os.rename)
with store.stage() as staged:
    staged.write(b"abc")
    digest = staged.place()
target = str(store.path_of(digest))
root = str(store.root)
rename = steps.index(("rename", target))
(file_sync,) = [index for index, (name, path) in enumerate(steps) if name == "fsync" and "/tmp/" in path.replace(root, "")]
after = [path for name, path in steps[rename + 1 :] if name == "fsync"]
before = {path for name, path in steps[:rename] if name == "fsync"}
assert file_sync < rename, steps
assert after == [os.path.dirname(target)], steps
assert {root, root + "/sha256", os.path.dirname(os.path.dirname(target))} <= before, steps
"""


def test_the_file_is_durable_before_its_name_and_the_name_before_the_return(tmp_path: Path) -> None:
    """In a process of its own, whose fsync and rename are recorded."""
    subprocess.run([sys.executable, "-c", order_check, (tmp_path / "objects").as_uri()], cwd=project, check=True)


def test_a_file_size_limit_of_the_process_leaves_no_object(tmp_path: Path) -> None:
    """A short write in the middle of a chunk: the rest fails, and nothing half written is placed."""
    script = f"""
import resource, signal, sys
from app.objects.store import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store({(tmp_path / "objects").as_uri()!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
try:
    with store.stage() as staged:
        staged.write(b"x" * 3000)
        staged.place()
except OSError as error:
    sys.exit(0 if list(store.digests()) == [] and store.sweep(-60) == 0 else 1)
sys.exit(2)
"""
    subprocess.run([sys.executable, "-c", script], cwd=project, check=True)
    assert list(open_store((tmp_path / "objects").as_uri()).digests()) == []


def test_parts_become_the_object_where_they_lie_and_no_part_is_written_into_it(tmp_path: Path) -> None:
    store, upload = LocalStore(tmp_path), UUID(int=7)
    store.write_part(upload, 2, 5, [b"second"])
    store.write_part(upload, 1, 0, [b"first"])
    whole = store.folder_of(upload) / "whole"

    def late() -> Iterator[bytes]:
        raise AssertionError("nothing is asked of whoever comes too late")
        yield b""

    for _ in range(2):
        # the second time as after a completion that was cut off when its bytes were placed and its row not yet written
        with store.join(upload) as joined:
            assert b"".join(joined.chunks()) == b"firstsecond"
            with pytest.raises(UploadExpired):
                store.write_part(upload, 1, 0, late())
            digest = joined.place()
        assert os.path.samefile(store.path_of(digest), whole), "nothing was copied"
        with pytest.raises(UploadExpired):
            store.write_part(upload, 1, 0, late())
        assert store.missing_parts(upload, [5, 6]) == []
    assert list(store.temporaries.iterdir()) == []
    store.discard_upload(upload)
    assert b"".join(store.read(digest)) == b"firstsecond"


def test_joining_waits_for_whoever_still_writes(tmp_path: Path) -> None:
    store, upload = LocalStore(tmp_path), UUID(int=7)
    store.write_part(upload, 1, 0, [b"first"])
    is_writing, may_end = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        is_writing.set()
        may_end.wait()
        yield b"again"

    def join() -> bytes:
        with store.join(upload) as joined:
            return b"".join(joined.chunks())

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(store.write_part, upload, 1, 0, slow())
        is_writing.wait()
        joining = pool.submit(join)
        with pytest.raises(TimeoutError):
            joining.result(0.2)
        may_end.set()
        assert writing.result() == 5
        assert joining.result() == b"again"


def test_an_upload_that_is_discarded_while_it_is_joined_expired(tmp_path: Path) -> None:
    store, upload = LocalStore(tmp_path), UUID(int=7)
    path = store.folder_of(upload) / "whole"

    def join() -> None:
        with store.join(upload):
            raise AssertionError("what is gone cannot be joined")

    store.write_part(upload, 1, 0, [b"first"])
    with ThreadPoolExecutor(1) as pool:
        with store.join(upload) as joined:
            later = pool.submit(join)
            wait_until_open(path, 2)
            b"".join(joined.chunks())
            store.discard_upload(upload)
            with pytest.raises(UploadExpired):
                joined.place()
        with pytest.raises(UploadExpired):
            later.result()
    store.write_part(upload, 1, 0, [b"first"])
    early = store.join(upload)
    store.discard_upload(upload)
    with pytest.raises(UploadExpired), early:
        raise AssertionError("what is gone cannot be joined")
    assert list(store.digests()) == []
    assert list(store.temporaries.iterdir()) == []


def test_names_that_are_none_of_ours_do_not_stop_the_sweep(tmp_path: Path) -> None:
    store, upload = LocalStore(tmp_path), UUID(int=7)
    store.write_part(upload, 1, 0, [b"first"])
    for name in (".nfs0001", "x-5", "1-", "1-5-2"):
        (store.folder_of(upload) / name).write_text("not a part")
    (store.uploads / "lost+found").mkdir()
    (store.uploads / ".DS_Store").write_text("not an upload")
    assert store.missing_parts(upload, [5, 5]) == [2]
    with store.join(upload) as joined:
        assert b"".join(joined.chunks()) == b"first"
    assert store.sweep(-60) == 1
    assert {path.name for path in store.uploads.iterdir()} == {"lost+found", ".DS_Store"}


def test_an_upload_that_is_begun_again_is_not_swept(tmp_path: Path) -> None:
    store, upload = LocalStore(tmp_path), UUID(int=7)
    store.begin_upload(upload)
    store.write_part(upload, 1, 0, [b"first"])
    os.utime(store.folder_of(upload), (0, 0))
    store.begin_upload(upload)
    assert store.sweep(3600) == 0
    assert store.missing_parts(upload, [5]) == []
    os.utime(store.folder_of(upload), (0, 0))
    assert store.sweep(3600) == 1


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("is_begun_anew", [False, True])
def test_a_part_of_an_upload_that_is_discarded_meanwhile_is_not_there(
    tmp_path: Path, is_there: bool, is_begun_anew: bool
) -> None:
    store, upload = LocalStore(tmp_path), UUID(int=7)
    if is_there:
        store.write_part(upload, 1, 0, [b"first"])

    def slow() -> Iterator[bytes]:
        yield b"fir"
        store.discard_upload(upload)
        if is_begun_anew:
            store.write_part(upload, 2, 5, [b"second"])
        yield b"st"

    with pytest.raises(UploadExpired):
        store.write_part(upload, 1, 0, slow())
    assert store.missing_parts(upload, [5, 6]) == ([1] if is_begun_anew else [1, 2])
