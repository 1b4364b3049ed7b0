"""A repository's pages: its card and how to use it, what it stands on and what stands on it, files, modules, versions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request, Response

from app.api.auth import Anyone, ServicesDep
from app.api.streams import etag_of, is_unchanged
from app.assembly import Services
from app.domain.adapter import Adapter
from app.domain.caller import Caller
from app.domain.lineage import Relation, VersionState
from app.domain.names import RepositoryName
from app.domain.number import VersionNumber
from app.domain.version import Parent, Version
from app.errors import Deleted
from app.services.showing import View
from app.web import markdown, tensor_rows
from app.web.differences import flat, relation_words, shown
from app.web.problem_pages import wants_page
from app.web.site import PageRoute, page, server_address, to
from app.web.snippets import Use, snippets_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)
root = "/{namespace}/{name}"
VersionAsked = Annotated[str | None, Query(max_length=500, description="Number, alias, commit or digest")]
versions_in_list = 50
most_moves = 50
"""Of one alias, the newest."""
most_metrics = 100
method_names = {"loha": "LoHa", "lokr": "LoKr", "pissa": "PiSSA"}
child_words = {
    Relation.BUILDS_ON: "builds on this",
    Relation.INITIALIZED_FROM: "continues this",
    Relation.MERGED_FROM: "holds this, merged",
    Relation.EXTRACTED_FROM: "was extracted from this",
}


@dataclass(frozen=True, slots=True)
class Badge:
    label: str
    value: str
    kind: str = "plain"
    """`plain`, `good`, `warning`, `danger`: how it looks, beside what it says."""
    query: dict[str, str] = field(default_factory=dict)
    """A search that finds others with this badge; empty: it leads nowhere."""

    @property
    def address(self) -> str | None:
        return f"/search?{urlencode(self.query)}" if self.query else None


def badges_of(view: View) -> Iterator[Badge]:
    repository, version = view.repository, view.version
    yield Badge("kind", repository.kind.value, query={"kind": repository.kind.value})
    if repository.visibility.value == "private":
        yield Badge("visibility", "private", "warning")
    if version is None:
        return
    if version.state is VersionState.RECALLED:
        yield Badge("state", "recalled", "danger")
    if version.base_model is not None:
        yield Badge("base", version.base_model.name, query={"base_model": version.base_model.name})
    if (license := version.license or repository.license) is not None:
        yield Badge("licence", license, query={"license": license})
    if isinstance(view.facts, Adapter):
        yield Badge("method", method_of(version.summary))
        yield Badge("rank", ranks_text(version.summary["ranks"]))
    yield Badge("dtype", version.summary["dtype"])
    if any(parent.relation is Relation.MERGED_FROM for parent in version.parents):
        yield Badge("made by", "an exact linear merge" if version.is_exact_linear else "a merge")
    for name in view.names_of(version):
        yield Badge("alias", name, "good")


def method_of(summary: dict[str, Any]) -> str:
    """How an adapter changes its base, as its papers call it."""
    named = [name for feature, name in method_names.items() if feature in summary["features"]]
    if summary["use_dora"]:
        named.append("DoRA")
    if summary["use_rslora"]:
        named.append("rsLoRA")
    return " ".join(named) or "LoRA"


def ranks_text(ranks: list[int]) -> str:
    if not ranks:
        return "none"
    return str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"


@dataclass(frozen=True, slots=True)
class Parents:
    """The parents of a version that stand in one relation to it."""

    words: str
    shown: tuple[Parent, ...]
    hidden: int


def parents_of(version: Version) -> tuple[Parents, ...]:
    found = []
    for relation, words in relation_words.items():
        those = [parent for parent in version.parents if parent.relation is relation]
        readable = tuple(parent for parent in those if parent.is_readable)
        if those:
            found.append(Parents(words, readable, len(those) - len(readable)))
    return tuple(found)


def metrics_of(version: Version) -> list[tuple[str, str]]:
    """Numbers with four digits, as tables of results have them."""

    def text(value: Any) -> str:
        is_fraction = isinstance(value, float) and isfinite(value)
        return f"{value:.4g}" if is_fraction else shown(value)

    return [(name, text(value)) for name, value in list(flat(version.metrics).items())[:most_metrics]]


def version_address(version: Version) -> str:
    """For programs."""
    return f"/api/v1/repositories/{version.repository}/versions/{version.number}"


def files_beside(version: Version) -> markdown.Files:
    return markdown.Files(
        paths=frozenset(file.path for file in version.files),
        links=f"{version_address(version)}/files/",
        images=f"/{version.repository}/image/{version.number}/",
    )


def answer(
    request: Request, caller: Caller, view: View, template: str, tab: str, *, status: int = 200, **context: Any
) -> Response:
    """One of a repository's pages, each with the same head."""
    repository, version = view.repository, view.version
    return page(
        request,
        caller,
        template,
        status=status,
        view=view,
        repository=repository,
        version=version,
        at=f"/{repository.full_name}",
        # a version that was asked for stays in hand from tab to tab
        pinned=f"?version={version.number}" if version is not None and request.query_params.get("version") else "",
        badges=list(badges_of(view)),
        ranks_text=ranks_text,
        is_adapter=isinstance(view.facts, Adapter),
        tab=tab,
        may_write=caller.may_write(repository.namespace_id),
        may_own=caller.may_own(repository.namespace_id),
        **context,
    )


