"""Versions: written once, found by number, alias, commit or digest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.domain.adapter import Adapter, Checkpoint
from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.digest import Digest
from app.domain.lineage import Edge, Kind, Relation, Role, VersionState
from app.domain.names import key_of
from app.domain.number import VersionNumber
from app.domain.reference import Selector
from app.domain.version import File, Parent, Version
from app.lineage import tables as t
from app.lineage.access import can_read_version
from app.lineage.codec import dump_base, dump_facts, load_base, load_facts

Author = aliased(t.Namespace)


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Everything that is written of a version when it is published."""

    id: UUID
    repository_id: UUID
    number: VersionNumber
    digest: Digest
    content_digest: Digest
    commit_id: str
    base_model: BaseModel | None
    summary: dict[str, Any]
    facts: Adapter | Checkpoint
    license: str | None
    datasets: Sequence[Any]
    metrics: Mapping[str, Any]
    notes: str | None
    is_exact_linear: bool
    created_by: UUID
    created_at: datetime
    edges: Sequence[Edge]


def selection(caller: Caller) -> Any:
    """The versions that the caller may read."""
    return all_versions().where(can_read_version(caller))


def all_versions() -> Any:
    v, r, n = t.Version, t.Repository, t.Namespace
    return (
        select(
            v.id,
            v.repository_id,
            r.namespace_id,
            (n.name + "/" + r.name).label("repository"),
            r.visibility,
            r.kind,
            v.major,
            v.minor,
            v.patch,
            v.digest,
            v.content_digest,
            v.commit_id,
            v.base_model,
            v.summary,
            v.license,
            v.datasets,
            v.metrics,
            v.notes,
            Author.name.label("created_by"),
            v.created_at,
            v.state,
            v.is_exact_linear,
            v.deleted_at,
        )
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .join(Author, Author.id == v.created_by)
    )


def version_of(row: Row[Any], files: tuple[File, ...] = (), parents: tuple[Parent, ...] = ()) -> Version:
    return Version(
        id=row.id,
        repository_id=row.repository_id,
        namespace_id=row.namespace_id,
        repository=row.repository,
        is_public=row.visibility == "public",
        kind=Kind(row.kind),
        number=VersionNumber(row.major, row.minor, row.patch),
        digest=row.digest,
        content_digest=row.content_digest,
        commit=row.commit_id,
        base_model=load_base(row.base_model),
        summary=row.summary,
        license=row.license,
        datasets=tuple(row.datasets),
        metrics=row.metrics,
        notes=row.notes,
        created_by=row.created_by,
        created_at=row.created_at,
        state=VersionState(row.state),
        is_exact_linear=row.is_exact_linear,
        deleted_at=row.deleted_at,
        files=files,
        parents=parents,
    )


def insert_version(tx: Connection, version: NewVersion) -> bool:
    """False if the number is taken. Writes the version, its edges, and the closure of its contents."""
    statement = (
        insert(t.Version)
        .values(
            id=version.id,
            repository_id=version.repository_id,
            major=version.number.major,
            minor=version.number.minor,
            patch=version.number.patch,
            digest=version.digest,
            content_digest=version.content_digest,
            commit_id=version.commit_id,
            base_model=dump_base(version.base_model),
            summary=version.summary,
            facts=dump_facts(version.facts),
            license=version.license,
            datasets=list(version.datasets),
            metrics=dict(version.metrics),
            notes=version.notes,
            is_exact_linear=version.is_exact_linear,
            created_by=version.created_by,
            created_at=version.created_at,
            state="published",
        )
        .on_conflict_do_nothing(index_elements=["repository_id", "major", "minor", "patch"])
        .returning(t.Version.id)
    )
    if tx.execute(statement).first() is None:
        return False
    if version.edges:
        tx.execute(
            insert(t.Edge),
            [
                {
                    "child_id": version.id,
                    "position": position,
                    "parent_id": edge.parent,
                    "relation": edge.relation.value,
                    "weight": edge.weight,
                    "role": None if edge.role is None else edge.role.value,
                }
                for position, edge in enumerate(version.edges)
            ],
        )
    sources = [e.parent for e in version.edges if e.relation in {Relation.MERGED_FROM, Relation.EXTRACTED_FROM}]
    if sources:
        c = t.VersionContent
        closure = (
            select(literal(version.id), t.Version.id)
            .where(t.Version.id.in_(sources))
            .union(select(literal(version.id), c.member_id).where(c.version_id.in_(sources)))
        )
        tx.execute(insert(c).from_select(["version_id", "member_id"], closure))
    return True


