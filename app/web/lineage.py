"""A version's lineage: as a graph to walk about in, as a list, and as a picture for a README."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator, Field

from app.api.auth import Anyone, ServicesDep
from app.api.streams import is_unchanged
from app.domain.names import RepositoryName
from app.domain.version import Version
from app.errors import NotFound
from app.services.showing import View
from app.services.tracing import Direction, deepest
from app.web.drawing import draw_lineage, id_of, reference_of, relation_words
from app.web.repository import VersionAsked, answer, of_version
from app.web.site import PageRoute, environment, server_address

router = APIRouter(route_class=PageRoute, include_in_schema=False)

most_shown = 1_500
"""Versions on the page; a browser draws them in less than a second and moves them smoothly."""
most_drawn = 60
"""Versions in the picture: of more nobody reads a name."""
Depth = Annotated[int, Field(ge=1, le=deepest)]
DepthAsked = Annotated[Depth | None, BeforeValidator(lambda text: text or None), Query()]
"""What a form leaves open is empty."""

picture_styles = (
    "svg{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"
    "text{fill:#1f1d1a}.detail,.more{font-size:12px;fill:#625d55}.label{font-weight:600}"
    "rect{fill:#fff;stroke:#8a857a;stroke-width:1.25}"
    ".line{fill:none;stroke:#8a857a;stroke-width:1.5}"
    ".initialized_from{stroke-dasharray:7 4}.merged_from{stroke-dasharray:2 4;stroke-width:2;stroke-linecap:round}"
    ".extracted_from{stroke-dasharray:10 3 2 3}"
    ".line.trunk{stroke:#1f6b3a}.line.branch,.line.base{stroke:#22577f}"
    ".root rect{fill:#e6f0eb;stroke:#1a6148;stroke-width:2.5}.trunk rect{fill:#e5f3e9;stroke:#1f6b3a;stroke-width:2}"
    ".branch rect,.base rect{fill:#e8f0f7;stroke:#22577f;stroke-width:2}"
    ".recalled rect{fill:#fbe9e7;stroke:#a3261d;stroke-width:2}.deleted .label{text-decoration:line-through}"
    ".deleted rect,.hidden rect{fill:#f3f1ec;stroke-dasharray:4 3}.hidden .label{font-weight:400;font-style:italic}"
    "@media(prefers-color-scheme:dark){text{fill:#ece8e1}.detail,.more{fill:#aaa398}rect{fill:#1f1e1b;stroke:#7d776c}"
    ".line{stroke:#7d776c}.line.trunk{stroke:#8ed3a3}.line.branch,.line.base{stroke:#9ac7ec}"
    ".root rect{fill:#20312a;stroke:#7cc9a8}.trunk rect{fill:#1b2f22;stroke:#8ed3a3}"
    ".branch rect,.base rect{fill:#1b2a37;stroke:#9ac7ec}.recalled rect{fill:#3a1f1c;stroke:#f2a199}"
    ".deleted rect,.hidden rect{fill:#262420}}"
)
styles_hash = base64.b64encode(hashlib.sha256(picture_styles.encode()).digest()).decode()
picture_policy = f"default-src 'none'; style-src 'sha256-{styles_hash}'; sandbox"
"""Of the picture opened by itself: nothing but its own styles."""


@dataclass(frozen=True, slots=True)
class Row:
    """A version in the list, with the edges between it and what it stands on or comes from."""

    node: Mapping[str, Any]
    is_root: bool
    parents: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...]
    """(what it is to it, the parent, the edge)."""

    @property
    def name(self) -> str:
        return reference_of(self.node)


def rows_of(root: str, nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> list[Row]:
    by_id = {id_of(node): node for node in nodes}
    above: dict[str, list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]] = {}
    for edge in edges:
        if edge["child"] in by_id and edge["parent"] in by_id:
            found = above.setdefault(edge["child"], [])
            found.append((relation_words[edge["relation"]], by_id[edge["parent"]], edge))
    return [Row(node, id == root, tuple(above.get(id, ()))) for id, node in by_id.items()]


@router.get("/{namespace}/{name}/lineage")
def lineage(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    version: VersionAsked = None,
    direction: Direction = Direction.BOTH,
    depth: DepthAsked = None,
) -> Response:
    """What a version stands on and comes from, and what stands on it."""

    def show(view: View, version: Version) -> Response:
        at = RepositoryName.parse(version.repository)
        found = services.tracing.trace(caller, at, str(version.number), direction, depth)
        nodes = found.nodes[:most_shown]
        shown = {id_of(node) for node in nodes}
        edges = [edge for edge in found.edges if edge["child"] in shown and edge["parent"] in shown]
        return answer(
            request,
            caller,
            view,
            "lineage.html",
            "lineage",
            data={"root": found.root, "nodes": nodes, "edges": edges},
            rows=rows_of(found.root, nodes, edges),
            relations={
                relation: words
                for relation, words in relation_words.items()
                if any(edge["relation"] == relation for edge in edges)
            },
            is_merge=any(edge["child"] == found.root and edge["role"] for edge in edges),
            total=len(found.nodes),
            is_truncated=found.is_truncated or len(found.nodes) > most_shown,
            direction=direction,
            depth=depth,
            picture_address=f"{server_address(request)}/{at}/lineage.svg?version={version.number}",
        )

    return of_version(request, services, caller, RepositoryName(namespace, name), version, "lineage", show)


@router.get("/{namespace}/{name}/lineage.svg")
def picture(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    version: VersionAsked = None,
    direction: Direction = Direction.BOTH,
    depth: DepthAsked = None,
) -> Response:
    """The same as a picture; in somebody else's page as everybody may see it, since no cookie is sent from there."""
    at = RepositoryName(namespace, name)
    view = services.showing.view(caller, at, version)
    if view.version is None:
        raise NotFound(f"a version of {at}")
    own = RepositoryName.parse(view.version.repository)
    found = services.tracing.trace(caller, own, str(view.version.number), direction, depth)
    drawing = draw_lineage(found.root, found.nodes[:most_drawn], found.edges)
    svg = environment.get_template("lineage.svg").render(
        drawing=drawing,
        reference=view.version.reference,
        left_out=len(found.nodes) - len(drawing.boxes),
        styles=picture_styles,
    )
    etag = f'"{hashlib.sha256(svg.encode()).hexdigest()}"'
    headers = {
        "ETag": etag,
        # what only some may see is in no cache but their own, and asked for anew each time
        "Cache-Control": "public, max-age=300" if caller.user_id is None else "private, no-cache",
        "Vary": "Authorization, Cookie",
        "Content-Security-Policy": picture_policy,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }
    if is_unchanged(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(svg, headers=headers, media_type="image/svg+xml")
