"""The composer: adapters laid beside each other, and what a merge of them would be, before it is asked for."""

from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from app.api import problems
from app.api.auth import Merger, Reader, ServicesDep
from app.api.merge_bodies import PlanBody, RecipeBody
from app.api.problems import pointer_of
from app.assembly import Services
from app.domain.caller import Caller, Scope
from app.domain.recipe import Recipe
from app.errors import MalformedRequest, RegistryError
from app.merge.methods import methods
from app.services.fitting import Obstacle
from app.web.asking import requests
from app.web.composition import Composition
from app.web.drawing import draw_paths
from app.web.methods_told import by_family, told
from app.web.problem_pages import wants_page
from app.web.remedies import Refusal, remedies
from app.web.site import PageRoute, page, server_address, to

router = APIRouter(route_class=PageRoute, include_in_schema=False)

most_candidates = 12
culprits = ("versions", "shared", "reference", "ancestor", "member")
"""Facts of a refusal that name what its paths lead to."""
obstacle_words = {
    Obstacle.ALREADY_THERE: "It is a layer already",
    Obstacle.RECALLED: "Does not fit: it was recalled",
    Obstacle.OTHER_BASE: "Does not fit: it was trained on another base model",
}


@router.get("/merges/new")
def compose(request: Request, services: ServicesDep, caller: Reader, do: str | None = None) -> Response:
    """What is composed so far, planned. A button's `do` leads to the state after it."""
    composition = composition_of(request)
    if do is not None:
        return to(composition.apply(do).url)
    return answer(request, services, caller, composition, *planned(services, caller, composition))


@router.post("/merges/new")
def start(request: Request, services: ServicesDep, caller: Merger) -> Response:
    """Ask for the merge that the URL describes, and go where it can be watched."""
    composition = composition_of(request)
    try:
        view = services.merging.submit(caller, recipe_of(composition))
    except RegistryError as error:
        if not wants_page(request.headers.get("accept")):
            raise
        refusal = Refusal.of(error)
        status = problems.by_name[refusal.name][0]
        return answer(request, services, caller, composition, None, refusal, status)
    return to(f"/merges/{view.merge.id}")


def composition_of(request: Request) -> Composition:
    return Composition.parse(parse_qsl(request.url.query, keep_blank_values=True))


def recipe_of(composition: Composition) -> Recipe:
    """By the parser of `POST /merges`. Raises: MalformedRequest, UnknownMethod."""
    try:
        body = RecipeBody.model_validate(composition.to_json())
    except ValidationError as error:
        fault = error.errors()[0]
        raise MalformedRequest(fault["msg"], pointer_of(("body", *fault["loc"]))) from error
    return body.to_recipe()


def planned(services: Services, caller: Caller, composition: Composition) -> tuple[PlanBody | None, Refusal | None]:
    """The plan, or why there is none; neither where nothing was composed yet."""
    if not composition.layers:
        return None, None
    try:
        return PlanBody.of_view(services.merging.plan(caller, recipe_of(composition))), None
    except RegistryError as error:
        return None, Refusal.of(error)


def answer(
    request: Request,
    services: Services,
    caller: Caller,
    composition: Composition,
    plan: PlanBody | None,
    refusal: Refusal | None,
    status: int = 200,
) -> Response:
    bench = services.fitting.look(
        caller, [layer.reference for layer in composition.layers], composition.q, most_candidates
    )
    context: dict[str, Any] = {"helps": [], "drawing": None, "refusal_title": None, "snippets": ()}
    if refusal is not None:
        names = [placed.asked if placed.version is None else placed.version.reference for placed in bench.layers]
        context["refusal_title"] = problems.by_name[refusal.name][1]
        context["helps"] = remedies(refusal, composition, names, lambda other: planned(services, caller, other)[1])
        if paths := refusal.facts.get("paths"):
            context["drawing"] = draw_paths(paths, culprits_in(refusal))
    if composition.layers and (refusal is None or refusal.name != "malformed-request"):
        context["snippets"] = requests(composition.to_json(), server_address(request))
    facts = composition.facts
    return page(
        request,
        caller,
        "compose.html",
        status=status,
        composition=composition,
        bench=bench,
        obstacle_words=obstacle_words,
        plan=plan,
        refusal=refusal,
        facts=facts,
        parameters=[] if facts is None else told(facts),
        families=by_family(),
        methods=methods,
        may_merge=Scope.MERGE in caller.scopes,
        **context,
    )


def culprits_in(refusal: Refusal) -> list[Any]:
    found: list[Any] = []
    for fact in culprits:
        value = refusal.facts.get(fact, [])
        found += value if isinstance(value, list) else [value]
    return found