def find(
    tx: Connection, repository: UUID, selector: Selector, caller: Caller, *, to_delete: bool = False
) -> Version | None:
    """The version that a selector names, living or deleted, with files and parents; None if the caller may not read it.
    `to_delete`: for who may delete it, which nothing in its contents can take away from them.

    A digest's prefix that fits several versions names none of them. `latest` is the highest number unless an alias of
    that name exists; `main` is the version of the head commit.
    """
    v = t.Version
    statement = (all_versions() if to_delete else selection(caller)).where(v.repository_id == repository)
    enough = 2
    if selector.number is not None:
        number = selector.number
        statement = statement.where(v.major == number.major, v.minor == number.minor, v.patch == number.patch)
    elif selector.commit is not None:
        statement = statement.where(v.commit_id == selector.commit)
    elif selector.digest is not None:
        statement = statement.where(v.digest.startswith(selector.digest, autoescape=True))
    elif selector.alias == "main":
        head = select(t.Ref.commit_id).where(t.Ref.repository_id == repository, t.Ref.name == "main").scalar_subquery()
        statement = statement.where(v.commit_id == head)
    else:
        key = key_of(selector.alias or "")
        aliased_id = tx.execute(
            select(t.Alias.version_id).where(t.Alias.repository_id == repository, t.Alias.key == key)
        ).scalar()
        if aliased_id is not None:
            statement = statement.where(v.id == aliased_id)
        elif key == "latest":
            statement = statement.where(v.state == "published").order_by(v.major.desc(), v.minor.desc(), v.patch.desc())
            enough = 1
        else:
            return None
    rows = tx.execute(statement.limit(enough)).all()
    if len(rows) != 1:
        return None
    return whole(tx, rows[0], caller)


def get(tx: Connection, id: UUID, caller: Caller) -> Version | None:
    row = tx.execute(selection(caller).where(t.Version.id == id)).first()
    return None if row is None else whole(tx, row, caller)


def get_many(tx: Connection, ids: Sequence[UUID], caller: Caller) -> list[Version]:
    """Those of the versions that the caller may read."""
    if not ids:
        return []
    return with_details(tx, tx.execute(selection(caller).where(t.Version.id.in_(ids))).all(), caller)


def is_deleted(tx: Connection, id: UUID) -> bool:
    return tx.execute(select(t.Version.state).where(t.Version.id == id)).scalar_one() == "deleted"


def whole(tx: Connection, row: Row[Any], caller: Caller) -> Version:
    return version_of(row, files_of(tx, [row.id])[row.id], parents_of(tx, [row.id], caller)[row.id])


def list_versions(
    tx: Connection, repository: UUID, caller: Caller, after: VersionNumber | None, limit: int
) -> list[Version]:
    """Published and recalled versions that the caller may read, newest number first, with files and parents."""
    v = t.Version
    statement = selection(caller).where(v.repository_id == repository, v.state != "deleted")
    if after is not None:
        statement = statement.where(tuple_(v.major, v.minor, v.patch) < (after.major, after.minor, after.patch))
    statement = statement.order_by(v.major.desc(), v.minor.desc(), v.patch.desc()).limit(limit)
    return with_details(tx, tx.execute(statement).all(), caller)


def with_details(tx: Connection, rows: Sequence[Row[Any]], caller: Caller) -> list[Version]:
    ids = [row.id for row in rows]
    files, parents = files_of(tx, ids), parents_of(tx, ids, caller)
    return [version_of(row, files[row.id], parents[row.id]) for row in rows]


def files_of(tx: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[File, ...]]:
    v, e, b = t.Version, t.TreeEntry, t.Blob
    statement = (
        select(v.id, e.path, e.digest, b.size_bytes, b.kind)
        .join(t.Commit, t.Commit.id == v.commit_id)
        .join(e, e.tree == t.Commit.tree)
        .join(b, b.digest == e.digest)
        .where(v.id.in_(ids))
        .order_by(func.convert_to(e.path, "UTF8"))
    )
    files: dict[UUID, list[File]] = {id: [] for id in ids}
    for row in tx.execute(statement):
        files[row.id].append(File(row.path, row.digest, row.size_bytes, row.kind))
    return {id: tuple(found) for id, found in files.items()}


