"""Versions: published, read, traced, deleted; and their aliases."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, StringConstraints

from app.api.auth import Anyone, ServicesDep, Writer
from app.api.bodies import (
    Answer,
    BaseModelAsked,
    Body,
    Line,
    Listed,
    Text,
    VersionBody,
    Weight,
    base_model_of,
    example,
    example_digest,
)
from app.api.forms import publish_form
from app.api.paging import PageDep, plain_text, row_number
from app.api.repositories import RepositoryFields
from app.api.route import JsonRoute, ReadRoute
from app.api.streams import archive_answer, archive_responses, file_answer, file_responses
from app.domain.names import RepositoryName
from app.domain.number import VersionNumber
from app.domain.version import Version
from app.lineage.aliases import AliasRecord
from app.services.publishing import NewVersion, ParentAsked
from app.services.tracing import Direction, deepest

router = APIRouter(route_class=JsonRoute)
reads = APIRouter(route_class=ReadRoute)
streams = APIRouter()

Reference = Annotated[str, StringConstraints(min_length=3, max_length=500)]
AcceptRecalled = Annotated[bool, Query(description="An owner wants a recalled version all the same")]
root = "/repositories/{namespace}/{name}"

form_body = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "version": {"type": "string"},
                        "builds_on": {"type": "array", "items": {"type": "string"}},
                        "initialized_from": {"type": "string"},
                        "base_model": {"type": "string"},
                        "notes": {"type": "string"},
                    },
                    "required": ["files"],
                }
            }
        },
    }
}


class ParentBody(Body):
    version: Reference
    weight: Weight = 1.0


class DatasetBody(Body):
    name: Line
    revision: Line | None = None


class NewVersionBody(Body):
    model_config = example(
        {
            "files": {"adapter_config.json": example_digest, "adapter_model.safetensors": example_digest},
            "builds_on": ["alice/instruct@1.0.0"],
            "notes": "Trained for an evening",
        }
    )

    version: Annotated[str, StringConstraints(max_length=40)] | None = Field(
        None, description="X.Y.Z; by default 1.0.0, then the next patch or minor"
    )
    files: Annotated[dict[str, str], Field(min_length=1, description="Path → sha256:…")]
    builds_on: Annotated[list[Reference | ParentBody], Field(max_length=64)] | None = None
    initialized_from: Reference | ParentBody | None = None
    merged_from: Annotated[list[ParentBody], Field(max_length=64)] = []
    base_model: BaseModelAsked | None = None
    datasets: Annotated[list[DatasetBody], Field(max_length=200)] = []
    metrics: Annotated[dict[str, Any], Field(max_length=200)] = {}
    notes: Text | None = None
    message: Text | None = None
    create: RepositoryFields | None = Field(
        None, description="Makes the repository too, or neither of the two where one is refused"
    )

    def to_value(self) -> NewVersion:
        builds_on = None
        if self.builds_on is not None:
            builds_on = tuple(parent_of(parent, f"/builds_on/{index}") for index, parent in enumerate(self.builds_on))
        origin = self.initialized_from
        return NewVersion(
            files=self.files,
            version=self.version,
            builds_on=builds_on,
            initialized_from=None if origin is None else parent_of(origin, "/initialized_from"),
            merged_from=tuple(
                parent_of(parent, f"/merged_from/{index}") for index, parent in enumerate(self.merged_from)
            ),
            base_model=base_model_of(self.base_model),
            datasets=tuple(dataset.model_dump(exclude_none=True) for dataset in self.datasets),
            metrics=self.metrics,
            notes=self.notes,
            message=self.message,
        )


def parent_of(asked: str | ParentBody, pointer: str) -> ParentAsked:
    if isinstance(asked, str):
        return ParentAsked(asked, 1.0, pointer)
    return ParentAsked(asked.version, asked.weight + 0.0, f"{pointer}/version")


class AliasBody(Body):
    model_config = example({"version": "1.0.0"})

    version: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class AliasAnswer(Answer):
    alias: str
    version: str | None = Field(description="null: the alias was removed")
    digest: str | None
    moved_by: str
    moved_at: datetime

    @classmethod
    def of(cls, value: AliasRecord) -> "AliasAnswer":
        return cls(
            alias=value.name,
            version=None if value.number is None else str(value.number),
            digest=value.digest,
            moved_by=value.moved_by,
            moved_at=value.moved_at,
        )


class LineageAnswer(Answer):
    root: str
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    truncated: bool = Field(description="There is more than an answer may hold: ask with a depth")


class HolderBody(VersionBody):
    """A version, and where in it the file stands."""

    path: str


@router.post(root + "/versions", status_code=201)
def publish(
    namespace: str, name: str, body: NewVersionBody, services: ServicesDep, caller: Writer, response: Response
) -> VersionBody:
    """Publish files that were uploaded as an immutable version."""
    repository = RepositoryName(namespace, name)
    create = None
    if body.create is not None:
        create = partial(services.registering.make, caller=caller, new=body.create.to_value(repository))
    made = services.publishing.publish(caller, repository, body.to_value(), create)
    response.headers["Location"] = location_of(made)
    return published_body(made)


@streams.post(root + "/versions/form", status_code=201, openapi_extra=form_body, response_model=VersionBody)
async def publish_files(namespace: str, name: str, request: Request, services: ServicesDep, caller: Writer) -> Response:
    """Publish files sent as a multipart form: what a page and `curl -F` use."""

    def answer(made: Version) -> Response:
        body = published_body(made).model_dump_json()
        return Response(body, 201, {"Location": location_of(made)}, media_type="application/json")

    return await publish_form(request, services, caller, RepositoryName(namespace, name), answer)


def location_of(version: Version) -> str:
    return f"/api/v1/repositories/{version.repository}/versions/{version.number}"


def published_body(version: Version) -> VersionBody:
    """The publisher is told what others will not see."""
    private = [parent for parent in version.parents if not parent.is_public] if version.is_public else []
    names = [parent.reference if parent.is_readable else "a parent" for parent in private]
    return VersionBody.of(version, [f"{name} is private: others will see a hidden parent" for name in names])


@router.get(root + "/versions")
def list_versions(
    namespace: str, name: str, services: ServicesDep, caller: Anyone, page: PageDep
) -> Listed[VersionBody]:
    """Versions, newest number first."""
    found = services.reading.versions(
        caller, RepositoryName(namespace, name), page.after(VersionNumber.parse), page.wanted
    )
    shown, cursor = page.cut(found, lambda version: str(version.number))
    return Listed[VersionBody](items=[VersionBody.of(version) for version in shown], next_cursor=cursor)


@reads.get(root + "/versions/{ref}")
def get_version(namespace: str, name: str, ref: str, services: ServicesDep, caller: Anyone) -> VersionBody:
    """One version by number, alias, commit, or a digest's unique beginning."""
    return VersionBody.of(services.reading.version(caller, RepositoryName(namespace, name), ref))


