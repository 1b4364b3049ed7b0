"""What writers and owners do with a repository: plain forms, each of which can be refused on the page that it stands on."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import ValidationError

from app.api.auth import ServicesDep, Writer
from app.api.problems import statuses
from app.api.repositories import RepositoryChangeBody
from app.assembly import Services
from app.domain.caller import Caller
from app.domain.names import RepositoryName
from app.domain.recall import OnRecall, Severity
from app.domain.repository import Derivatives, Visibility
from app.errors import Conflict, Forbidden, Malformed, MalformedRequest, Missing, RegistryError
from app.web.problem_pages import wants_page
from app.web.repository import answer, moved, root
from app.web.site import PageRoute, to

router = APIRouter(route_class=PageRoute, include_in_schema=False)
settings = root + "/settings"
Line = Annotated[str, Form(max_length=500)]
Text = Annotated[str, Form(max_length=10_000)]
done = {
    "details": "The description is saved.",
    "access": "Who may read what is saved.",
    "alias": "The alias is moved.",
    "alias-removed": "The alias is removed; its history stays.",
    "recall": "The version is recalled, with everything that holds it or stands on it.",
    "undone": "The recall is undone.",
    "version": "The version is deleted. Its number is never used again.",
}
"""What a page says after a form was sent."""


@router.get(settings)
def controls(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    saved: Annotated[str | None, Query(max_length=40)] = None,
    version: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """What may be changed, and what may be taken away."""
    at = RepositoryName(namespace, name)
    return shown(request, services, caller, at, saved=saved, chosen=version)


def shown(
    request: Request,
    services: Services,
    caller: Caller,
    at: RepositoryName,
    *,
    saved: str | None = None,
    chosen: str | None = None,
    form: str | None = None,
    sent: Mapping[str, str] | None = None,
    error: RegistryError | None = None,
) -> Response:
    """The page; after a refusal, with what was refused at its form."""
    view = services.showing.view(caller, at, None)
    if not caller.may_write(view.repository.namespace_id):
        raise Forbidden("change", view.repository.full_name)
    if error is None and (there := moved(request, view, at)) is not None:
        return there
    return answer(
        request,
        caller,
        view,
        "repository_settings.html",
        "settings",
        status=200 if error is None else statuses[type(error)][0],
        saved=done.get(saved or ""),
        chosen=chosen,
        # what was sent stands in the form that was refused
        sent=defaultdict(str, sent or {}),
        refused_form=form,
        error=error,
        severities=[severity.value for severity in Severity],
    )


def attempt(
    request: Request,
    services: Services,
    caller: Caller,
    at: RepositoryName,
    form: str,
    act: Callable[[], object],
    sent: Mapping[str, str],
    then: str | None = None,
) -> Response:
    """Do it, and go on to where its effect is seen; what is refused is told at the form that asked for it."""
    try:
        act()
    except (Malformed, Conflict, Missing) as error:
        if not wants_page(request.headers.get("accept")):
            raise
        # what is wrong with the repository itself is told instead of the page
        return shown(request, services, caller, at, form=form, sent=sent, error=error)
    return to(f"/{at}/settings", saved=form) if then is None else to(then)


def changed(services: Services, caller: Caller, at: RepositoryName, fields: dict[str, object]) -> None:
    """Raises: MalformedRequest, and what `Registering.change` raises."""
    try:
        body = RepositoryChangeBody.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        raise MalformedRequest(f"{fault['loc'][0]}: {fault['msg']}", pointer=f"/{fault['loc'][0]}") from error
    services.registering.change(caller, at, body.to_value())


def confirm(given: str, wanted: str) -> None:
    """Raises: MalformedRequest."""
    if given.strip() != wanted:
        raise MalformedRequest(f"to confirm, write {wanted}", pointer="/confirmation")


@router.post(settings + "/details")
def change_details(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    description: Text = "",
    license: Line = "",
    tags: Line = "",
) -> Response:
    """Description, licence and tags, as they stand in the form."""
    at = RepositoryName(namespace, name)
    fields: dict[str, object] = {
        "description": description.replace("\r\n", "\n").strip() or None,
        "license": license.strip() or None,
        "tags": list(dict.fromkeys(tag.strip() for tag in tags.split(",") if tag.strip())),
    }
    sent = {"description": description, "license": license, "tags": tags}
    return attempt(request, services, caller, at, "details", lambda: changed(services, caller, at, fields), sent)


@router.post(settings + "/access")
def change_access(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    visibility: Annotated[Visibility, Form()],
    derivatives: Annotated[Derivatives, Form()],
    on_recall: Annotated[OnRecall, Form()],
) -> Response:
    """Who may read it and what was made of it, and what aliases do in a recall."""
    at = RepositoryName(namespace, name)
    fields: dict[str, object] = {"visibility": visibility, "derivatives": derivatives, "on_recall": on_recall}
    return attempt(request, services, caller, at, "access", lambda: changed(services, caller, at, fields), {})


@router.post(settings + "/alias")
def move_alias(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    alias: Line = "",
    version: Line = "",
) -> Response:
    """Let an alias name a version from now on."""
    at = RepositoryName(namespace, name)
    return attempt(
        request,
        services,
        caller,
        at,
        "alias",
        lambda: services.aliasing.point(caller, at, alias.strip(), version.strip()),
        {"alias": alias, "version": version},
    )


@router.post(settings + "/alias-removed")
def remove_alias(
    namespace: str, name: str, request: Request, services: ServicesDep, caller: Writer, alias: Line = ""
) -> Response:
    """Remove an alias."""
    at = RepositoryName(namespace, name)
    return attempt(
        request, services, caller, at, "alias-removed", lambda: services.aliasing.remove(caller, at, alias.strip()), {}
    )


@router.post(settings + "/recall")
def recall(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    version: Line = "",
    reason: Text = "",
    severity: Annotated[Severity, Form()] = Severity.HIGH,
) -> Response:
    """Pull a version out, with everything that holds it or stands on it."""
    at = RepositoryName(namespace, name)

    def act() -> None:
        if not reason.strip():
            raise MalformedRequest("say why it is recalled: whoever uses it is told", pointer="/reason")
        services.recalling.recall(caller, f"{at}@{version.strip()}", reason.strip(), severity)

    return attempt(
        request, services, caller, at, "recall", act, {"version": version, "reason": reason, "severity": severity.value}
    )


@router.post(settings + "/undone")
def undo_recall(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    recall: Annotated[UUID, Form()],
) -> Response:
    """Put back what a recall has changed."""
    at = RepositoryName(namespace, name)

    return attempt(request, services, caller, at, "undone", lambda: services.recalling.undo(caller, recall), {})


@router.post(settings + "/version")
def delete_version(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    version: Line = "",
    confirmation: Line = "",
) -> Response:
    """Delete a version."""
    at = RepositoryName(namespace, name)

    def act() -> None:
        confirm(confirmation, version.strip())
        services.reading.delete(caller, at, version.strip())

    return attempt(request, services, caller, at, "version", act, {"version": version})


@router.post(settings + "/repository")
def delete_repository(
    namespace: str, name: str, request: Request, services: ServicesDep, caller: Writer, confirmation: Line = ""
) -> Response:
    """Delete the repository."""
    at = RepositoryName(namespace, name)

    def act() -> None:
        confirm(confirmation, str(at))
        services.registering.delete(caller, at)

    return attempt(request, services, caller, at, "repository", act, {}, then=f"/{namespace}")
