"""Files of a commit, by HEAD and GET."""

from fastapi import APIRouter, Request, Response

from app.api.auth import Anyone, ServicesDep
from app.api.streams import file_answer
from app.domain.git import is_lfs
from app.domain.names import RepositoryName
from app.hub.bodies import entity_of
from app.hub.route import HubStream

router = APIRouter(route_class=HubStream, include_in_schema=False)


@router.head("/{namespace}/{name}/resolve/{revision}/{path:path}", response_class=Response)
@router.get("/{namespace}/{name}/resolve/{revision}/{path:path}", response_class=Response)
@router.head("/{namespace}/{name}/raw/{revision}/{path:path}", response_class=Response)
@router.get("/{namespace}/{name}/raw/{revision}/{path:path}", response_class=Response)
def resolve(
    namespace: str, name: str, revision: str, path: str, request: Request, services: ServicesDep, caller: Anyone
) -> Response:
    """A file's bytes, whole or a range; of a large one in S3, where they are."""
    found = services.browsing.at(caller, RepositoryName(namespace, name), revision)
    file = found.file(path)
    services.reading.check_not_recalled(caller, found.repository, found.commit.id, file)
    entity = entity_of(file)
    headers = {"X-Repo-Commit": found.commit.id, "X-Linked-Etag": f'"{entity}"', "X-Linked-Size": str(file.size_bytes)}
    # a client keeps a small file under the name that git gives it, which a store does not know
    is_direct = is_lfs(file.path, file.size_bytes)
    return file_answer(request, services.reading, file, etag=f'"{entity}"', headers=headers, is_direct=is_direct)