@router.delete(root + "/versions/{ref}", status_code=204, response_class=Response)
def delete_version(namespace: str, name: str, ref: str, services: ServicesDep, caller: Writer) -> None:
    """Delete a version; its number is never used again, and what builds on it stays whole."""
    services.reading.delete(caller, RepositoryName(namespace, name), ref)


@streams.head(root + "/versions/{ref}/files/{path:path}", response_class=Response, responses=file_responses)
@streams.get(root + "/versions/{ref}/files/{path:path}", response_class=Response, responses=file_responses)
def get_file(
    namespace: str,
    name: str,
    ref: str,
    path: str,
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    accept_recalled: AcceptRecalled = False,
) -> Response:
    """A file's bytes, whole or a range; its entity tag is its sha256."""
    file = services.reading.file(caller, RepositoryName(namespace, name), ref, path, accept_recalled=accept_recalled)
    return file_answer(request, services.reading, file)


@streams.head(root + "/versions/{ref}/archive.tar", response_class=Response, responses=archive_responses)
@streams.get(root + "/versions/{ref}/archive.tar", response_class=Response, responses=archive_responses)
def get_archive(
    namespace: str,
    name: str,
    ref: str,
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    accept_recalled: AcceptRecalled = False,
) -> Response:
    """All files of a version as a tar, made while it is sent."""
    archive = services.reading.archive(caller, RepositoryName(namespace, name), ref, accept_recalled=accept_recalled)
    return archive_answer(request, services.reading, archive)


