"""A version as one row, whole: its columns, its files and its parents; and what picks it within its repository."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.domain.lineage import Kind, Relation, Role, VersionState
from app.domain.names import key_of
from app.domain.number import VersionNumber
from app.domain.reference import Selector
from app.domain.version import File, Parent, Version
from app.lineage import tables as t
from app.lineage.access import can_read_version
from app.lineage.codec import load_base

Author = aliased(t.Namespace)
parent_tables = aliased(t.Version), aliased(t.Repository), aliased(t.Namespace)


def selection(caller: Caller) -> Any:
    """The versions that the caller may read, whole."""
    return all_versions(caller).where(can_read_version(caller))


def all_versions(caller: Caller) -> Any:
    """Whole: a list of their files, and one of their parents as the caller may see them, stand in the row."""
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
            listed_files().label("files"),
            listed_parents(caller).label("parents"),
        )
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .join(Author, Author.id == v.created_by)
    )


def listed_files() -> Any:
    """Of a version, as JSON: the fields of `File`, in the order of the paths."""
    e, b, c = t.TreeEntry, t.Blob, t.Commit
    file = func.json_build_array(e.path, e.digest, b.size_bytes, b.kind)
    return (
        select(func.json_agg(aggregate_order_by(file, func.convert_to(e.path, "UTF8"))))
        .join(b, b.digest == e.digest)
        .join(c, c.tree == e.tree)
        .where(c.id == t.Version.commit_id)
        .correlate(t.Version)
        .scalar_subquery()
    )


def listed_parents(caller: Caller) -> Any:
    """Of a version, as JSON: what `parent_of` reads, in the order in which they were named."""
    e, v, r, n = t.Edge, *parent_tables
    parent = func.json_build_array(
        e.parent_id,
        e.relation,
        e.weight,
        e.role,
        n.name + "/" + r.name,
        r.visibility,
        func.json_build_array(v.major, v.minor, v.patch),
        v.digest,
        can_read_version(caller, v, r),
    )
    return (
        select(func.json_agg(aggregate_order_by(parent, e.position)))
        .join(v, v.id == e.parent_id)
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .where(e.child_id == t.Version.id)
        .correlate(t.Version)
        .scalar_subquery()
    )


def parent_of(listed: Sequence[Any]) -> Parent:
    id, relation, weight, role, repository, visibility, number, digest, is_readable = listed
    return Parent(
        version=UUID(id),
        relation=Relation(relation),
        weight=float(weight),
        role=None if role is None else Role(role),
        reference=f"{repository}@{VersionNumber(*number)}",
        digest=digest,
        is_readable=is_readable,
        is_public=visibility == "public",
    )


def version_of(row: Any) -> Version:
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
        files=tuple(File(*file) for file in row.files or ()),
        parents=tuple(parent_of(parent) for parent in row.parents or ()),
    )


def named_by(selector: Selector) -> tuple[str, dict[str, Any]]:
    """Which of `conditions` a selector asks for, and the values in it."""
    if (number := selector.number) is not None:
        return "number", {"major": number.major, "minor": number.minor, "patch": number.patch}
    if selector.commit is not None:
        return "commit", {"commit": selector.commit}
    if selector.digest is not None:
        return "digest", {"digest": selector.digest}
    if selector.alias == "main":
        return "main", {}
    return "alias", {"alias": key_of(selector.alias or "")}


def condition(name: str) -> ColumnElement[bool]:
    """Of a version, within its repository."""
    v, a, f = t.Version, t.Alias, t.Ref
    head = select(f.commit_id).where(f.repository_id == v.repository_id, f.name == "main").correlate(v)
    aliased_id = select(a.version_id).where(a.repository_id == v.repository_id, a.key == bindparam("alias"))
    conditions: dict[str, ColumnElement[bool]] = {
        "number": and_(v.major == bindparam("major"), v.minor == bindparam("minor"), v.patch == bindparam("patch")),
        "commit": v.commit_id == bindparam("commit"),
        # hex digits and a colon alone: nothing that means something in a pattern
        "digest": v.digest.startswith(bindparam("digest")),
        "main": v.commit_id == head.scalar_subquery(),
        "alias": v.id == aliased_id.correlate(v).scalar_subquery(),
    }
    return conditions[name]