def of_version(
    request: Request,
    services: Services,
    caller: Caller,
    at: RepositoryName,
    ref: str | None,
    tab: str,
    show: Callable[[View, Version], Response],
) -> Response:
    """A page about one version; or what stands in its place where it was deleted, moved, or never published."""
    try:
        view = services.showing.view(caller, at, ref or None)
    except Deleted as error:
        if not wants_page(request.headers.get("accept")):
            raise
        # of a repository that is gone itself this is refused again
        living = services.showing.view(caller, at, None)
        at_time = error.facts["deleted_at"]
        return answer(
            request,
            caller,
            living,
            "repository_tombstone.html",
            tab,
            status=410,
            tombstone=error.facts,
            deleted_at=None if at_time is None else datetime.fromisoformat(at_time),
        )
    if (there := moved(request, view, at)) is not None:
        return there
    if view.version is None:
        return answer(request, caller, view, "repository_empty.html", tab, own_address=server_address(request))
    return show(view, view.version)


def moved(request: Request, view: View, at: RepositoryName) -> Response | None:
    """To where a repository is now; None: it was asked for by its own name."""
    own = view.repository.full_name
    if str(at) == own:
        return None
    return to(f"/{own}{quote(request.url.path.removeprefix(f'/{at}'))}", **dict(request.query_params))


@router.get(root)
def overview(
    namespace: str, name: str, request: Request, services: ServicesDep, caller: Anyone, version: VersionAsked = None
) -> Response:
    """A repository, by what the card of a version says."""

    def show(view: View, version: Version) -> Response:
        card = services.showing.card(caller, version)
        facts = view.facts if isinstance(view.facts, Adapter) else None
        use = Use(server_address(request), version, facts, base_is_here=view.base is not None)
        return answer(
            request,
            caller,
            view,
            "repository.html",
            "card",
            card=None if card is None else markdown.render(card, files_beside(version)),
            snippets=snippets_of(use),
            parents=parents_of(version),
            child_words=child_words,
            metrics=metrics_of(version),
            is_closed=is_closed(caller, version),
            is_stacked=use.is_stacked,
            size_bytes=size_of(version),
        )

    return of_version(request, services, caller, RepositoryName(namespace, name), version, "card", show)


def is_closed(caller: Caller, version: Version) -> bool:
    """Its files are not given to this caller."""
    return version.state is VersionState.RECALLED and not caller.may_own(version.namespace_id)


def size_of(version: Version) -> int:
    return sum(file.size_bytes for file in version.files)


@router.get(root + "/files")
def files(
    namespace: str, name: str, request: Request, services: ServicesDep, caller: Anyone, version: VersionAsked = None
) -> Response:
    """The files of a version."""

    def show(view: View, version: Version) -> Response:
        is_recalled = version.state is VersionState.RECALLED
        return answer(
            request,
            caller,
            view,
            "repository_files.html",
            "files",
            is_closed=is_closed(caller, version),
            address=version_address(version),
            # an owner has to say that a recalled version is wanted all the same
            query="?accept_recalled=true" if is_recalled else "",
            size_bytes=size_of(version),
        )

    return of_version(request, services, caller, RepositoryName(namespace, name), version, "files", show)


@router.get(root + "/tensors")
def tensors(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    version: VersionAsked = None,
    q: Annotated[str, Query(max_length=200)] = "",
    sort: Literal["name", "rank", "scaling", "parameters"] = "name",
    order: Literal["up", "down"] = "up",
    number: Annotated[int, Query(ge=1, le=1_000_000, alias="page")] = 1,
) -> Response:
    """The modules of an adapter, or the tensors of a model."""

    def show(view: View, version: Version) -> Response:
        rows = [] if view.facts is None else tensor_rows.rows_of(view.facts)
        return answer(
            request,
            caller,
            view,
            "repository_tensors.html",
            "tensors",
            table=tensor_rows.table(rows, q=q, sort=sort, is_descending=order == "down", page=number),
            groups=tensor_rows.groups_of(view.facts.modules) if isinstance(view.facts, Adapter) else (),
            q=q,
            sort=sort,
            order=order,
        )

    return of_version(request, services, caller, RepositoryName(namespace, name), version, "tensors", show)


@router.get(root + "/versions")
def versions(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    after: Annotated[str | None, Query(max_length=100)] = None,
    alias: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """The versions, newest first, and the aliases; of one of these all its moves."""
    at = RepositoryName(namespace, name)
    view = services.showing.view(caller, at, None)
    if (there := moved(request, view, at)) is not None:
        return there
    start = None if after is None else VersionNumber.parse(after)
    found = services.reading.versions(caller, at, start, versions_in_list + 1)
    moves = [] if alias is None else services.aliasing.history(caller, at, alias, None, most_moves)
    return answer(
        request,
        caller,
        view,
        "versions.html",
        "versions",
        found=found[:versions_in_list],
        next=str(found[versions_in_list - 1].number) if len(found) > versions_in_list else None,
        alias=alias,
        moves=[move for _, move in moves],
        parents={version.id: parents_of(version) for version in found},
    )


@router.get(root + "/image/{ref}/{path:path}")
def image(
    namespace: str, name: str, ref: str, path: str, request: Request, services: ServicesDep, caller: Anyone
) -> Response:
    """A picture among the files of a version, for its card."""
    file = services.reading.file(caller, RepositoryName(namespace, name), ref, path)
    etag = etag_of(file.digest)
    if is_unchanged(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    media_type, data = services.showing.image(file)
    headers = {
        "ETag": etag,
        # the right to read may end, so that every reader asks again
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Response(data, headers=headers, media_type=media_type)
