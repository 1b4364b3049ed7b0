"""Long histories: what is asked of their end does not read all of them, and what is asked of their beginning is found."""

import pytest
from sqlalchemy import text

from app.domain.caller import Caller
from app.lineage import history
from tests.api.conftest import Registry, User, done, make_adapter
from tests.hub import talking
from tests.hub.talking import create, get, line, pushed

length = 3_000
more_commits = text(
    """
    WITH numbered AS (
        SELECT number, lpad(number::text, 40, '0') AS id FROM generate_series(1, :count) AS number
    ), made AS (
        INSERT INTO commits (id, repository_id, parents, tree, author_id, message, created_at, card, tags)
        SELECT numbered.id, head.repository_id,
            ARRAY[CASE number WHEN 1 THEN head.id ELSE lpad((number - 1)::text, 40, '0') END],
            head.tree, head.author_id, 'number ' || number, head.created_at + number * interval '1 s', '{}', '{}'
        FROM numbered, commits AS head WHERE head.id = :head
        RETURNING id
    )
    UPDATE refs SET commit_id = (SELECT max(id) FROM made) WHERE commit_id = :head AND name = 'main'
    """
)
read_rows = text(
    "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables WHERE relname = 'commits'"
)


def with_long_history(registry: Registry, alice: User) -> str:
    """A repository, its files of a first commit, that many others follow which change nothing."""
    name = create(alice, "long")
    pushed(alice, name, {"README.md": b"# One", "sub/a.txt": b"a"})
    head = get(alice, f"/api/models/{name}").json()["sha"]
    with registry.services.database.begin() as tx:
        tx.execute(more_commits, {"count": length, "head": head})
    return name


def test_a_file_tells_its_last_change_however_long_ago(registry: Registry) -> None:
    alice = registry.user("alice")
    name = with_long_history(registry, alice)
    pushed(alice, name, {"new.txt": b"new"})
    entries = get(alice, f"/api/models/{name}/tree/main?recursive=true&expand=true").json()
    assert {entry["path"]: entry["lastCommit"]["title"] for entry in entries} == {
        "README.md": "A commit",
        "new.txt": "A commit",
        "sub": "A commit",
        "sub/a.txt": "A commit",
    }
    ids = {entry["path"]: entry["lastCommit"]["id"] for entry in entries}
    listed = get(alice, f"/api/models/{name}/commits/main?limit=1").json()
    assert ids["new.txt"] == listed[0]["id"] != ids["README.md"] == ids["sub"] == ids["sub/a.txt"]
    asked = alice.request("POST", f"/api/models/{name}/paths-info/main", json={"paths": ["sub/a.txt"], "expand": True})
    assert asked.json()[0]["lastCommit"]["id"] == ids["sub/a.txt"]


@pytest.mark.parametrize("what", ["head", "page"])
def test_the_end_of_a_history_is_read_without_the_rest(registry: Registry, what: str) -> None:
    alice = registry.user("alice")
    with_long_history(registry, alice)
    with registry.services.database.begin() as tx:
        tx.execute(text("ANALYZE commits"))
        repository = tx.execute(text("SELECT id FROM repositories")).scalar_one()
    with registry.services.database.read() as tx:
        before = tx.execute(read_rows).scalar_one()
        head = history.at_ref(tx, repository, "main", Caller())
        assert head is not None
        assert head.message == f"number {length}"
        if what == "page":
            shown, following = history.page(tx, repository, head.id, Caller(), 20)
            assert ([commit.message for commit in shown][-1], following) == (
                f"number {length - 19}",
                f"{length - 20:040}",
            )
        assert tx.execute(read_rows).scalar_one() - before < 200


def test_what_a_hidden_commit_changed_was_changed_by_the_next_one(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    name = create(alice, "one")
    pushed(alice, name, make_adapter(1).files | {"README.md": b"# One", "old.txt": b"old"})
    changed = pushed(alice, name, {"README.md": b"# Two", "notes.txt": b"notes"})
    kept = pushed(alice, name, {"other.txt": b"other"})
    assert alice.delete(f"/repositories/{name}/versions/1.0.1").status_code == 204
    last = {
        entry["path"]: entry["lastCommit"]["id"]
        for entry in get(bob, f"/api/models/{name}/tree/main?expand=true").json()
    }
    assert changed not in last.values()
    assert {path for path, id in last.items() if id == kept} == {"README.md", "notes.txt", "other.txt"}
    # and what was removed meanwhile and came back was changed when it came back
    pushed(alice, name, {}, remove=["old.txt"])
    back = done(
        talking.post(
            alice, name, talking.header() + line("copyFile", path="old.txt", srcPath="old.txt", srcRevision="1.0.0")
        )
    )
    entries = get(bob, f"/api/models/{name}/tree/main?expand=true").json()
    assert next(entry["lastCommit"]["id"] for entry in entries if entry["path"] == "old.txt") == back["commitOid"]
