"""Trees, commits and refs: every state of a repository's files."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from app.domain.digest import digest_of_json, hex_of
from app.lineage import tables as t


def put_tree(tx: Connection, files: Mapping[str, str]) -> str:
    """The id of the tree with these files (path → digest); equal trees are one."""
    id = digest_of_json(dict(files))
    statement = insert(t.Tree).values(id=id).on_conflict_do_nothing(index_elements=["id"]).returning(t.Tree.id)
    if tx.execute(statement).first() is not None and files:
        tx.execute(
            insert(t.TreeEntry),
            [{"tree": id, "path": path, "digest": digest} for path, digest in sorted(files.items())],
        )
    return id


def commit(
    tx: Connection, repository: UUID, tree: str, parents: Sequence[str], author: UUID, author_name: str, message: str
) -> str:
    """Writes a commit and returns its id: the first 40 hex digits of the sha256 of its record."""
    now = datetime.now(UTC)
    record = {
        "repository": str(repository),
        "parents": list(parents),
        "tree": tree,
        "author": author_name,
        "time": now.isoformat(),
        "message": message,
    }
    id = hex_of(digest_of_json(record))[:40]
    tx.execute(
        insert(t.Commit).values(
            id=id,
            repository_id=repository,
            parents=list(parents),
            tree=tree,
            author_id=author,
            message=message,
            created_at=now,
        )
    )
    return id


def head(tx: Connection, repository: UUID, ref: str = "main") -> str | None:
    """The commit that a ref points to."""
    return tx.execute(select(t.Ref.commit_id).where(t.Ref.repository_id == repository, t.Ref.name == ref)).scalar()


def move_ref(tx: Connection, repository: UUID, commit_id: str, ref: str = "main") -> None:
    statement = insert(t.Ref).values(repository_id=repository, name=ref, commit_id=commit_id)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["repository_id", "name"],
            set_={"commit_id": statement.excluded.commit_id, "updated_at": func.now()},
        )
    )
