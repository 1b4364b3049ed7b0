"""The upload form: with a script, which reads files before it sends them and goes on where it was cut; and without one."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from io import BytesIO
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from app.api import sessions
from app.api.auth import Policy, ServicesDep
from app.api.forms import files_in, parsed
from app.api.problems import by_name, pointer_of
from app.api.versions import NewVersionBody
from app.assembly import Services
from app.domain.base_model import BaseModel, same_base
from app.domain.caller import Caller, MemberRole, Scope
from app.domain.lineage import Kind, VersionState
from app.domain.names import RepositoryName
from app.domain.repository import Repository
from app.domain.version import Version
from app.errors import CrossSiteRequest, MalformedRequest, Missing, RegistryError, Unavailable
from app.formats import adapter_config, header, peft_names
from app.formats.card import card_file
from app.services.form_publishing import FormFile
from app.web import refusals
from app.web.markdown import render
from app.web.problem_pages import wants_page
from app.web.site import PageRoute, page, to

router = APIRouter(route_class=PageRoute, include_in_schema=False)
forms = APIRouter(include_in_schema=False)
"""What is sent here is as large as files are."""

Publisher = Annotated[Caller, Depends(Policy(Scope.WRITE))]
FormPublisher = Annotated[Caller, Depends(Policy(Scope.WRITE, has_long_form=True))]

rows_without_script = 3
"""For parents: a page without script cannot add any."""
begins_with_word = re.compile(r"[a-z]+[ ,:]")
most_suggestions = 12
most_versions_looked_at = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands in the form's fields, as it was typed."""

    namespace: str = ""
    name: str = ""
    kind: str = Kind.ADAPTER.value
    description: str = ""
    license: str = ""
    tags: str = ""
    visibility: str = ""
    base_model: str = ""
    version: str = ""
    builds_on: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    """Of `builds_on`, one by one."""
    stands_on_nothing: str = ""
    initialized_from: str = ""
    notes: str = ""
    card: str = ""
    files: tuple[str, ...] = ()
    """Names of those that were chosen; no page can choose them again for anybody."""

    @classmethod
    def of(cls, form: FormData) -> "Asked":
        given: dict[str, Any] = {
            each.name: text for each in fields(cls) if isinstance(text := form.get(each.name), str)
        }
        given = {name: text.replace("\r\n", "\n").strip() for name, text in given.items()}
        rows = [
            (reference.strip(), weight.strip())
            for reference, weight in zip(form.getlist("builds_on"), form.getlist("weights"), strict=False)
            if isinstance(reference, str) and isinstance(weight, str) and reference.strip()
        ]
        files = tuple(part.filename or "" for part in files_in(form))
        return cls(
            **given | {"builds_on": tuple(r for r, _ in rows), "weights": tuple(w for _, w in rows), "files": files}
        )

    @property
    def repository(self) -> RepositoryName:
        """Raises: InvalidName."""
        return RepositoryName.parse(f"{self.namespace}/{self.name}")

    def body(self, *, is_new: bool) -> NewVersionBody:
        """As `POST …/versions` takes it, but for the files. Raises: MalformedRequest."""
        create = {
            "kind": self.kind,
            "base_model": self.base_model or None,
            "description": self.description or None,
            "license": self.license or None,
            "tags": [tag.strip() for tag in self.tags.split(",") if tag.strip()],
            "visibility": self.visibility or None,
        }
        said = {
            # not looked at: the form brings the bytes themselves
            "files": {card_file: ""},
            "version": self.version or None,
            "base_model": self.base_model or None,
            "builds_on": self.parents(),
            "initialized_from": self.initialized_from or None,
            "notes": self.notes or None,
            "create": create if is_new else None,
        }
        try:
            return NewVersionBody.model_validate(said)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            raise MalformedRequest(fault["msg"], pointer=pointer_of(("body", *fault["loc"]))) from error

    def parents(self) -> list[dict[str, Any]] | None:
        """None says nothing of what it builds on; an empty list says: on nothing. Raises: MalformedRequest."""
        if not self.builds_on:
            return [] if self.stands_on_nothing else None
        return [
            {"version": reference, "weight": number(weight, f"/builds_on/{index}")}
            for index, (reference, weight) in enumerate(zip(self.builds_on, self.weights, strict=True))
        ]


