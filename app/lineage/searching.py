"""Finding repositories: by words, by what they are, and how many there are of each kind, of what the caller may read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Float,
    Select,
    any_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
    union,
)

from app.domain.caller import Caller
from app.domain.names import key_of
from app.domain.repository import Repository
from app.lineage import tables as t
from app.lineage.access import can_read_repository, can_read_version
from app.lineage.history import readable_heads
from app.lineage.repositories import repository_of, selection

most_counted = 2_000
"""So many repositories are looked at for the counts of a search's facets."""


class Facet(StrEnum):
    """What a search can be narrowed by."""

    KIND = "kind"
    BASE_MODEL = "base_model"
    LICENSE = "license"
    TAG = "tag"
    NAMESPACE = "namespace"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; every part narrows it further."""

    q: str | None = None
    kind: str | None = None
    namespace: str | None = None
    base_model: Sequence[str] = ()
    """Lower-case names, any of them."""
    tag: Sequence[str] = ()
    """All of them."""
    license: str | None = None

    def without(self, facet: Facet) -> "Search":
        """What it would be if nothing had been chosen there."""
        nothing: Any = () if facet in {Facet.BASE_MODEL, Facet.TAG} else None
        return replace(self, **{facet.value: nothing})


@dataclass(frozen=True, slots=True)
class Newest:
    """A repository's newest version, in short."""

    number: str
    base: str | None
    summary: Mapping[str, Any]


