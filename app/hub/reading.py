"""What the clients of the Hub ask of repositories: who they are, what there is, and what is in it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api.auth import Anyone, Reader, ServicesDep, Writer, open_to_all
from app.api.paging import Page, row_number, time_and_id
from app.api.route import plain_json
from app.domain.caller import Scope
from app.domain.names import RepositoryName
from app.errors import MalformedRequest
from app.hub.bodies import Json, commit_body, file_body, folder_body, model_body, tree_bodies
from app.hub.route import HubRoute, next_page
from app.lineage.commits import main

router = APIRouter(route_class=HubRoute, include_in_schema=False)
root = "/api/models/{namespace}/{name}"
most_entries = 1_000
"""In one page of a tree."""
most_paths = 1_000
"""That one question may name."""
sorts = {"lastModified": "updated", "createdAt": "created", "last_modified": "updated", "created_at": "created"}


@router.get("/api/whoami-v2")
def whoami(services: ServicesDep, caller: Reader) -> Json:
    """Who the token's user is."""
    identity = services.accounts.whoami(caller)
    role = "write" if Scope.WRITE in caller.scopes else "read"
    return {
        "type": "user",
        "id": str(caller.user),
        "name": caller.name,
        "fullname": caller.name,
        "email": None,
        "emailVerified": False,
        "canPay": False,
        "isPro": False,
        "orgs": [
            {"type": "org", "name": name, "fullname": name, "roleInOrg": member.value}
            for name, member in identity.organizations
        ],
        "auth": {"type": "access_token", "accessToken": {"displayName": "glulam", "role": role}},
    }


@router.get("/api/models")
def list_models(
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    response: Response,
    author: str | None = None,
    search: str | None = None,
    filter: Annotated[list[str] | None, Query()] = None,
    pipeline_tag: str | None = None,
    sort: str = "lastModified",
    limit: int | None = None,
    full: bool = False,
    expand: Annotated[list[str] | None, Query()] = None,
    cursor: str | None = None,
) -> list[Json]:
    """Repositories that the caller may read; every filter must fit one of a repository's tags."""
    wanted = limit if limit is not None and limit > 0 else services.http.default_page
    page = Page(limit=min(wanted, services.http.largest_page), cursor=cursor)
    tags = [tag.strip() for given in filter or [] for tag in given.split(",")]
    tags += [] if pipeline_tag is None else [pipeline_tag]
    order = sorts.get(sort, "updated")

    def parse(value: Any) -> tuple[datetime | str, UUID]:
        return time_and_id(value)

    found = services.browsing.models(
        caller,
        q=search,
        namespace=author,
        tags=tags,
        sort=order,
        after=page.after(parse),
        limit=page.wanted,
        with_files=full or "siblings" in (expand or []),
    )
    shown, following = page.cut(
        found, lambda row: [(row[0].updated_at if order == "updated" else row[0].created_at).isoformat(), row[0].id]
    )
    if following is not None:
        response.headers["Link"] = next_page(request, following)
    with_files = full or "siblings" in (expand or [])
    return [model_body(repository, commit, files if with_files else None) for repository, commit, files in shown]


@router.get(root)
def model(namespace: str, name: str, services: ServicesDep, caller: Anyone, blobs: bool = False) -> Json:
    """A repository as `main` has it."""
    found = services.browsing.at(caller, RepositoryName(namespace, name), main)
    return model_body(found.repository, found.commit, found.files, with_blobs=blobs)


@router.get(root + "/revision/{revision}")
def model_at(
    namespace: str, name: str, revision: str, services: ServicesDep, caller: Anyone, blobs: bool = False
) -> Json:
    """A repository at a branch, a version, an alias or a commit."""
    found = services.browsing.at(caller, RepositoryName(namespace, name), revision)
    return model_body(found.repository, found.commit, found.files, with_blobs=blobs)


@router.get(root + "/auth-check")
def check_readable(namespace: str, name: str, services: ServicesDep, caller: Anyone) -> Json:
    """Whether the caller may read a repository."""
    services.registering.get(caller, RepositoryName(namespace, name))
    return {}