def number(text: str, pointer: str) -> float:
    """1 where nothing stands. Raises: MalformedRequest."""
    try:
        return float(text.replace(",", ".")) if text else 1.0
    except ValueError as error:
        raise MalformedRequest(f"the weight {text[:40]!r} is not a number", pointer=pointer) from error


@router.get("/upload")
def form(request: Request, services: ServicesDep, caller: Publisher, repository: str = "") -> Response:
    """The form; with a repository, for its next version."""
    namespace, _, name = repository.partition("/")
    return shown(request, services, caller, Asked(namespace=namespace or caller.name or "", name=name))


@forms.post("/upload")
async def publish(request: Request, services: ServicesDep, caller: FormPublisher) -> Response:
    """What the form sends without a script. A refusal is shown at its field, and what was typed stays."""
    asked = Asked(namespace=caller.name or "")
    try:
        async with parsed(request, services.http.form_bytes) as sent:
            if request.state.is_by_session:
                token = sent.get(sessions.form_field)
                sessions.check_form(request, token if isinstance(token, str) else None)
            files = [FormFile(part.filename or "", part.file) for part in files_in(sent)]
            asked = Asked.of(sent)
            made = await run_in_threadpool(published, services, caller, asked, files)
    except RegistryError as error:
        is_for_form = wants_page(request.headers.get("accept")) and not isinstance(
            error, CrossSiteRequest | Unavailable
        )
        if not is_for_form:
            raise
        return await run_in_threadpool(shown, request, services, caller, asked, error)
    return to(f"/{made.repository}", version=str(made.number))


def published(services: Services, caller: Caller, asked: Asked, files: Sequence[FormFile]) -> Version:
    """Raises: as `FormPublishing.publish`, InvalidName, MalformedRequest."""
    name = asked.repository
    body = asked.body(is_new=existing(services, caller, name) is None)
    if asked.card:
        if any(file.path == card_file for file in files):
            raise MalformedRequest(
                f"a {card_file} was chosen, and a card was written: keep one of them", pointer="/card"
            )
        files = [*files, FormFile(card_file, BytesIO(asked.card.encode()))]
    if not files:
        raise MalformedRequest("no file was chosen", pointer="/files")
    create = None
    if body.create is not None:
        create = partial(services.registering.make, caller=caller, new=body.create.to_value(name))
    return services.form_publishing.publish(caller, name, files, body.to_value(), create)


def existing(services: Services, caller: Caller, name: RepositoryName) -> Repository | None:
    """A deleted one is made again."""
    with suppress(Missing):
        return services.registering.get(caller, name)
    return None


def shown(
    request: Request, services: Services, caller: Caller, asked: Asked, error: RegistryError | None = None
) -> HTMLResponse:
    """The form with what stands in it, and the refusal where it belongs."""
    there = None
    with suppress(RegistryError):
        there = existing(services, caller, asked.repository)
    namespaces = writable(services, caller)
    if asked.namespace and asked.namespace not in namespaces:
        # an administrator may write to others, too; whether this caller may is decided when it is sent
        namespaces.append(asked.namespace)
    blank = max(1, rows_without_script - len(asked.builds_on))
    return page(
        request,
        caller,
        "upload.html",
        status=200 if error is None else by_name[error.kebab_name()][0],
        asked=asked,
        there=there,
        namespaces=namespaces,
        visibility=asked.visibility or services.registering.default_visibility.value,
        parents=[*zip(asked.builds_on, asked.weights, strict=True), *([("", "")] * blank)],
        error=error,
        told=None if error is None else sentence(error.detail),
        concerned=None if error is None else refusals.field_of(error),
        data={"user": caller.name, "rules": rules(services), "fields": fields_told},
    )


