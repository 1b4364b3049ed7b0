"""Impact, recalls, and their feed."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field, StringConstraints

from app.api.auth import Anyone, ServicesDep, Writer
from app.api.bodies import Answer, Body, Listed, example
from app.api.paging import PageDep, time_and_id
from app.api.route import JsonRoute
from app.domain.names import RepositoryName
from app.domain.recall import Recall, Severity
from app.services.assessing import Affected, keys

router = APIRouter(route_class=JsonRoute)


class RecallAskedBody(Body):
    model_config = example(
        {"version": "alice/old5@1.0.0", "reason": "It was trained on the test set", "severity": "low"}
    )

    version: Annotated[str, StringConstraints(min_length=3, max_length=500)]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")]
    severity: Severity = Severity.HIGH


class RecallBody(Answer):
    id: UUID
    version: str
    digest: str
    reason: str
    severity: Severity
    recalled_by: str
    recalled_at: datetime
    undone_by: str | None
    undone_at: datetime | None

    @classmethod
    def of(cls, value: Recall) -> "RecallBody":
        return cls(
            id=value.id,
            version=value.reference,
            digest=value.digest,
            reason=value.reason,
            severity=value.severity,
            recalled_by=value.recalled_by,
            recalled_at=value.recalled_at,
            undone_by=value.undone_by,
            undone_at=value.undone_at,
        )


class CountBody(Answer):
    count: int
    capped: bool = Field(description="There are at least so many")


class ImpactBody(Answer):
    """Who is concerned when a version turns out to be bad."""

    reference: str
    digest: str
    counts: dict[Affected, CountBody]
    items: list[dict[str, Any]]
    next_cursor: str | None


@router.get("/repositories/{namespace}/{name}/versions/{ref}/impact")
def get_impact(
    namespace: str,
    name: str,
    ref: str,
    services: ServicesDep,
    caller: Anyone,
    page: PageDep,
    of: Annotated[Affected, Query(description="Which list `items` is a page of")] = Affected.DESCENDANTS,
) -> ImpactBody:
    """What contains a version or stands on it, of what the caller may read: counts, and a page of one list."""
    found = services.assessing.impact(
        caller, RepositoryName(namespace, name), ref, of, page.after(keys[of]), page.wanted
    )
    shown, cursor = page.cut(found.items, lambda entry: entry["key"])
    return ImpactBody(
        reference=found.reference,
        digest=found.digest,
        counts={kind: CountBody(count=it.count, capped=it.is_capped) for kind, it in found.counts.items()},
        items=[{name: value for name, value in entry.items() if name != "key"} for entry in shown],
        next_cursor=cursor,
    )


@router.post("/recalls", status_code=201)
def recall(body: RecallAskedBody, services: ServicesDep, caller: Writer, response: Response) -> RecallBody:
    """Pull a version out, with everything that holds it, stands on it or continues it."""
    made = services.recalling.recall(caller, body.version, body.reason, body.severity)
    response.headers["Location"] = f"/api/v1/recalls/{made.id}"
    return RecallBody.of(made)


@router.get("/recalls")
def list_recalls(
    services: ServicesDep, caller: Anyone, page: PageDep, active: bool | None = None
) -> Listed[RecallBody]:
    """The feed: recalls of versions that the caller may read, newest first."""
    found = services.recalling.recalls(caller, active, page.after(time_and_id), page.wanted)
    shown, cursor = page.cut(found, lambda entry: [entry.recalled_at.isoformat(), entry.id])
    return Listed[RecallBody](items=[RecallBody.of(entry) for entry in shown], next_cursor=cursor)


@router.get("/recalls/{id}")
def get_recall(id: UUID, services: ServicesDep, caller: Anyone) -> RecallBody:
    """One recall."""
    return RecallBody.of(services.recalling.get(caller, id))


@router.delete("/recalls/{id}", status_code=204, response_class=Response)
def undo_recall(id: UUID, services: ServicesDep, caller: Writer) -> None:
    """Put everything back as if the recall had never been; merges that it cancelled stay cancelled."""
    services.recalling.undo(caller, id)