@router.get(root + "/auth-check/write")
def check_writable(namespace: str, name: str, services: ServicesDep, caller: Writer) -> Json:
    """Whether the caller may write to a repository."""
    services.browsing.check_writable(caller, RepositoryName(namespace, name))
    return {}


@router.get(root + "/refs")
def refs(namespace: str, name: str, services: ServicesDep, caller: Anyone) -> Json:
    """Branches, and as tags versions and aliases."""
    branches, tags = services.browsing.refs(caller, RepositoryName(namespace, name))
    return {
        "branches": [
            {"name": ref.name, "ref": f"refs/heads/{ref.name}", "targetCommit": ref.commit} for ref in branches
        ],
        "tags": [{"name": ref.name, "ref": f"refs/tags/{ref.name}", "targetCommit": ref.commit} for ref in tags],
        "converts": [],
        "pullRequests": [],
    }


@router.get(root + "/commits/{revision}")
def commits(
    namespace: str,
    name: str,
    revision: str,
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    response: Response,
    limit: Annotated[int, Query(ge=1)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9a-f]{40}$")] = None,
) -> list[Json]:
    """The history that leads to a revision, newest first."""
    wanted = min(limit, services.http.largest_page)
    shown, following = services.browsing.history(caller, RepositoryName(namespace, name), revision, cursor, wanted)
    if following is not None:
        response.headers["Link"] = next_page(request, following)
    return [commit_body(commit) for commit in shown]


@router.get(root + "/tree/{revision}")
@router.get(root + "/tree/{revision}/{path}")
def tree(
    namespace: str,
    name: str,
    revision: str,
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    response: Response,
    path: str = "",
    recursive: bool = False,
    expand: bool = False,
    limit: Annotated[int, Query(ge=1)] = most_entries,
    cursor: str | None = None,
) -> list[Json]:
    """Files and folders of a commit, at its top or in a folder."""
    folder = path.strip("/")
    found, changes = services.browsing.seen(caller, RepositoryName(namespace, name), revision, expand=expand)
    page = Page(limit=min(limit, most_entries), cursor=cursor)
    start = page.after(row_number) or 0
    entries = tree_bodies(found.below(folder), folder, changes, recursive=recursive)
    shown, following = page.cut(entries[start : start + page.wanted], lambda _: start + page.limit)
    if following is not None:
        response.headers["Link"] = next_page(request, following)
    return list(shown)


@dataclass(frozen=True, slots=True)
class Asked:
    paths: tuple[str, ...]
    expand: bool


async def asked_paths(request: Request) -> Asked:
    """The body, a form or JSON. Raises: MalformedRequest."""
    body = await request.body()
    if "json" in request.headers.get("content-type", ""):
        value = plain_json(body)
        paths = value.get("paths") if isinstance(value, dict) else None
        expand = isinstance(value, dict) and value.get("expand") is True
    else:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=most_paths + 10)
        paths, expand = fields.get("paths", []), fields.get("expand", ["false"])[0].lower() == "true"
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths) or len(paths) > most_paths:
        raise MalformedRequest(f"paths is a list of at most {most_paths} paths", pointer="/paths")
    return Asked(tuple(path.strip("/") for path in paths), expand)


@router.post(root + "/paths-info/{revision}")
def paths_info(
    namespace: str,
    name: str,
    revision: str,
    services: ServicesDep,
    caller: Anyone,
    asked: Annotated[Asked, Depends(asked_paths)],
) -> list[Json]:
    """Files and folders by path; what is not there is left out."""
    found, changes = services.browsing.seen(caller, RepositoryName(namespace, name), revision, expand=asked.expand)
    files = {file.path: file for file in found.files}
    entries = []
    for path in dict.fromkeys(asked.paths):
        below = [file for file in found.files if file.path.startswith(f"{path}/")]
        if path in files:
            entries.append(file_body(files[path], changes))
        elif below:
            entries.append(folder_body(path, below, changes))
    return entries


@router.get("/api/agent-harnesses", dependencies=[open_to_all])
@router.head("/api/telemetry/{topic:path}", dependencies=[open_to_all])
def nothing(topic: str = "") -> Json:
    """What the clients ask of the public Hub alone, once a day or at each start."""
    return {}
