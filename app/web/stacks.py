"""A stack's locks and proposals: what it asks for, what that came to, and what would change."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request, Response

from app.api.auth import Anyone, Merger, ServicesDep, Writer
from app.api.paging import Page, PageDep, row_number
from app.api.problems import statuses
from app.api.stack_bodies import DifferenceBody, LockBody, ProposalBody, StackBody
from app.assembly import Services
from app.domain.caller import Caller
from app.domain.names import RepositoryName
from app.domain.stack import ProposalState
from app.errors import AlreadyDecided, RefusedPlan, RegistryError
from app.web.repository import answer, moved, root
from app.web.site import PageRoute, to

router = APIRouter(route_class=PageRoute, include_in_schema=False)

locks_path = root + "/locks"
Number = Annotated[int, Path(ge=1, lt=2**31)]
updates_told = {
    "auto": "Follows its upstreams: another outcome becomes a lock and is merged.",
    "propose": "Another outcome becomes a proposal, which somebody accepts or rejects.",
    "pin": "Stays as it is; only a recalled layer becomes a proposal.",
}
reasons_told = {
    "lock": "somebody asked for it",
    "rollback": "rolled back",
    "update": "an upstream changed",
    "proposal": "a proposal was accepted",
    "recall": "a layer was recalled",
}


def location(name: RepositoryName, below: str = "") -> str:
    return f"/{name}/locks{below}"


@router.get(locks_path)
def stack(
    namespace: str, name: str, request: Request, services: ServicesDep, caller: Anyone, shown: PageDep
) -> Response:
    """What a stack asks for, its locks, and what is proposed."""
    return show_stack(request, services, caller, RepositoryName(namespace, name), shown)


def show_stack(
    request: Request,
    services: Services,
    caller: Caller,
    at: RepositoryName,
    shown: Page,
    error: RegistryError | None = None,
) -> Response:
    found = StackBody.of(services.stacking.get(caller, at))
    view = services.showing.view(caller, at, None)
    if error is None and (there := moved(request, view, at)) is not None:
        return there
    locks = services.stacking.locks(caller, at, shown.after(row_number), shown.wanted)
    entries, cursor = shown.cut(locks, lambda entry: entry.lock.number)
    waiting = services.following.proposals(caller, at, ProposalState.OPEN, None, 1)
    return answer(
        request,
        caller,
        view,
        "stack.html",
        "locks",
        status=200 if error is None else statuses[type(error)][0],
        stack=found,
        locks=[LockBody.of(entry) for entry in entries],
        next=None if cursor is None else f"{location(at)}?{urlencode({'cursor': cursor})}",
        waiting=[ProposalBody.of(*entry) for entry in waiting],
        updates_told=updates_told,
        reasons_told=reasons_told,
        error=error,
    )


@router.post(locks_path)
def resolve(
    namespace: str, name: str, request: Request, services: ServicesDep, caller: Writer, shown: PageDep
) -> Response:
    """Resolve the stack now; a new lock if that is another outcome."""
    at = RepositoryName(namespace, name)
    return changed(
        request,
        services,
        caller,
        at,
        shown,
        lambda: to(location(at, f"/{services.stacking.lock(caller, at)[0].lock.number}")),
    )


def changed(
    request: Request,
    services: Services,
    caller: Caller,
    at: RepositoryName,
    shown: Page,
    change: Callable[[], Response],
) -> Response:
    """What a change leads to, or the stack's page with why it was refused."""
    try:
        return change()
    except (RefusedPlan, AlreadyDecided) as error:
        return show_stack(request, services, caller, at, shown, error)


@router.get(locks_path + "/{first}...{second}")
def difference(
    namespace: str, name: str, first: Number, second: Number, request: Request, services: ServicesDep, caller: Anyone
) -> Response:
    """What changed from one lock to another."""
    at = RepositoryName(namespace, name)
    found = DifferenceBody.of(services.stacking.difference(caller, at, first, second))
    view = services.showing.view(caller, at, None)
    return answer(request, caller, view, "lock_difference.html", "locks", difference=found)


@router.get(locks_path + "/{number}")
def lock(
    namespace: str, name: str, number: Number, request: Request, services: ServicesDep, caller: Anyone
) -> Response:
    """One lock: every version by its digest, the trunk included."""
    at = RepositoryName(namespace, name)
    found = LockBody.of(services.stacking.get_lock(caller, at, number))
    view = services.showing.view(caller, at, None)
    last = services.stacking.get(caller, at).lock
    return answer(
        request,
        caller,
        view,
        "lock.html",
        "locks",
        lock=found,
        last=None if last is None else last.lock.number,
        reasons_told=reasons_told,
    )


@router.post(locks_path + "/{number}/merge")
def merge_lock(
    namespace: str,
    name: str,
    number: Number,
    request: Request,
    services: ServicesDep,
    caller: Merger,
    shown: PageDep,
) -> Response:
    """Merge a lock: as the stack's version for those who may write it, else for the caller alone."""
    at = RepositoryName(namespace, name)
    return changed(
        request,
        services,
        caller,
        at,
        shown,
        lambda: to(f"/merges/{services.stacking.merge(caller, at, number).merge.id}"),
    )


@router.post(locks_path + "/{number}/rollback")
def roll_back(
    namespace: str,
    name: str,
    number: Number,
    services: ServicesDep,
    caller: Writer,
) -> Response:
    """A new lock with this one's outcome."""
    at = RepositoryName(namespace, name)
    made = services.stacking.rollback(caller, at, number)
    return to(location(at, f"/{made.lock.number}"))


@router.get(root + "/proposals")
def proposals(
    namespace: str, name: str, request: Request, services: ServicesDep, caller: Anyone, shown: PageDep
) -> Response:
    """What upstream changes would make of the stack, and what became of it; newest first."""
    at = RepositoryName(namespace, name)
    found = services.following.proposals(caller, at, None, shown.after(row_number), shown.wanted)
    entries, cursor = shown.cut(found, lambda entry: entry[0].number)
    view = services.showing.view(caller, at, None)
    last = services.stacking.get(caller, at).lock
    return answer(
        request,
        caller,
        view,
        "proposals.html",
        "locks",
        proposals=[ProposalBody.of(*entry) for entry in entries],
        last=None if last is None else LockBody.of(last),
        next=None if cursor is None else f"/{at}/proposals?{urlencode({'cursor': cursor})}",
        reasons_told=reasons_told,
    )


@router.post(root + "/proposals/{number}/accept")
def accept(
    namespace: str,
    name: str,
    number: Number,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    shown: PageDep,
) -> Response:
    """Make a proposal the next lock, and merge it."""
    at = RepositoryName(namespace, name)
    return changed(
        request,
        services,
        caller,
        at,
        shown,
        lambda: to(location(at, f"/{services.following.accept(caller, at, number).lock.number}")),
    )


@router.post(root + "/proposals/{number}/reject")
def reject(
    namespace: str,
    name: str,
    number: Number,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    shown: PageDep,
) -> Response:
    """Say no; the same outcome is not proposed again before another one was."""
    at = RepositoryName(namespace, name)

    def say_no() -> Response:
        services.following.reject(caller, at, number)
        return to(f"/{at}/proposals")

    return changed(request, services, caller, at, shown, say_no)
