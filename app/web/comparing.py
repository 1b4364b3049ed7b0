"""Two versions side by side: what differs in configuration, files, modules, metrics, lineage and card."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from app.api.auth import Anyone, ServicesDep
from app.assembly import Services
from app.domain.caller import Caller
from app.domain.lineage import Kind
from app.domain.names import RepositoryName
from app.domain.version import Version
from app.errors import InvalidReference
from app.services.content import adapter_config, model_config
from app.services.showing import View
from app.web import differences
from app.web.repository import answer, of_version, root
from app.web.site import PageRoute, to

router = APIRouter(route_class=PageRoute, include_in_schema=False)
largest_config_bytes = 1_000_000
between = "..."


@router.get(root + "/compare")
def choose(
    namespace: str,
    name: str,
    caller: Anyone,
    before: Annotated[str, Query(min_length=1, max_length=200)],
    after: Annotated[str, Query(min_length=1, max_length=200)],
) -> Response:
    """From a form's two fields to the comparison's own address."""
    return to(quote(f"/{namespace}/{name}/compare/{before}{between}{after}"))


@router.get(root + "/compare/{pair}")
def compare(namespace: str, name: str, pair: str, request: Request, services: ServicesDep, caller: Anyone) -> Response:
    """What changed from one version to another of the same repository."""
    first, separator, second = pair.partition(between)
    if not separator or not first or not second:
        raise InvalidReference(pair, "two versions with three dots between them")
    at = RepositoryName(namespace, name)

    def show(view: View, after: Version) -> Response:
        before = services.reading.version(caller, at, first)
        return answer(
            request,
            caller,
            view,
            "compare.html",
            "versions",
            before=before,
            after=after,
            tables=tables_of(services, caller, before, after),
            lines=differences.text_difference(
                services.showing.card(caller, before) or "", services.showing.card(caller, after) or ""
            ),
        )

    return of_version(request, services, caller, at, second, "versions", show)


def tables_of(services: Services, caller: Caller, before: Version, after: Version) -> dict[str, differences.Table]:
    """By title, what differs between two versions of one kind."""
    config = model_config if after.kind is Kind.MODEL else adapter_config

    def members(version: Version) -> dict[str, Any]:
        return differences.config_members(services.showing.text(caller, version, config, largest_config_bytes))

    return {
        config: differences.compared(members(before), members(after)),
        "Tensors" if after.kind is Kind.MODEL else "Modules": differences.modules_table(
            services.showing.facts(before), services.showing.facts(after)
        ),
        "Metrics": differences.compared(differences.flat(before.metrics), differences.flat(after.metrics)),
        "Lineage": differences.lineage_table(before, after),
        "Files": differences.files_table(before, after),
        "About": differences.compared(about(before), about(after)),
    }


def about(version: Version) -> dict[str, Any]:
    """What is said of a version beside its files."""
    base = {} if version.base_model is None else version.base_model.as_json()
    return {
        **{f"base model, {field}": value for field, value in base.items()},
        "licence": version.license,
        "datasets": list(version.datasets),
        "notes": version.notes,
        "content digest": version.content_digest,
    }
