"""The built files, as browsers fetch them: once."""

from fastapi import APIRouter, Request, Response

from app.api.auth import open_to_all
from app.errors import NotFound
from app.web.assets import assets, compressed, media_types
from app.web.site import PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)

for_ever = "public, max-age=31536000, immutable"


@router.get("/static/{path:path}", dependencies=[open_to_all])
def static_file(path: str, request: Request) -> Response:
    """A script, a style or an image of the pages."""
    found = assets.find(path)
    if found is None:
        raise NotFound(f"/static/{path}")
    headers = {"Cache-Control": for_ever, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = compressed(found), "gzip"
    else:
        body = found.read_bytes()
    return Response(body, headers=headers, media_type=media_types[found.suffix])
