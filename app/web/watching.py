"""One merge: watched while it goes on, read when it is done, published, withdrawn."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response

from app.api import problems
from app.api.auth import Merger, Reader, ServicesDep
from app.api.merge_bodies import MergeBody
from app.assembly import Services
from app.domain.caller import Caller, Scope
from app.domain.lineage import Kind
from app.domain.merge import MergeState
from app.domain.names import RepositoryName
from app.domain.recipe import Layer, OutputKind, Publish, Recipe
from app.errors import Missing, NotFound, RegistryError, ScopeMissing
from app.services.merging import MergeView
from app.services.registering import NewRepository
from app.web.asking import requests
from app.web.composition import Composition
from app.web.plots import kept_by_module, spectrum
from app.web.problem_pages import wants_page
from app.web.remedies import Refusal
from app.web.site import PageRoute, page, server_address, to

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Line = Annotated[str, Form(max_length=500)]
state_words = {
    MergeState.QUEUED: "waits for a worker",
    MergeState.RUNNING: "is being merged",
    MergeState.SUCCEEDED: "is done",
    MergeState.FAILED: "failed",
    MergeState.CANCELLED: "was cancelled",
}


@router.get("/merges/{id}")
def show(id: UUID, request: Request, services: ServicesDep, caller: Reader, module: str | None = None) -> Response:
    """How far it is; when it is done its files, and the report as plots, of a module the spectrum."""
    return answer(request, services, caller, services.merging.get(caller, id), module)


@router.post("/merges/{id}/cancel")
def cancel(id: UUID, services: ServicesDep, caller: Merger) -> Response:
    """Withdraw this request."""
    services.merging.cancel(caller, id)
    return to(f"/merges/{id}")


@router.post("/merges/{id}/publish")
def publish(
    id: UUID, request: Request, services: ServicesDep, caller: Merger, repository: Line = "", version: Line = ""
) -> Response:
    """Publish the result: the same recipe with a place to go, which is published at once."""
    if Scope.WRITE not in caller.scopes:
        raise ScopeMissing(Scope.WRITE.value)
    view = services.merging.get(caller, id)
    try:
        made = published(services, caller, exactly(view), Publish(repository.strip(), version.strip() or None))
        refusal = refused_publication(made)
    except RegistryError as error:
        if not wants_page(request.headers.get("accept")):
            raise
        refusal = Refusal.of(error)
    if refusal is not None:
        asked = {"repository": repository, "version": version}
        status = problems.by_name[refusal.name][0]
        return answer(request, services, caller, view, None, refusal, asked, status)
    if made.published is None:
        return to(f"/merges/{made.merge.id}")
    return to(f"/{made.published.repository}", version=str(made.published.number))


def refused_publication(made: MergeView) -> Refusal | None:
    """What is known of some refusals only where the result is: that it is not what has the number already."""
    error = made.merge.error
    return None if error is None else Refusal(error["name"], error["detail"], error["facts"])


def exactly(view: MergeView) -> Recipe:
    """The recipe as it was resolved: an alias may name another version by now.

    Raises: NotFound, without a name, where the reader may not see any more what was asked for.
    """
    recipe, plan = view.merge.recipe, view.merge.plan
    asked = [*(branch.version for branch in plan.branches), *(version for _, version in plan.pins)]
    if not view.mask.readable.issuperset(asked):
        raise NotFound("a version that went into the result")
    pins = {name: view.mask.references[version] for name, version in plan.pins}
    return replace(
        recipe,
        layers=tuple(
            Layer(branch.reference, layer.weight) for layer, branch in zip(recipe.layers, plan.branches, strict=True)
        ),
        conflicts={name: reference.partition("@")[2] for name, reference in pins.items()},
    )


def published(services: Services, caller: Caller, recipe: Recipe, target: Publish) -> MergeView:
    """Asked for, to be published; the repository that it goes to is made if it is not there."""
    try:
        return services.merging.submit(caller, replace(recipe, publish=target))
    except Missing as missing:
        if missing.facts.get("pointer") != "/publish/repository":
            raise
    kind = Kind.MODEL if recipe.output.kind is OutputKind.MODEL else Kind.ADAPTER
    services.registering.create(caller, NewRepository(RepositoryName.parse(target.repository), kind))
    return services.merging.submit(caller, replace(recipe, publish=target))


def answer(
    request: Request,
    services: Services,
    caller: Caller,
    view: MergeView,
    module: str | None,
    refusal: Refusal | None = None,
    asked: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    merge = MergeBody.of(view)
    kept = kept_by_module(merge.report)
    modules: dict[str, Any] = merge.report.get("per_module", {})
    shown = module if module in modules else kept[0].module if kept else None
    composition = Composition.of_recipe(merge.recipe)
    return page(
        request,
        caller,
        "merge.html",
        status=status,
        merge=merge,
        state_words=state_words[merge.state],
        is_evicted=view.merge.is_evicted,
        is_readable=view.is_result_readable,
        may_merge=Scope.MERGE in caller.scopes,
        default_visibility=services.registering.default_visibility.value,
        may_publish=Scope.MERGE in caller.scopes and Scope.WRITE in caller.scopes,
        is_mine=view.merge.user == caller.user_id,
        kept=kept,
        spectrum=None if shown is None else spectrum(shown, modules[shown]),
        composition=composition,
        snippets=requests(composition.to_json(), server_address(request)) if composition.layers else (),
        refusal=refusal,
        refusal_title=None if refusal is None else problems.by_name[refusal.name][1],
        asked=asked or {},
    )
