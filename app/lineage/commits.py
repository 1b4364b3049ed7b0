"""Trees, commits and refs: every state of a repository's files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Text,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.domain.commit import Commit
from app.domain.digest import Digest, digest_of_json, hex_of
from app.domain.lineage import Edge, Relation, Role
from app.domain.number import VersionNumber
from app.domain.version import File
from app.lineage import tables as t
from app.lineage.access import can_read_commit, values_of
from app.lineage.codec import load_base
from app.lineage.prepared import Prepared, inserting

main = "main"
Own, Origin = aliased(t.Version), aliased(t.Version)
"""Of a commit: the version that it is, and the one that decides who may read it; made once, for that costs more than to ask."""

unreachable_commits = text(
    """
    WITH RECURSIVE reachable AS (
        SELECT commits.id, commits.parents FROM commits
        WHERE commits.repository_id = :repository
        AND (
            EXISTS (SELECT FROM refs WHERE refs.commit_id = commits.id)
            OR EXISTS (SELECT FROM versions WHERE versions.commit_id = commits.id)
        )
        UNION
        SELECT commits.id, commits.parents FROM reachable JOIN commits ON commits.id = ANY(reachable.parents)
    )
    DELETE FROM commits WHERE repository_id = :repository AND id NOT IN (SELECT id FROM reachable)
    """
)

changed_paths = Prepared(
    text(
        """
        INSERT INTO changes (commit_id, path)
        SELECT :id, entry.path FROM tree_entries AS entry
        WHERE entry.tree = :tree AND NOT EXISTS (
            SELECT FROM commits JOIN tree_entries AS before ON before.tree = commits.tree
            WHERE commits.id = :parent AND before.path = entry.path AND before.digest = entry.digest
        )
        """
    )
)
insert_tree = Prepared(inserting(t.Tree.id).on_conflict_do_nothing(index_elements=["id"]).returning(t.Tree.id))
insert_entries = Prepared(
    text(
        "INSERT INTO tree_entries (tree, path, digest)"
        " SELECT :tree, path, digest FROM unnest(CAST(:paths AS text[]), CAST(:digests AS text[])) AS entry (path, digest)"
    )
)
insert_commit = Prepared(
    inserting(
        t.Commit.id,
        t.Commit.repository_id,
        t.Commit.parents,
        t.Commit.tree,
        t.Commit.author_id,
        t.Commit.message,
        t.Commit.created_at,
        t.Commit.card,
        t.Commit.tags,
        t.Commit.origin_id,
    ).values(words=func.to_tsvector("english", bindparam("readme", type_=Text)))
)
head_of_ref = Prepared(
    select(t.Ref.commit_id).where(t.Ref.repository_id == bindparam("repository"), t.Ref.name == bindparam("ref"))
)
point_ref = inserting(t.Ref.repository_id, t.Ref.name, t.Ref.commit_id)
set_ref = Prepared(
    point_ref.on_conflict_do_update(
        index_elements=["repository_id", "name"],
        set_={"commit_id": point_ref.excluded.commit_id, "updated_at": func.now()},
    )
)


@dataclass(frozen=True, slots=True)
class NewCommit:
    repository: UUID
    tree: str
    parents: tuple[str, ...]
    author: UUID
    author_name: str
    message: str
    card: Mapping[str, Any]
    tags: Sequence[str] = ()
    origin: UUID | None = None
    readme: str = ""
    """What the repository can be found by, besides."""


@dataclass(frozen=True, slots=True)
class Ref:
    name: str
    commit: str


def put_tree(tx: Connection, files: Mapping[str, str]) -> str:
    """The id of the tree with these files (path → digest); equal trees are one."""
    id = tree_id(files)
    if insert_tree.first(tx, {"id": id}) is not None and files:
        paths = sorted(files)
        insert_entries.run(tx, {"tree": id, "paths": paths, "digests": [files[path] for path in paths]})
    return id


def tree_id(files: Mapping[str, str]) -> str:
    return digest_of_json(dict(files))


def commit(tx: Connection, new: NewCommit) -> str:
    """Writes a commit and returns its id: the first 40 hex digits of the sha256 of its record."""
    now = datetime.now(UTC)
    record = {
        "repository": str(new.repository),
        "parents": list(new.parents),
        "tree": new.tree,
        "author": new.author_name,
        "time": now.isoformat(),
        "message": new.message,
    }
    id = hex_of(digest_of_json(record))[:40]
    row = {
        "id": id,
        "repository_id": new.repository,
        "parents": list(new.parents),
        "tree": new.tree,
        "author_id": new.author,
        "message": new.message,
        "created_at": now,
        "card": dict(new.card),
        "tags": list(new.tags),
        "origin_id": new.origin,
        "readme": new.readme,
    }
    insert_commit.run(tx, row)
    changed_paths.run(tx, {"id": id, "tree": new.tree, "parent": new.parents[0] if new.parents else None})
    return id


def begin(tx: Connection, repository: UUID, author: UUID, author_name: str) -> None:
    """The first commit of a repository, without files: every history has a beginning, that others stand on."""
    tree = put_tree(tx, {})
    first = commit(tx, NewCommit(repository, tree, (), author, author_name, "initial commit", {}))
    move_ref(tx, repository, first)


def head(tx: Connection, repository: UUID, ref: str = main) -> str | None:
    """The commit that a ref points to."""
    row = head_of_ref.first(tx, {"repository": repository, "ref": ref})
    return None if row is None else row.commit_id


def move_ref(tx: Connection, repository: UUID, commit_id: str, ref: str = main) -> None:
    set_ref.run(tx, {"repository_id": repository, "name": ref, "commit_id": commit_id})


def drop_ref(tx: Connection, repository: UUID, ref: str) -> bool:
    """Whether it was there. Commits that nothing leads to any more go with it, and then their files."""
    statement = delete(t.Ref).where(t.Ref.repository_id == repository, t.Ref.name == ref)
    if tx.execute(statement).rowcount == 0:
        return False
    tx.execute(unreachable_commits, {"repository": repository})
    return True


def selection(caller: Caller) -> Any:
    """The commits that the caller may read."""
    c, r, n, v, origin = t.Commit, t.Repository, t.Namespace, Own, Origin
    return (
        select(
            c.id,
            c.repository_id,
            c.tree,
            c.parents,
            n.name.label("author"),
            c.message,
            c.created_at,
            c.card,
            c.tags,
            v.major,
            v.minor,
            v.patch,
            v.base_model,
        )
        .join(r, r.id == c.repository_id)
        .join(n, n.id == c.author_id)
        .outerjoin(v, v.commit_id == c.id)
        .outerjoin(origin, origin.id == c.origin_id)
        .where(can_read_commit(caller, v, origin))
    )


def commit_of(row: Any) -> Commit:
    return Commit(
        id=row.id,
        repository_id=row.repository_id,
        tree=row.tree,
        parents=tuple(row.parents),
        author=row.author,
        message=row.message,
        created_at=row.created_at,
        number=None if row.major is None else VersionNumber(row.major, row.minor, row.patch),
        base_model=load_base(row.base_model),
        card=row.card,
        tags=tuple(row.tags),
    )


@cache
def at_id(is_admin: bool, sees_public: bool) -> Prepared:
    """A commit by `repository` and `id`, for such callers."""
    c = t.Commit
    found = selection(Caller(is_admin=is_admin, sees_public=sees_public))
    return Prepared(found.where(c.repository_id == bindparam("repository"), c.id == bindparam("id")))


def get(tx: Connection, repository: UUID, id: str, caller: Caller) -> Commit | None:
    """None if it is not there, deleted, or not for the caller."""
    values = {"repository": repository, "id": id, **values_of(caller)}
    row = at_id(caller.is_admin, caller.sees_public).first(tx, values)
    return None if row is None else commit_of(row)


def with_prefix(tx: Connection, repository: UUID, prefix: str) -> str | None:
    """The id that alone begins with these hex digits."""
    c = t.Commit
    statement = select(c.id).where(c.repository_id == repository, c.id.startswith(prefix, autoescape=True)).limit(2)
    found = list(tx.execute(statement).scalars())
    return found[0] if len(found) == 1 else None


def refs(tx: Connection, repository: UUID) -> list[Ref]:
    """Branches by name, `main` first."""
    f = t.Ref
    statement = select(f.name, f.commit_id).where(f.repository_id == repository).order_by(f.name != main, f.name)
    return [Ref(row.name, row.commit_id) for row in tx.execute(statement)]


def files_of(tx: Connection, tree: str) -> tuple[File, ...]:
    """By path."""
    e, b = t.TreeEntry, t.Blob
    statement = (
        select(e.path, e.digest, b.size_bytes, b.kind, b.git_sha1)
        .join(b, b.digest == e.digest)
        .where(e.tree == tree)
        .order_by(func.convert_to(e.path, "UTF8"))
    )
    return tuple(
        File(row.path, Digest(row.digest), row.size_bytes, row.kind, row.git_sha1) for row in tx.execute(statement)
    )


def version_before(tx: Connection, commit_id: str) -> UUID | None:
    """The version that a commit is, or else the last one before it."""
    found = select(t.Version.id).where(t.Version.commit_id == commit_id)
    own = tx.execute(found).scalar()
    return own or tx.execute(select(t.Commit.origin_id).where(t.Commit.id == commit_id)).scalar()


def weight_holders(repository: UUID, digests: Collection[str]) -> Any:
    """The versions of a repository, deleted ones too, that hold weights with one of these digests, under whatever name."""
    v, c, e, b = t.Version, t.Commit, t.TreeEntry, t.Blob
    return (
        select(v.id)
        .join(c, c.id == v.commit_id)
        .join(e, e.tree == c.tree)
        .join(b, b.digest == e.digest)
        .where(v.repository_id == repository, b.kind == "safetensors", b.digest.in_(list(digests)))
    )


def made_of(tx: Connection, repository: UUID, digests: Collection[str]) -> list[Edge]:
    """What went into the versions of a repository that hold weights with one of these digests: each parent once."""
    e = t.Edge
    statement = (
        select(e.parent_id, e.relation, e.weight, e.role)
        .where(e.child_id.in_(weight_holders(repository, digests)), e.relation.in_(["merged_from", "extracted_from"]))
        .ext(distinct_on(e.parent_id, e.relation))
        .order_by(e.parent_id, e.relation, e.position, e.child_id)
    )
    return [
        Edge(row.parent_id, Relation(row.relation), row.weight, None if row.role is None else Role(row.role))
        for row in tx.execute(statement)
    ]


def origin_of(tx: Connection, repository: UUID, head_id: str, digests: Collection[str]) -> tuple[UUID | None, bool]:
    """The version that decides who may read a commit with these files that is none, and whether it decides for all of them.

    The version before the commit's own, or one that holds the same weights and was made of more.
    """
    before = version_before(tx, head_id)
    m = t.VersionContent
    asked = m.version_id.in_(weight_holders(repository, digests))
    statement = (
        select(m.version_id, func.array_agg(m.member_id))
        .where(or_(asked, m.version_id == before))
        .group_by(m.version_id)
        .order_by(m.version_id != before, m.version_id)
    )
    found = {id: set(members) for id, members in tx.execute(statement)}
    if not found:
        return before, True
    whole = set().union(*found.values())
    most = max(found, key=lambda id: len(found[id]))
    return most, found[most] == whole
