"""The first page, the search, and what belongs to one owner."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from app.api.auth import Anyone, ServicesDep
from app.api.paging import PageDep, plain_text, time_and_id
from app.domain.lineage import Kind
from app.lineage.searching import Facet
from app.services.searching import Asked, Entry
from app.web.site import PageRoute, page, server_address

router = APIRouter(route_class=PageRoute, include_in_schema=False)
owners = APIRouter(route_class=PageRoute, include_in_schema=False)
"""Apart: every path of one part that no other page has is somebody's name."""

shown_at_home = 8
Sort = Literal["relevance", "updated", "created", "name"]
names_of_facets = {
    Facet.KIND: "Kind",
    Facet.BASE_MODEL: "Base model",
    Facet.LICENSE: "Licence",
    Facet.TAG: "Tag",
    Facet.NAMESPACE: "Owner",
}


@router.get("/")
def home(request: Request, services: ServicesDep, caller: Anyone) -> Response:
    """What this registry is, and what is new in it."""
    found = services.searching.find(caller, Asked(), None, shown_at_home)
    own = None
    if caller.name is not None:
        own = services.searching.find(caller, Asked(namespace=caller.name), None, shown_at_home)
    return page(request, caller, "home.html", found=found, own=own, address=server_address(request))


@router.get("/search")
def search(
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    shown: PageDep,
    q: Annotated[str, Query(max_length=200)] = "",
    kind: Kind | Literal[""] = "",
    namespace: Annotated[str, Query(max_length=200)] = "",
    base_model: Annotated[str, Query(max_length=500)] = "",
    tag: Annotated[tuple[str, ...], Query(max_length=10)] = (),
    license: Annotated[str, Query(max_length=200)] = "",
    sort: Sort | Literal[""] = "",
) -> Response:
    """Everything that the caller may read, narrowed by words and by what it is."""
    asked = Asked(
        q=q.strip(),
        kind=Kind(kind) if kind else None,
        namespace=namespace or None,
        base_model=base_model or None,
        tag=tuple(entry for entry in tag if entry),
        license=license or None,
        sort=sort or ("relevance" if q.strip() else "updated"),
    )

    def parse(value: Any) -> tuple[Any, UUID]:
        if asked.sort == "relevance":
            return float(value[0]), UUID(value[1])
        return (plain_text(value[0]), UUID(value[1])) if asked.sort == "name" else time_and_id(value)

    found = services.searching.find(caller, asked, shown.after(parse), shown.wanted)
    entries, cursor = shown.cut(found.entries, key_of_entry)
    return page(
        request,
        caller,
        "search.html",
        asked=asked,
        found=found,
        entries=entries,
        next=None if cursor is None else link(asked, cursor=cursor),
        facets=[
            (names_of_facets[facet], choices(asked, facet, values))
            for facet, values in found.facets.items()
            if values or chosen(asked, facet)
        ],
        sorts=[
            (name, link(replace(asked, sort=value)), asked.sort == value)
            for value, name in (
                ("relevance", "Best match"),
                ("updated", "Updated"),
                ("created", "New"),
                ("name", "Name"),
            )
            if value != "relevance" or asked.q
        ],
        without_all=link(Asked(q=asked.q)),
    )


def key_of_entry(entry: Entry) -> list[Any]:
    key = entry.sort_key
    return [key if isinstance(key, str | float) else key.isoformat(), entry.repository.id]


def chosen(asked: Asked, facet: Facet) -> Sequence[str]:
    """What is chosen of a facet."""
    value = getattr(asked, facet.value)
    return value if isinstance(value, tuple) else () if value is None else (str(value),)


def choices(asked: Asked, facet: Facet, values: Sequence[tuple[str, int]]) -> list[tuple[str, int | None, str, bool]]:
    """(name, how many, where choosing it or no longer choosing it leads, whether it is chosen); the chosen ones first."""
    taken = {value.lower(): value for value in chosen(asked, facet)}
    counts = dict(values)
    rare = [value for key, value in taken.items() if key not in {name.lower() for name in counts}]
    found = []
    for name, number in [*((value, None) for value in rare), *counts.items()]:
        is_chosen = name.lower() in taken
        if facet is Facet.TAG:
            rest = tuple(tag for tag in asked.tag if tag.lower() != name.lower())
            changed = replace(asked, tag=rest if is_chosen else (*asked.tag, name))
        else:
            value: Any = None if is_chosen else Kind(name) if facet is Facet.KIND else name
            changed = replace(asked, **{facet.value: value})
        found.append((name, number, link(changed), is_chosen))
    return sorted(found, key=lambda choice: not choice[3])


def link(asked: Asked, **further: str) -> str:
    """The address of a search."""
    default = "relevance" if asked.q else "updated"
    said = [
        ("q", asked.q),
        ("kind", asked.kind.value if asked.kind else ""),
        ("namespace", asked.namespace or ""),
        ("base_model", asked.base_model or ""),
        *(("tag", tag) for tag in asked.tag),
        ("license", asked.license or ""),
        ("sort", "" if asked.sort in {default, "relevance"} else asked.sort),
        *further.items(),
    ]
    query = urlencode([(name, value) for name, value in said if value])
    return f"/search?{query}" if query else "/search"


@owners.get("/{namespace}")
def owner(namespace: str, request: Request, services: ServicesDep, caller: Anyone, shown: PageDep) -> Response:
    """A user or an organisation, with what the caller may read of it."""
    whose = services.searching.namespace(caller, namespace)
    found = services.searching.find(caller, Asked(namespace=whose.name), shown.after(time_and_id), shown.wanted)
    entries, cursor = shown.cut(found.entries, key_of_entry)
    is_organization = whose.kind == "organization"
    organization = services.accounts.organization(caller, whose.name) if is_organization and caller.user_id else None
    return page(
        request,
        caller,
        "owner.html",
        whose=whose,
        found=found,
        entries=entries,
        next=None if cursor is None else f"/{whose.name}?{urlencode({'cursor': cursor})}",
        members=() if organization is None else organization.members,
    )
