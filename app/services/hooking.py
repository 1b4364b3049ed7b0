"""Webhooks: who wants to be told of what, what was sent to them, and the sending itself."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from app.domain.caller import Caller
from app.domain.event import Event, EventType
from app.domain.names import RepositoryName
from app.errors import AddressRefused, Forbidden, MalformedRequest, NotFound, TooManyWebhooks
from app.lineage import accounts, audit, idempotency, queue, repositories, versions, webhooks
from app.lineage.engine import Connection, Database
from app.lineage.queue import TaskName
from app.lineage.webhooks import Attempt, Delivery, Webhook
from app.outbound.sending import NotSent, Sender
from app.services import finding

most_webhooks = 1_000
"""Of one namespace."""
sent_at_once = 64
"""Webhooks that one worker sends to at a time: those that hang keep nobody waiting."""
turn_seconds = 20
"""How long a worker begins to send before other chores have their turn."""


@dataclass(frozen=True, slots=True)
class WebhookAsked:
    url: str
    events: tuple[EventType, ...]
    namespace: str | None
    repository: str | None
    secret: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt; without a problem it was delivered."""

    status: int | None
    problem: str | None


class Hooking:
    def __init__(self, database: Database, sender: Sender) -> None:
        self.database = database
        self.sender = sender

    def create(self, caller: Caller, asked: WebhookAsked) -> Webhook:
        """For owners of a namespace. Its secret is known from this answer alone.

        Raises: AddressRefused, NotFound, Deleted, Forbidden, InvalidName, MalformedRequest, TooManyWebhooks.
        """
        self.sender.check(asked.url)
        id = uuid4()
        with self.database.begin() as tx:
            repository = None
            if (asked.namespace is None) is (asked.repository is None):
                raise MalformedRequest("a webhook is of a namespace or of a repository", pointer="/namespace")
            if asked.repository is not None:
                found = finding.repository(tx, RepositoryName.parse(asked.repository), caller, "/repository")
                namespace, name, repository = found.namespace_id, found.full_name, found.id
            else:
                holder = accounts.find_namespace(tx, asked.namespace or "")
                if holder is None:
                    raise NotFound(asked.namespace or "", "/namespace")
                namespace, name = holder.id, holder.name
            if not caller.may_own(namespace):
                raise Forbidden("have webhooks of", name)
            if webhooks.count(tx, namespace) >= most_webhooks:
                raise TooManyWebhooks(most_webhooks)
            webhooks.insert_webhook(tx, id, namespace, repository, caller.user, asked.url, asked.secret, asked.events)
            idempotency.note(tx, caller, str(id))
            audit.record(tx, caller, "webhook.created", str(id), namespace=namespace, url=asked.url)
            return self._own(tx, caller, id)

    def _own(self, tx: Connection, caller: Caller, id: UUID) -> Webhook:
        found = webhooks.find(tx, id, None if caller.is_admin else webhooks.owned_by(caller))
        if found is None:
            raise NotFound(f"webhook {id}")
        return found

    def get(self, caller: Caller, id: UUID) -> Webhook:
        """Raises: NotFound."""
        with self.database.read() as tx:
            return self._own(tx, caller, id)

    def webhooks(self, caller: Caller, after: UUID | None, limit: int) -> list[Webhook]:
        """Of the namespaces that the caller owns."""
        with self.database.read() as tx:
            return webhooks.list_webhooks(tx, webhooks.owned_by(caller), after, limit)

    def delete(self, caller: Caller, id: UUID) -> None:
        """Raises: NotFound."""
        with self.database.begin() as tx:
            found = self._own(tx, caller, id)
            webhooks.mark_deleted(tx, id)
            audit.record(tx, caller, "webhook.deleted", str(id), namespace=found.namespace)

    def deliveries(self, caller: Caller, id: UUID, before: UUID | None, limit: int) -> list[Delivery]:
        """Newest first; what they told only where the caller may still know it. Raises: NotFound."""
        with self.database.read() as tx:
            self._own(tx, caller, id)
            return webhooks.deliveries(tx, caller, id, before, limit)

    def replay(self, caller: Caller, id: UUID, delivery: UUID) -> Delivery:
        """Send something once more, after all that waits. Raises: NotFound."""
        with self.database.begin() as tx:
            found = self._own(tx, caller, id)
            made = webhooks.replay(tx, caller, id, delivery)
            if made is None:
                raise NotFound(f"delivery {delivery}")
            audit.record(tx, caller, "webhook.replayed", str(id), namespace=found.namespace, delivery=str(delivery))
            return made

    # -- telling --

    def tell(self, tx: Connection, events: Sequence[Event]) -> None:
        """Have events delivered to every webhook that asked for them, as far as its user may read what they are about."""
        for event in events:
            for webhook in webhooks.listening(tx, event.type, event.repository):
                payload = self._payload(tx, webhook, event)
                if payload is not None:
                    webhooks.enqueue(tx, webhook.id, event.id, payload, event.repository, event.version)

    def _payload(self, tx: Connection, webhook: Webhook, event: Event) -> dict[str, Any] | None:
        """None for what the webhook's user may not own or read any more."""
        user = accounts.caller_of_user(tx, webhook.user)
        if not webhooks.may_be_told(tx, user, event.repository, event.version):
            return None
        repository = repositories.get(tx, event.repository)
        said: dict[str, Any] = {
            "type": event.type.value,
            "at": event.at.isoformat(),
            "repository": repository.full_name,
            "kind": repository.kind.value,
            "version": None,
        }
        if event.version is not None:
            found = versions.get(tx, event.version, user)
            if found is None:
                return None
            said["version"] = {
                "reference": found.reference,
                "digest": found.digest,
                "content_digest": found.content_digest,
                "state": found.state.value,
            }
        return said | {"details": event.details}

    # -- sending --

    def deliver(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Send what is due, to many webhooks at a time and to each one thing after another, until nothing is due; or for a
        while, and what is due then is sent by a job behind all that wait now.

        Args:
            should_stop: whether the worker is stopping.
        """
        end = time.monotonic() + turn_seconds
        with ThreadPoolExecutor(sent_at_once, thread_name_prefix="webhook") as pool:
            running: dict[Future[Outcome], Attempt] = {}
            while True:
                is_over = should_stop() or time.monotonic() >= end
                while not is_over and len(running) < sent_at_once and (attempt := self._claim()) is not None:
                    running[pool.submit(self._send, attempt)] = attempt
                if not running:
                    break
                # what falls due meanwhile does not wait for one that hangs
                done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for finished in done:
                    # here, not where it was sent: so many threads would wait for each other's connections to the database
                    self._settle(running.pop(finished), finished.result())
        if is_over:
            with self.database.begin() as tx:
                queue.defer(tx, TaskName.DELIVER)

    def _claim(self) -> Attempt | None:
        """What is to be sent next. What the webhook's user may not know any more is never sent: they may have lost the right to
        it while it waited, or since it was sent before."""
        while True:
            with self.database.begin() as tx:
                attempt = webhooks.claim(tx)
                if attempt is None:
                    return None
                user = accounts.caller_of_user(tx, attempt.webhook.user)
                if webhooks.may_be_told(tx, user, attempt.repository, attempt.version):
                    return attempt
                webhooks.settle(tx, attempt, None, "its owner may not know of this any more", is_final=True)

    def _send(self, attempt: Attempt) -> Outcome:
        body = json.dumps(attempt.payload, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            headers = signed(attempt.webhook.secret, str(attempt.delivery), round(time.time()), body)
            return Outcome(self.sender.post(attempt.webhook.url, body, headers), None)
        except NotSent as error:
            return Outcome(error.status, error.reason)
        except AddressRefused as error:
            return Outcome(None, error.detail)

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        with self.database.begin() as tx:
            webhooks.settle(tx, attempt, outcome.status, outcome.problem)


def signed(secret: str, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery. Source: Standard Webhooks 1.0.0: HMAC-SHA256 of `id.timestamp.body`, in base64."""
    message = f"{id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Glulam",
        "Webhook-Id": id,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": f"v1,{signature}",
    }