def as_pattern(text: str) -> str:
    """A LIKE pattern that finds the text literally."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def words_of(search: Search) -> list[str]:
    return (search.q or "").split()


def full_name() -> ColumnElement[str]:
    return t.Namespace.name + "/" + t.Repository.name


def conditions(search: Search, caller: Caller) -> list[ColumnElement[bool]]:
    """Of living repositories that the caller may read, with their namespaces."""
    r, n = t.Repository, t.Namespace
    found = [r.deleted_at.is_(None), can_read_repository(caller)]
    for word in words_of(search):
        pattern = as_pattern(word)
        found.append(
            or_(
                full_name().ilike(pattern),
                r.description.ilike(pattern),
                func.array_to_string(r.tags, " ").ilike(pattern),
                r.words.op("@@")(func.plainto_tsquery("english", word)),
                r.id.in_(with_card_word(word, caller)),
            )
        )
    if search.kind is not None:
        found.append(r.kind == search.kind)
    if search.namespace is not None:
        found.append(n.key == key_of(search.namespace))
    if search.base_model:
        names = list(search.base_model)
        versions = select(t.Version.repository_id).where(
            func.lower(t.Version.base_model["name"].astext).in_(names),
            t.Version.state == "published",
            can_read_version(caller),
        )
        found.append(or_(func.lower(r.base_model["name"].astext).in_(names), r.id.in_(versions)))
    # of the repository itself, or of the newest card in it that the caller may read
    found += [or_(literal(tag) == any_(r.tags), r.id.in_(with_card_tag(tag, caller))) for tag in search.tag]
    if search.license is not None:
        found.append(func.lower(r.license) == search.license.lower())
    return found


def with_card_tag(tag: str, caller: Caller) -> Select[Any]:
    """Repositories whose newest commit on `main`, of those that the caller may read, is found by this tag."""
    line = readable_heads(caller)
    return select(line.c.repository_id).where(line.c.is_readable, literal(tag) == any_(line.c.tags))


def with_card_word(word: str, caller: Caller) -> Select[Any]:
    """As `with_card_tag`, by a word of the card itself."""
    line, c = readable_heads(caller), t.Commit
    has_word = c.words.op("@@")(func.plainto_tsquery("english", word))
    return select(line.c.repository_id).join(c, c.id == line.c.id).where(line.c.is_readable, has_word)


def relevance(search: Search) -> ColumnElement[float]:
    """How well a repository fits the words: one whose own name is a word before one that only tells of it."""
    r = t.Repository
    words = words_of(search)
    query = func.plainto_tsquery("english", " ".join(words))
    named = [
        case((func.lower(r.name) == word.lower(), 2.0), (full_name().ilike(as_pattern(word)), 1.0), else_=0.0)
        for word in words
    ]
    return sum(named, cast(func.ts_rank(r.words, query), Float))


def find(
    tx: Connection, search: Search, caller: Caller, *, sort: str, after: tuple[Any, UUID] | None, limit: int
) -> list[tuple[Repository, Any]]:
    """Living repositories that the caller may read, each with what it was sorted by.

    Args:
        sort: `relevance`, `updated`, `created` or `name`.
        after: what the last one before was sorted by, and its id.
    """
    r = t.Repository
    keys: Mapping[str, Any] = {
        "relevance": relevance(search),
        "updated": r.updated_at,
        "created": r.created_at,
        "name": func.lower(full_name()),
    }
    key = keys[sort]
    statement = selection().add_columns(key.label("sort_key")).where(*conditions(search, caller)).limit(limit)
    if sort == "name":
        statement = statement.order_by(key, r.id)
        if after is not None:
            statement = statement.where(tuple_(key, r.id) > after)
    else:
        statement = statement.order_by(key.desc(), r.id.desc())
        if after is not None:
            statement = statement.where(tuple_(key, r.id) < after)
    return [(repository_of(row), row.sort_key) for row in tx.execute(statement)]


def hits(search: Search, caller: Caller) -> CTE:
    """The first that are found, as many as are counted and one more."""
    r, n = t.Repository, t.Namespace
    return (
        select(r.id, r.kind, n.name.label("namespace"), r.base_model, r.license, r.tags)
        .join(n, n.id == r.namespace_id)
        .where(*conditions(search, caller))
        .limit(most_counted + 1)
        .cte("hits")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def count(tx: Connection, search: Search, caller: Caller) -> int:
    """At most one more than `most_counted`."""
    return tx.execute(select(func.count()).select_from(hits(search, caller))).scalar_one()


def values_of(facet: Facet, found: CTE, caller: Caller) -> Select[Any]:
    """(repository, key, name) of every value that the repositories have: names that differ in case only have one key."""
    match facet:
        case Facet.KIND:
            return select(found.c.id, found.c.kind.label("key"), found.c.kind.label("name"))
        case Facet.NAMESPACE:
            return select(found.c.id, func.lower(found.c.namespace).label("key"), found.c.namespace.label("name"))
        case Facet.LICENSE:
            return select(found.c.id, func.lower(found.c.license).label("key"), found.c.license.label("name"))
        case Facet.TAG:
            line = readable_heads(caller, t.Ref.repository_id.in_(select(found.c.id)))
            own = select(found.c.id, func.unnest(found.c.tags).label("name"))
            cards = select(line.c.repository_id, func.unnest(line.c.tags)).where(line.c.is_readable)
            tags = union(own, cards).subquery()
            # of what the registry itself makes of a card only the words that people wrote
            return select(tags.c.id, tags.c.name.label("key"), tags.c.name).where(
                ~tags.c.name.contains(":"), tags.c.name.not_in(("peft", "safetensors", "lora", "transformers"))
            )
        case Facet.BASE_MODEL:
            v, r, a = t.Version, t.Repository, t.BaseModelAlias
            own = select(found.c.id, found.c.base_model["name"].astext.label("name"))
            said = (
                select(v.repository_id, v.base_model["name"].astext)
                .join(r, r.id == v.repository_id)
                .where(r.id.in_(select(found.c.id)), v.state == "published", can_read_version(caller))
            )
            names = union(own, said).subquery()
            name = func.coalesce(a.canonical, names.c.name)
            return (
                select(names.c.id, func.lower(name).label("key"), name.label("name"))
                .outerjoin(a, a.key == func.lower(names.c.name))
                .where(names.c.name.is_not(None))
            )


def facet(tx: Connection, facet: Facet, search: Search, caller: Caller, limit: int) -> list[tuple[str, int]]:
    """The values that most of the found repositories have, whatever was chosen of this facet, and how many have each."""
    found = hits(search.without(facet), caller)
    values = values_of(facet, found, caller).subquery()
    number = func.count(values.c.id.distinct())
    statement = (
        select(func.min(values.c.name).label("name"), number.label("number"))
        .where(values.c.key.is_not(None))
        .group_by(values.c.key)
        .order_by(number.desc(), values.c.key)
        .limit(limit)
    )
    return [(row.name, row.number) for row in tx.execute(statement)]


def newest(tx: Connection, repositories: Sequence[UUID], caller: Caller) -> dict[UUID, Newest]:
    """By repository, of the versions that the caller may read."""
    v, r = t.Version, t.Repository
    statement = (
        select(v.repository_id, v.major, v.minor, v.patch, v.base_model["name"].astext.label("base"), v.summary)
        .distinct(v.repository_id)
        .join(r, r.id == v.repository_id)
        .where(v.repository_id.in_(repositories), v.state != "deleted", can_read_version(caller))
        .order_by(v.repository_id, v.major.desc(), v.minor.desc(), v.patch.desc())
    )
    return {
        row.repository_id: Newest(f"{row.major}.{row.minor}.{row.patch}", row.base, row.summary)
        for row in tx.execute(statement)
    }
