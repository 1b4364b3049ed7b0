"""What the clients of the Hub change: repositories, branches and tags, and by commits their files."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.api.auth import ServicesDep, Writer, open_to_all
from app.api.streams import receive
from app.assembly import Services
from app.domain.caller import Caller
from app.domain.digest import hex_of
from app.domain.git import is_lfs
from app.domain.names import RepositoryName
from app.domain.paths import check_path
from app.domain.repository import Visibility
from app.domain.version import File
from app.errors import InvalidConfig, MalformedRequest, NameExists, UploadTooLarge
from app.formats.card import read_card
from app.formats.gitignore import Ignored, largest_bytes
from app.hub.bodies import Json
from app.hub.ndjson import CommitReader
from app.hub.route import HubRoute, HubStream, base_url, one_line, refused
from app.lineage.commits import main
from app.services.committing import Committed
from app.services.registering import NewRepository, RepositoryChange

router = APIRouter(route_class=HubRoute, include_in_schema=False)
streams = APIRouter(route_class=HubStream, include_in_schema=False)
root = "/api/models/{namespace}/{name}"
gitignore = ".gitignore"

Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Asked(BaseModel):
    """Clients of many ages send fields that mean nothing here."""

    model_config = ConfigDict(extra="ignore")


class RepositoryAsked(Asked):
    name: Name
    organization: Name | None = None
    type: str | None = None
    visibility: str | None = None
    private: bool | None = None


class MoveAsked(Asked):
    from_repository: Name = Field(alias="fromRepo")
    to_repository: Name = Field(alias="toRepo")
    type: str | None = None


class SettingsAsked(Asked):
    visibility: str | None = None
    private: bool | None = None
    gated: Literal[False] | None = None


class CardAsked(Asked):
    content: str


class BranchAsked(Asked):
    start: Name | None = Field(None, alias="startingPoint")


class TagAsked(Asked):
    tag: Name
    message: str | None = None


class FileAsked(Asked):
    path: Annotated[str, StringConstraints(max_length=2000)]
    size: Annotated[int, Field(ge=0, lt=2**63)]


class PreuploadAsked(Asked):
    files: Annotated[list[FileAsked], Field(max_length=1000)]
    ignored: str | None = Field(None, alias="gitIgnore")


def check_type(kind: str | None) -> None:
    """Raises: MalformedRequest for what is no model."""
    if kind not in {None, "model"}:
        raise MalformedRequest(f"this registry has models alone, and nothing of type {kind}", pointer="/type")


def visibility_of(visibility: str | None, private: bool | None) -> Visibility | None:
    """None: nothing was said. Raises: MalformedRequest."""
    if visibility is not None:
        if visibility not in {*Visibility}:
            raise MalformedRequest(f"a repository is public or private, not {visibility}", pointer="/visibility")
        return Visibility(visibility)
    if private is None:
        return None
    return Visibility.PRIVATE if private else Visibility.PUBLIC


def named(body: RepositoryAsked, caller: Caller) -> RepositoryName:
    """By its whole name, by the two halves, or by the last alone in the caller's own namespace. Raises: InvalidName."""
    namespace, _, name = body.name.rpartition("/")
    return RepositoryName.parse(f"{body.organization or namespace or caller.name}/{name}")


@router.post("/api/repos/create")
def create(body: RepositoryAsked, request: Request, services: ServicesDep, caller: Writer) -> Response:
    """Make a repository, or open the caller's deleted one of this name again."""
    check_type(body.type)
    name = named(body, caller)
    visibility = visibility_of(body.visibility, body.private)
    answer = {"url": f"{base_url(request)}/{name}", "name": str(name), "id": str(name)}
    try:
        services.registering.create(caller, NewRepository(name, visibility=visibility))
    except NameExists as error:
        # a client that does not mind reads where it is
        return JSONResponse({**answer, "error": error.detail}, 409, {"X-Error-Message": one_line(error.detail)})
    return JSONResponse(answer)


@router.delete("/api/repos/delete")
def delete(body: RepositoryAsked, services: ServicesDep, caller: Writer) -> Json:
    """Delete a repository; its name stays its owner's."""
    check_type(body.type)
    name = named(body, caller)
    # a client that deletes twice is told that there was nothing
    services.registering.get(caller, name)
    services.registering.delete(caller, name)
    return {}


@router.post("/api/repos/move")
def move(body: MoveAsked, services: ServicesDep, caller: Writer) -> Json:
    """Rename a repository; its old name leads to it."""
    check_type(body.type)
    target = RepositoryName.parse(body.to_repository)
    change = RepositoryChange(namespace=target.namespace, name=target.name)
    services.registering.change(caller, RepositoryName.parse(body.from_repository), change)
    return {}


