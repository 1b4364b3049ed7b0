"""Webhooks, and what was delivered to them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from app.api.auth import Reader, ServicesDep, Writer
from app.api.bodies import Answer, Body, Listed
from app.api.paging import PageDep
from app.api.route import BoundedRoute, JsonRoute
from app.domain.event import EventType
from app.lineage.webhooks import Delivery, Webhook
from app.services.hooking import WebhookAsked

router = APIRouter(route_class=JsonRoute)
secrets = APIRouter(route_class=BoundedRoute)
"""Answers with a secret, which no Idempotency-Key keeps."""


class WebhookAskedBody(Body):
    url: Annotated[str, StringConstraints(min_length=8, max_length=2_000)]
    events: Annotated[list[EventType], Field(min_length=1, max_length=len(EventType))]
    namespace: Annotated[str, StringConstraints(min_length=1, max_length=96)] | None = Field(
        None, description="Of all its repositories; or `repository`"
    )
    repository: Annotated[str, StringConstraints(min_length=3, max_length=200)] | None = None
    secret: Annotated[str, StringConstraints(min_length=24, max_length=200, pattern=r"^[\x21-\x7e]+$")] | None = Field(
        None, description="What deliveries are signed with; made unless given"
    )


class WebhookBody(Answer):
    id: UUID
    url: str
    events: list[EventType]
    namespace: str
    repository: str | None
    created_at: datetime

    @classmethod
    def of(cls, value: Webhook) -> "WebhookBody":
        return cls(**members_of(value))


class NewWebhookBody(WebhookBody):
    secret: str = Field(description="Told once")


class DeliveryBody(Answer):
    id: UUID
    state: str = Field(description="waiting, delivered, or failed: given up after three days")
    attempts: int
    status: int | None
    error: str | None
    payload: dict[str, Any] | None = Field(description="null: you may not know any more what it told")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, value: Delivery) -> "DeliveryBody":
        return cls(
            id=value.id,
            state=value.state,
            attempts=value.attempts,
            status=value.status,
            error=value.error,
            payload=value.payload,
            created_at=value.created_at,
            finished_at=value.finished_at,
        )


def members_of(value: Webhook) -> dict[str, Any]:
    return {
        "id": value.id,
        "url": value.url,
        "events": list(value.events),
        "namespace": value.namespace_name,
        "repository": value.repository_name,
        "created_at": value.created_at,
    }


@secrets.post("/webhooks", status_code=201)
def create_webhook(body: WebhookAskedBody, services: ServicesDep, caller: Writer, response: Response) -> NewWebhookBody:
    """Have events of a namespace, or of one of its repositories, sent to a URL; for its owners."""
    asked = WebhookAsked(body.url, tuple(dict.fromkeys(body.events)), body.namespace, body.repository, body.secret)
    made = services.hooking.create(caller, asked)
    response.headers["Location"] = f"/api/v1/webhooks/{made.id}"
    return NewWebhookBody(**members_of(made), secret=made.secret)


@router.get("/webhooks")
def list_webhooks(services: ServicesDep, caller: Reader, page: PageDep) -> Listed[WebhookBody]:
    """Of the namespaces that the caller owns."""
    found = services.hooking.webhooks(caller, page.after(UUID), page.wanted)
    shown, cursor = page.cut(found, lambda webhook: webhook.id)
    return Listed[WebhookBody](items=[WebhookBody.of(webhook) for webhook in shown], next_cursor=cursor)


@router.get("/webhooks/{id}")
def get_webhook(id: UUID, services: ServicesDep, caller: Reader) -> WebhookBody:
    """One webhook, without its secret."""
    return WebhookBody.of(services.hooking.get(caller, id))


@router.delete("/webhooks/{id}", status_code=204, response_class=Response)
def delete_webhook(id: UUID, services: ServicesDep, caller: Writer) -> None:
    """Send nothing more; what waits is given up."""
    services.hooking.delete(caller, id)


@router.get("/webhooks/{id}/deliveries")
def list_deliveries(id: UUID, services: ServicesDep, caller: Reader, page: PageDep) -> Listed[DeliveryBody]:
    """What was sent and what waits, newest first; kept for 30 days. What it told is left out where you lost the right to it."""
    found = services.hooking.deliveries(caller, id, page.after(UUID), page.wanted)
    shown, cursor = page.cut(found, lambda delivery: delivery.id)
    return Listed[DeliveryBody](items=[DeliveryBody.of(delivery) for delivery in shown], next_cursor=cursor)


@router.post("/webhooks/{id}/deliveries/{delivery}/replay", status_code=202)
def replay(id: UUID, delivery: UUID, services: ServicesDep, caller: Writer) -> DeliveryBody:
    """Send something once more, after all that waits."""
    return DeliveryBody.of(services.hooking.replay(caller, id, delivery))
