"""Stacks: defined, resolved into locks, compared, rolled back, merged; and their proposals."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api.auth import Anyone, Merger, ServicesDep, Writer
from app.api.bodies import Listed
from app.api.merge_bodies import MergeBody
from app.api.paging import PageDep, row_number
from app.api.route import JsonRoute
from app.api.stack_bodies import DifferenceBody, LockBody, ProposalBody, RollbackBody, StackAskedBody, StackBody
from app.domain.names import RepositoryName
from app.domain.stack import ProposalState

router = APIRouter(route_class=JsonRoute)

root = "/stacks/{namespace}/{name}"
Number = Annotated[int, Path(ge=1, lt=2**31)]


@router.put(root, responses={201: {"model": StackBody, "description": "Made"}})
def put_stack(
    namespace: str, name: str, body: StackAskedBody, services: ServicesDep, caller: Writer, response: Response
) -> StackBody:
    """Define a stack: which adapters, in which ranges, and how they are merged. Its locks stay."""
    view, is_new = services.stacking.put(caller, RepositoryName.parse(f"{namespace}/{name}"), body.to_value())
    response.status_code = 201 if is_new else 200
    return StackBody.of(view)


@router.get(root)
def get_stack(namespace: str, name: str, services: ServicesDep, caller: Anyone) -> StackBody:
    """What a stack asks for, and its last lock."""
    return StackBody.of(services.stacking.get(caller, RepositoryName(namespace, name)))


@router.post(root + "/lock", status_code=201, responses={200: {"model": LockBody, "description": "Nothing changed"}})
def lock_stack(namespace: str, name: str, services: ServicesDep, caller: Writer, response: Response) -> LockBody:
    """Resolve the ranges to the newest versions that agree through lineage; a new lock if that is another outcome."""
    view, is_new = services.stacking.lock(caller, RepositoryName(namespace, name))
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = location_of(view.repository.full_name, view.lock.number)
    return LockBody.of(view)


def location_of(stack: str, number: int) -> str:
    return f"/api/v1/stacks/{stack}/locks/{number}"


@router.get(root + "/locks")
def list_locks(namespace: str, name: str, services: ServicesDep, caller: Anyone, page: PageDep) -> Listed[LockBody]:
    """Locks, newest first."""
    found = services.stacking.locks(caller, RepositoryName(namespace, name), page.after(row_number), page.wanted)
    shown, cursor = page.cut(found, lambda view: view.lock.number)
    return Listed[LockBody](items=[LockBody.of(view) for view in shown], next_cursor=cursor)


@router.get(root + "/locks/{first}...{second}")
def compare_locks(
    namespace: str, name: str, first: Number, second: Number, services: ServicesDep, caller: Anyone
) -> DifferenceBody:
    """What changed from one lock to another."""
    return DifferenceBody.of(services.stacking.difference(caller, RepositoryName(namespace, name), first, second))


@router.get(root + "/locks/{number}")
def get_lock(namespace: str, name: str, number: Number, services: ServicesDep, caller: Anyone) -> LockBody:
    """One lock: every version by its digest, the trunk included."""
    return LockBody.of(services.stacking.get_lock(caller, RepositoryName(namespace, name), number))


@router.post(
    root + "/locks/{number}/merge",
    status_code=202,
    responses={200: {"model": MergeBody, "description": "Already there"}},
)
def merge_lock(
    namespace: str, name: str, number: Number, services: ServicesDep, caller: Merger, response: Response
) -> MergeBody:
    """Merge a lock: into the stack's version `number.0.0` for who may write the stack, else for the caller alone."""
    view = services.stacking.merge(caller, RepositoryName(namespace, name), number)
    response.status_code = 200 if view.merge.is_cached else 202
    response.headers["Location"] = f"/api/v1/merges/{view.merge.id}"
    return MergeBody.of(view)


@router.post(root + "/rollback", status_code=201)
def roll_back(
    namespace: str, name: str, body: RollbackBody, services: ServicesDep, caller: Writer, response: Response
) -> LockBody:
    """A new lock with the outcome of an earlier one; it stays until upstreams come to something new."""
    view = services.stacking.rollback(caller, RepositoryName(namespace, name), body.lock)
    response.headers["Location"] = location_of(view.repository.full_name, view.lock.number)
    return LockBody.of(view)


@router.get(root + "/proposals")
def list_proposals(
    namespace: str,
    name: str,
    services: ServicesDep,
    caller: Anyone,
    page: PageDep,
    state: ProposalState | None = None,
) -> Listed[ProposalBody]:
    """What upstream changes would make of the stack, newest first."""
    found = services.following.proposals(
        caller, RepositoryName(namespace, name), state, page.after(row_number), page.wanted
    )
    shown, cursor = page.cut(found, lambda entry: entry[0].number)
    return Listed[ProposalBody](items=[ProposalBody.of(*entry) for entry in shown], next_cursor=cursor)


@router.post(root + "/proposals/{number}/accept", status_code=201)
def accept_proposal(
    namespace: str, name: str, number: Number, services: ServicesDep, caller: Writer, response: Response
) -> LockBody:
    """Make a proposal the next lock, and merge it."""
    view = services.following.accept(caller, RepositoryName(namespace, name), number)
    response.headers["Location"] = location_of(view.repository.full_name, view.lock.number)
    return LockBody.of(view)


@router.post(root + "/proposals/{number}/reject", status_code=204, response_class=Response)
def reject_proposal(namespace: str, name: str, number: Number, services: ServicesDep, caller: Writer) -> None:
    """Say no; the same outcome is not proposed again before another one was."""
    services.following.reject(caller, RepositoryName(namespace, name), number)
