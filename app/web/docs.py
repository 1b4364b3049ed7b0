"""The REST API's reference."""

from fastapi import APIRouter, Request, Response

from app.web.site import PageRoute, Visitor, page, page_headers

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/docs")
def reference(request: Request, caller: Visitor) -> Response:
    """Every route under `/api/v1`, to read and to try."""
    policy = page_headers(request)["Content-Security-Policy"]
    # its own style sheet draws its arrows as data
    headers = {"Content-Security-Policy": policy.replace("img-src 'self'", "img-src 'self' data:")}
    return page(request, caller, "docs.html", headers=headers)