def sentence(detail: str) -> str:
    """With a capital and a full stop; a name that it begins with stays as it is."""
    begun = detail[0].upper() + detail[1:] if begins_with_word.match(detail) else detail
    return begun if begun.endswith((".", "!", "?")) else f"{begun}."


fields_told = {"pointers": refusals.pointers, "problems": refusals.problems}


def rules(services: Services) -> dict[str, Any]:
    """What the script checks files by before it sends them."""
    return {
        "dtypes": header.size_of_dtype,
        "configKeys": sorted(peft_names.config_keys),
        "peftTypes": sorted(peft_names.peft_types),
        "largestHeaderBytes": header.largest_header_bytes,
        "largestConfigBytes": adapter_config.largest_config_bytes,
        "largestFileBytes": services.uploading.limits.upload_bytes,
        "mostTensors": header.most_tensors,
        "mostFiles": services.publishing.max_files,
    }


def writable(services: Services, caller: Caller) -> list[str]:
    """The caller's own namespace, and those of the organisations that they may write to."""
    organizations = services.accounts.whoami(caller).organizations
    return [caller.name or "", *(name for name, role in organizations if role is not MemberRole.READER)]


@router.post("/upload/preview")
def preview(caller: Publisher, card: Annotated[str, Form()] = "") -> Response:
    """A card as its page will show it."""
    return HTMLResponse(render(card))


@router.get("/upload/parents")
def parents(
    services: ServicesDep, caller: Publisher, q: str = "", base_model: str = "", kind: Kind = Kind.ADAPTER
) -> list[dict[str, Any]]:
    """Versions that a new one may build on: on the same base first, the caller's own before others, then the newest."""
    found = named(services, caller, q) if "@" in q else fitting(services, caller, q, base_model, kind)
    wanted = BaseModel(base_model) if base_model else None
    aliases = {name.lower(): canonical for name, canonical, _ in services.registering.base_model_aliases()}
    return [suggestion(caller, version, wanted, aliases) for version in found]


def named(services: Services, caller: Caller, q: str) -> list[Version]:
    """Of `owner/name@1.`, the versions of that repository that begin so."""
    name, _, start = q.partition("@")
    versions = versions_of(services, caller, name, services.http.largest_page)
    return [version for version in versions if str(version.number).startswith(start)][:most_suggestions]


def fitting(services: Services, caller: Caller, q: str, base_model: str, kind: Kind) -> list[Version]:
    """The newest version of each repository that is found."""
    held: list[Repository] = []
    for base in dict.fromkeys((base_model or None, None)):
        for namespace in (caller.name, None):
            held += services.registering.search(
                caller,
                q=q or None,
                kind=None,
                namespace=namespace,
                base_model=base,
                tag=(),
                license=None,
                sort="updated",
                after=None,
                limit=most_suggestions,
            )
    # a stack's versions are adapters, too
    fits = [one.full_name for one in held if (one.kind is Kind.MODEL) is (kind is Kind.MODEL)]
    found: list[Version] = []
    for full_name in dict.fromkeys(fits):
        found += versions_of(services, caller, full_name, most_versions_looked_at)[:1]
        if len(found) == most_suggestions:
            break
    return found


def versions_of(services: Services, caller: Caller, name: str, limit: int) -> list[Version]:
    """Those that are not recalled, the newest first; none of what is not there."""
    with suppress(RegistryError):
        found = services.reading.versions(caller, RepositoryName.parse(name), None, limit)
        return [version for version in found if version.state is VersionState.PUBLISHED]
    return []


def suggestion(
    caller: Caller, version: Version, wanted: BaseModel | None, aliases: Mapping[str, str]
) -> dict[str, Any]:
    """`aliases` of base models, as `BaseModel.canonical` wants them."""
    base = version.base_model
    is_same = base is not None and wanted is not None and same_base(base.canonical(aliases), wanted.canonical(aliases))
    return {
        "reference": version.reference,
        "base_model": None if base is None else base.name,
        "is_same_base": is_same,
        "rank": version.summary.get("rank"),
        "is_mine": version.repository.startswith(f"{caller.name}/"),
        "created_at": version.created_at.isoformat(),
    }
