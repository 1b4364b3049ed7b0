"""Whether the members of a sum were trained on one base model."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from uuid import UUID

from app.domain.base_model import BaseModel, same_base
from app.domain.plan import Warning
from app.errors import BaseModelMismatch
from app.merge.closure import Closure
from app.merge.published import Published


def check_bases(
    published: Published, closure: Closure, aliases: Mapping[str, str]
) -> tuple[BaseModel | None, tuple[Warning, ...]]:
    """Compare the bases of all members, each with each: sameness is not transitive where a revision is missing.

    Args:
        aliases: lower-case name of a base model → its canonical name.

    Returns: the most specific of the bases, by its canonical name; and what the caller should know of them.
    Raises: BaseModelMismatch.
    """
    members: dict[BaseModel, UUID] = {}
    unknown: list[UUID] = []
    for version in closure.parents:
        base = published.catalogue[version].base_model
        if base is None:
            unknown.append(version)
        else:
            members.setdefault(base.canonical(aliases), version)
    for left, right in combinations(members, 2):
        if not same_base(left, right):
            raise BaseModelMismatch(
                _as_published(published, members[left]),
                _as_published(published, members[right]),
                [closure.path(members[left]), closure.path(members[right])],
            )

    warnings: list[Warning] = []
    if unknown:
        detail = "the base model of an adapter is not known; it is taken to be that of the others"
        warnings.append(Warning("base-unknown", detail, tuple(sorted(unknown, key=published.rank))))
    versions = tuple(members.values())
    if members and all(base.revision is None and base.digest is None for base in members):
        detail = "no adapter says which revision of the base model it was trained on"
        warnings.append(Warning("base-unpinned", detail, versions))
    if len({base.quantization for base in members}) > 1:
        detail = "the adapters were trained on different quantizations of the base model"
        warnings.append(Warning("quantization-differs", detail, versions))
    return most_specific(members), tuple(warnings)


def most_specific(bases: Iterable[BaseModel]) -> BaseModel | None:
    """Of canonical bases that are one the one that says most."""
    return max(bases, key=_specificity, default=None)


def _as_published(published: Published, version: UUID) -> dict[str, object]:
    base = published.catalogue[version].base_model
    return {} if base is None else base.as_json()


def _specificity(base: BaseModel) -> tuple[bool, bool, bool, list[tuple[str, str]]]:
    """Ties go by the text, so that the order of the layers decides nothing."""
    known = base.digest is not None, base.revision is not None, base.quantization is not None
    return *known, sorted(base.as_json().items())