@router.put(root + "/settings")
def settings(namespace: str, name: str, body: SettingsAsked, services: ServicesDep, caller: Writer) -> Json:
    """Make a repository public or private."""
    visibility = visibility_of(body.visibility, body.private)
    values = {} if visibility is None else {"visibility": visibility.value}
    changed = services.registering.change(caller, RepositoryName(namespace, name), RepositoryChange(values))
    return {"visibility": changed.visibility.value, "private": changed.visibility is Visibility.PRIVATE, "gated": False}


@router.post("/api/validate-yaml", dependencies=[open_to_all])
def validate(body: CardAsked) -> Response:
    """Whether the head of a README can be read."""
    try:
        read_card(body.content.encode())
    except InvalidConfig as error:
        return JSONResponse({"errors": [{"message": error.detail}], "warnings": []}, 400)
    return JSONResponse({"errors": [], "warnings": []})


@router.post(root + "/branch/{branch}")
def begin_branch(
    namespace: str, name: str, branch: str, services: ServicesDep, caller: Writer, body: BranchAsked | None = None
) -> Json:
    """A branch from any revision on."""
    start = main if body is None or body.start is None else body.start
    services.branching.begin(caller, RepositoryName(namespace, name), branch, start)
    return {}


@router.delete(root + "/branch/{branch}")
def end_branch(namespace: str, name: str, branch: str, services: ServicesDep, caller: Writer) -> Json:
    """Delete a branch, and what nothing else leads to."""
    services.branching.end(caller, RepositoryName(namespace, name), branch)
    return {}


@router.post(root + "/tag/{revision}")
def tag(namespace: str, name: str, revision: str, body: TagAsked, services: ServicesDep, caller: Writer) -> Json:
    """An alias of the version that a revision is."""
    services.branching.tag(caller, RepositoryName(namespace, name), body.tag, revision)
    return {}


@router.delete(root + "/tag/{tag}")
def untag(namespace: str, name: str, tag: str, services: ServicesDep, caller: Writer) -> Json:
    """Remove an alias; its history stays."""
    services.branching.untag(caller, RepositoryName(namespace, name), tag)
    return {}


@router.post(root + "/preupload/{branch}")
def preupload(
    namespace: str,
    name: str,
    branch: str,
    body: PreuploadAsked,
    services: ServicesDep,
    caller: Writer,
    create_pr: Annotated[str | None, Query()] = None,
) -> Response:
    """How each file is to be sent: in the commit, or before it."""
    if create_pr:
        return refused(501, "this registry has no pull requests")
    where = RepositoryName(namespace, name)
    services.browsing.check_writable(caller, where, branch)
    found = services.browsing.at(caller, where, branch)
    there = {file.path: file for file in found.files}
    ignored = Ignored(own_rules(services, there.get(gitignore)) if body.ignored is None else body.ignored)
    asked = [(file, file.path in ignored) for file in body.files]
    return JSONResponse({"files": [preupload_body(file, there, is_ignored) for file, is_ignored in asked]})


def own_rules(services: Services, file: File | None) -> str:
    """The text of the repository's own .gitignore, if it has one. Raises: UploadTooLarge."""
    if file is None:
        return ""
    if file.size_bytes > largest_bytes:
        raise UploadTooLarge(largest_bytes, file.size_bytes)
    return b"".join(services.reading.read_whole(file)).decode("utf-8", "replace")


def preupload_body(asked: FileAsked, files: Mapping[str, File], is_ignored: bool) -> Json:
    """Raises: InvalidPath of a file that a commit would be refused for, before its bytes are sent."""
    if not is_ignored:
        check_path(asked.path)
    is_large = is_lfs(asked.path, asked.size)
    body: Json = {
        "path": asked.path,
        "uploadMode": "lfs" if is_large else "regular",
        "shouldIgnore": is_ignored,
    }
    there = files.get(asked.path)
    if there is not None and is_large:
        body["oid"] = hex_of(there.digest)
    elif there is not None and there.git_sha1 is not None:
        body["oid"] = there.git_sha1
    return body


@streams.post(root + "/commit/{branch}")
async def commit(
    namespace: str,
    name: str,
    branch: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    create_pr: Annotated[str | None, Query()] = None,
) -> Response:
    """Change files in one step; on `main`, valid weights become a version."""
    if create_pr:
        return refused(501, "this registry has no pull requests")
    where = RepositoryName(namespace, name)

    def consume(chunks: Any) -> Committed:
        # first of all: nobody fills the disk for nothing
        services.browsing.check_writable(caller, where, branch)
        with CommitReader(services.http.form_bytes, services.publishing.max_files) as reader:
            return services.committing.commit(caller, where, branch, reader.read(chunks))

    return committed(request, await receive(request, consume))


def committed(request: Request, made: Committed) -> Response:
    url = f"{base_url(request)}/{made.repository}/commit/{made.commit}"
    body = {"success": True, "commitOid": made.commit, "commitUrl": url, "hookOutput": "; ".join(made.warnings)}
    response = JSONResponse(body)
    for warning in made.warnings:
        topic, _, _ = warning.partition(":")
        response.headers.append("X-HF-Warning", f"{one_line(topic)}; {one_line(warning)}")
    return response