@router.get(root + "/versions/{ref}/tensors")
def list_tensors(namespace: str, name: str, ref: str, services: ServicesDep, caller: Anyone) -> Listed[dict[str, Any]]:
    """Per module: rank, alpha, scaling, dtype and shapes, and what an adapter replaces; of a model, its tensors. Whole: there
    is no second page."""
    items = services.reading.tensors(caller, RepositoryName(namespace, name), ref)
    return Listed[dict[str, Any]](items=items, next_cursor=None)


@router.get(root + "/versions/{ref}/lineage")
def get_lineage(
    namespace: str,
    name: str,
    ref: str,
    services: ServicesDep,
    caller: Anyone,
    direction: Direction = Direction.BOTH,
    depth: Annotated[int | None, Query(ge=0, le=deepest)] = None,
) -> LineageAnswer:
    """What a version stands on and comes from, and what stands on it."""
    found = services.tracing.trace(caller, RepositoryName(namespace, name), ref, direction, depth)
    return LineageAnswer(
        root=found.root, nodes=list(found.nodes), edges=list(found.edges), truncated=found.is_truncated
    )


@router.put(root + "/aliases/{alias}")
def move_alias(
    namespace: str, name: str, alias: str, body: AliasBody, services: ServicesDep, caller: Writer
) -> VersionBody:
    """Let an alias name a version from now on; the answer is that version."""
    return VersionBody.of(services.aliasing.point(caller, RepositoryName(namespace, name), alias, body.version))


@router.delete(root + "/aliases/{alias}", status_code=204, response_class=Response)
def remove_alias(namespace: str, name: str, alias: str, services: ServicesDep, caller: Writer) -> None:
    """Remove an alias; its history stays."""
    services.aliasing.remove(caller, RepositoryName(namespace, name), alias)


@router.get(root + "/aliases")
def list_aliases(
    namespace: str, name: str, services: ServicesDep, caller: Anyone, page: PageDep
) -> Listed[AliasAnswer]:
    """Aliases by name."""
    found = services.aliasing.aliases(caller, RepositoryName(namespace, name), page.after(plain_text), page.wanted)
    return aliases_body(*page.cut(found, lambda record: record.name.lower()))


@router.get(root + "/aliases/{alias}/history")
def alias_history(
    namespace: str, name: str, alias: str, services: ServicesDep, caller: Anyone, page: PageDep
) -> Listed[AliasAnswer]:
    """Every move of an alias, newest first."""
    found = services.aliasing.history(
        caller, RepositoryName(namespace, name), alias, page.after(row_number), page.wanted
    )
    shown, cursor = page.cut(found, lambda entry: entry[0])
    return aliases_body([record for _, record in shown], cursor)


def aliases_body(records: Sequence[AliasRecord], cursor: str | None) -> Listed[AliasAnswer]:
    return Listed[AliasAnswer](items=[AliasAnswer.of(record) for record in records], next_cursor=cursor)


@router.get("/lookup/{hash}")
def look_up(hash: str, services: ServicesDep, caller: Anyone) -> Listed[HolderBody]:
    """Which readable versions hold a file with this sha256 (with or without its prefix), oldest first."""
    found = services.reading.lookup(caller, hash)
    items = [HolderBody(path=path, **dict(VersionBody.of(version))) for version, path in found]
    return Listed[HolderBody](items=items, next_cursor=None)
