"""Versions: written once, found by number, alias, commit or digest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, and_, any_, bindparam, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from app.domain.adapter import Adapter, Checkpoint
from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.digest import Digest
from app.domain.lineage import Edge, Relation, Role, VersionState
from app.domain.names import RepositoryName, key_of
from app.domain.number import VersionNumber
from app.domain.reference import Selector
from app.domain.version import File, Version
from app.lineage import tables as t
from app.lineage.access import values_of
from app.lineage.codec import dump_base, dump_facts, load_facts
from app.lineage.engine import Database
from app.lineage.prepared import Prepared, inserting
from app.lineage.version_rows import all_versions, condition, named_by, selection, version_of


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


insert_row = Prepared(
    inserting(
        t.Version.id,
        t.Version.repository_id,
        t.Version.major,
        t.Version.minor,
        t.Version.patch,
        t.Version.digest,
        t.Version.content_digest,
        t.Version.commit_id,
        t.Version.base_model,
        t.Version.summary,
        t.Version.facts,
        t.Version.license,
        t.Version.datasets,
        t.Version.metrics,
        t.Version.notes,
        t.Version.is_exact_linear,
        t.Version.created_by,
        t.Version.created_at,
        t.Version.state,
    )
    .on_conflict_do_nothing(index_elements=["repository_id", "major", "minor", "patch"])
    .returning(t.Version.id)
)


def insert_version(tx: Connection, version: NewVersion) -> bool:
    """False if the number is taken. Writes the version, its edges, and the closure of its contents."""
    row = {
        "id": version.id,
        "repository_id": version.repository_id,
        "major": version.number.major,
        "minor": version.number.minor,
        "patch": version.number.patch,
        "digest": version.digest,
        "content_digest": version.content_digest,
        "commit_id": version.commit_id,
        "base_model": dump_base(version.base_model),
        "summary": version.summary,
        "facts": dump_facts(version.facts),
        "license": version.license,
        "datasets": list(version.datasets),
        "metrics": dict(version.metrics),
        "notes": version.notes,
        "is_exact_linear": version.is_exact_linear,
        "created_by": version.created_by,
        "created_at": version.created_at,
        "state": "published",
    }
    if insert_row.first(tx, row) is None:
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
    that name exists; `main` is the version of the head commit, or the last one before it. An alias and a head that the
    caller may not read are not there for them.
    """
    v = t.Version
    versions = (all_versions(caller) if to_delete else selection(caller)).where(v.repository_id == repository)
    name, values = named_by(selector)
    rows = tx.execute(versions.where(condition(name)).limit(2), values).all()
    if not rows and selector.alias == "main":
        rows = tx.execute(versions.order_by(v.created_at.desc(), v.id).limit(1)).all()
    elif not rows and values.get("alias") == "latest":
        newest_first = versions.order_by(v.major.desc(), v.minor.desc(), v.patch.desc())
        rows = tx.execute(newest_first.where(v.state == "published").limit(1)).all()
    return version_of(rows[0]) if len(rows) == 1 else None


@cache
def at_name(asked: str, is_admin: bool, sees_public: bool) -> Prepared:
    """What a selector of this kind names, for such callers, in the living repository of this `namespace` and `name`."""
    r, n = t.Repository, t.Namespace
    versions = selection(Caller(is_admin=is_admin, sees_public=sees_public))
    is_there = and_(n.key == bindparam("namespace"), r.key == bindparam("name"), r.deleted_at.is_(None))
    return Prepared(versions.where(is_there, condition(asked)).limit(2))


def find_at_name(database: Database, name: RepositoryName, selector: Selector, caller: Caller) -> Version | None:
    """The living version that a selector names, if it is where the name says and one alone: what readers mostly ask for,
    in one statement. None says nothing: what the name means then, `find` and those before it know."""
    asked, values = named_by(selector)
    at = {"namespace": key_of(name.namespace), "name": key_of(name.name)}
    rows = database.rows(at_name(asked, caller.is_admin, caller.sees_public), {**values, **at, **values_of(caller)})
    if len(rows) != 1 or rows[0].state == VersionState.DELETED:
        return None
    return version_of(rows[0])


@cache
def at_id(is_admin: bool, sees_public: bool) -> Prepared:
    """A version by `id`, for such callers."""
    versions = selection(Caller(is_admin=is_admin, sees_public=sees_public))
    return Prepared(versions.where(t.Version.id == bindparam("id")))


def get(tx: Connection, id: UUID, caller: Caller) -> Version | None:
    row = at_id(caller.is_admin, caller.sees_public).first(tx, {"id": id, **values_of(caller)})
    return None if row is None else version_of(row)


def get_many(tx: Connection, ids: Sequence[UUID], caller: Caller) -> list[Version]:
    """Those of the versions that the caller may read."""
    if not ids:
        return []
    return [version_of(row) for row in tx.execute(selection(caller).where(t.Version.id.in_(ids)))]


def is_deleted(tx: Connection, id: UUID) -> bool:
    return tx.execute(select(t.Version.state).where(t.Version.id == id)).scalar_one() == "deleted"


def list_versions(
    tx: Connection, repository: UUID, caller: Caller, after: VersionNumber | None, limit: int
) -> list[Version]:
    """Published and recalled versions that the caller may read, newest number first, with files and parents."""
    v = t.Version
    statement = selection(caller).where(v.repository_id == repository, v.state != "deleted")
    if after is not None:
        statement = statement.where(tuple_(v.major, v.minor, v.patch) < (after.major, after.minor, after.patch))
    statement = statement.order_by(v.major.desc(), v.minor.desc(), v.patch.desc()).limit(limit)
    return [version_of(row) for row in tx.execute(statement)]


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


newest_in = Prepared(
    select(t.Version.major, t.Version.minor, t.Version.patch, t.Version.content_digest, t.Version.id)
    .where(t.Version.repository_id == bindparam("repository"))
    .order_by(t.Version.major.desc(), t.Version.minor.desc(), t.Version.patch.desc())
    .limit(1)
)


def newest(tx: Connection, repository: UUID) -> tuple[VersionNumber, Digest, UUID] | None:
    """The highest number ever used, whatever its state, with its content digest."""
    row = newest_in.first(tx, {"repository": repository})
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


facts_by_id = Prepared(
    select(t.Version.id, t.Version.facts).where(t.Version.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
)


def facts_of(tx: Connection, ids: Collection[UUID]) -> dict[UUID, Adapter | Checkpoint]:
    found = facts_by_id.all(tx, {"ids": list(ids)}) if ids else []
    return {row.id: load_facts(row.facts) for row in found}


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
        .where(t.TreeEntry.digest == digest, v.state != "deleted", t.Repository.deleted_at.is_(None))
        .order_by(v.created_at, v.id, t.TreeEntry.path)
        .limit(limit)
    )
    return [(version_of(row), row.path) for row in tx.execute(statement)]


def models_of_base(tx: Connection, base: BaseModel, names: Sequence[str], caller: Caller) -> list[Version]:
    """Published model versions that may be this base, newest number first: by content digest, else by repository name."""
    v, r, n = t.Version, t.Repository, t.Namespace
    statement = selection(caller).where(r.kind == "model", v.state == "published", r.deleted_at.is_(None))
    if base.digest is not None:
        statement = statement.where(v.content_digest == base.digest)
    else:
        statement = statement.where(func.lower(n.name + "/" + r.name).in_([name.lower() for name in names]))
    statement = statement.order_by(v.major.desc(), v.minor.desc(), v.patch.desc()).limit(200)
    return [version_of(row) for row in tx.execute(statement)]