def parents_of(tx: Connection, ids: Sequence[UUID], caller: Caller) -> dict[UUID, tuple[Parent, ...]]:
    e, v, r, n = t.Edge, t.Version, t.Repository, t.Namespace
    statement = (
        select(
            e.child_id,
            e.parent_id,
            e.relation,
            e.weight,
            e.role,
            (n.name + "/" + r.name).label("repository"),
            r.visibility,
            v.major,
            v.minor,
            v.patch,
            v.digest,
            can_read_version(caller).label("is_readable"),
        )
        .join(v, v.id == e.parent_id)
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .where(e.child_id.in_(ids))
        .order_by(e.child_id, e.position)
    )
    parents: dict[UUID, list[Parent]] = {id: [] for id in ids}
    for row in tx.execute(statement):
        parents[row.child_id].append(
            Parent(
                version=row.parent_id,
                relation=Relation(row.relation),
                weight=row.weight,
                role=None if row.role is None else Role(row.role),
                reference=f"{row.repository}@{VersionNumber(row.major, row.minor, row.patch)}",
                digest=row.digest,
                is_readable=row.is_readable,
                is_public=row.visibility == "public",
            )
        )
    return {id: tuple(found) for id, found in parents.items()}


def newest(tx: Connection, repository: UUID) -> tuple[VersionNumber, Digest, UUID] | None:
    """The highest number ever used, whatever its state, with its content digest."""
    v = t.Version
    statement = (
        select(v.major, v.minor, v.patch, v.content_digest, v.id)
        .where(v.repository_id == repository)
        .order_by(v.major.desc(), v.minor.desc(), v.patch.desc())
        .limit(1)
    )
    row = tx.execute(statement).first()
    return None if row is None else (VersionNumber(row.major, row.minor, row.patch), row.content_digest, row.id)


def is_taken(tx: Connection, repository: UUID, number: VersionNumber) -> bool:
    v = t.Version
    statement = select(v.id).where(
        v.repository_id == repository, v.major == number.major, v.minor == number.minor, v.patch == number.patch
    )
    return tx.execute(statement).first() is not None


def mark_deleted(tx: Connection, id: UUID, by: UUID) -> None:
    statement = update(t.Version).where(t.Version.id == id, t.Version.state != "deleted")
    tx.execute(statement.values(state="deleted", deleted_at=func.now(), deleted_by=by))


def facts_of(tx: Connection, ids: Iterable[UUID]) -> dict[UUID, Adapter | Checkpoint]:
    statement = select(t.Version.id, t.Version.facts).where(t.Version.id.in_(list(ids)))
    return {row.id: load_facts(row.facts) for row in tx.execute(statement)}


def edges_of(tx: Connection, id: UUID) -> tuple[Edge, ...]:
    e = t.Edge
    statement = select(e.parent_id, e.relation, e.weight, e.role).where(e.child_id == id).order_by(e.position)
    return tuple(
        Edge(row.parent_id, Relation(row.relation), row.weight, None if row.role is None else Role(row.role))
        for row in tx.execute(statement)
    )


def holding(tx: Connection, digest: str, caller: Caller, limit: int) -> list[tuple[Version, str]]:
    """Published versions that hold a file with this digest, oldest first, with the file's path."""
    v = t.Version
    statement = (
        selection(caller)
        .add_columns(t.TreeEntry.path)
        .join(t.Commit, t.Commit.id == v.commit_id)
        .join(t.TreeEntry, t.TreeEntry.tree == t.Commit.tree)
        .where(t.TreeEntry.digest == digest, v.state == "published", t.Repository.deleted_at.is_(None))
        .order_by(v.created_at, v.id, t.TreeEntry.path)
        .limit(limit)
    )
    rows = tx.execute(statement).all()
    return list(zip(with_details(tx, rows, caller), [row.path for row in rows], strict=True))


def models_of_base(tx: Connection, base: BaseModel, names: Sequence[str], caller: Caller) -> list[Version]:
    """Published model versions that may be this base, newest number first: by content digest, else by repository name."""
    v, r, n = t.Version, t.Repository, t.Namespace
    statement = selection(caller).where(r.kind == "model", v.state == "published", r.deleted_at.is_(None))
    if base.digest is not None:
        statement = statement.where(v.content_digest == base.digest)
    else:
        statement = statement.where(func.lower(n.name + "/" + r.name).in_([name.lower() for name in names]))
    statement = statement.order_by(v.major.desc(), v.minor.desc(), v.patch.desc()).limit(200)
    return with_details(tx, tx.execute(statement).all(), caller)
