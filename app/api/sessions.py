"""Sessions of browsers: the cookie, and the proof that a request comes from a page of this registry.

A session's cookie is sent by the browser whoever made the request, so that each request that changes something proves where
it comes from, twice: by `Origin` or `Sec-Fetch-Site`, which no page can set, and by a token that only our own pages know.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request, Response

from app.assembly import HttpLimits
from app.errors import CrossSiteRequest, InsecureSignIn
from app.services.signing_in import is_form_token

form_header = "x-csrf-token"
form_field = "csrf_token"
longest_secret = 200


def http_of(request: Request) -> HttpLimits:
    http: HttpLimits = request.app.state.services.http
    return http


def origin_of(request: Request) -> str:
    """Of this registry, as the browser that asks knows it; a proxy that ends https in front says so in X-Forwarded-Proto."""
    host = request.headers.get("host", "").lower()
    public = urlsplit(http_of(request).public_url or "")
    scheme = public.scheme if public.netloc.lower() == host else request.url.scheme
    return f"{scheme}://{host}"


def is_secure(request: Request) -> bool:
    return origin_of(request).startswith("https://")


def cookie_name(request: Request, of: str = "") -> str:
    """Over https one that no other host and no plain http can set for this one."""
    return f"__Host-glulam{of}" if is_secure(request) else f"glulam-session{of}"


def secret_of(request: Request, of: str = "") -> str | None:
    found = request.cookies.get(cookie_name(request, of))
    return found if found and len(found) <= longest_secret else None


def set_secret(request: Request, response: Response, secret: str, seconds: int, of: str = "") -> None:
    response.set_cookie(
        cookie_name(request, of),
        secret,
        max_age=seconds,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )


def drop_secret(request: Request, response: Response, of: str = "") -> None:
    set_secret(request, response, "", 0, of)


def check_secure(request: Request) -> None:
    """Raises: InsecureSignIn."""
    host = urlsplit(origin_of(request)).hostname or ""
    if not (is_secure(request) or http_of(request).allows_insecure_sign_in or is_this_machine(host)):
        raise InsecureSignIn(host)


def is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_origin(request: Request) -> None:
    """Raises: CrossSiteRequest where the browser says that the request comes from elsewhere."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    own = origin_of(request)
    if origin is not None and origin.lower() != own:
        raise CrossSiteRequest(f"its Origin is {origin[:300]}, and this is {own}")
    if site is not None and site not in {"same-origin", "none"}:
        raise CrossSiteRequest(f"the browser calls it {site[:30]}")


def sent_form_token(request: Request) -> str | None:
    """From a script's header, or from a form whose body has been read."""
    found: str | None = request.headers.get(form_header) or getattr(request.state, "form_token", None)
    return found


def check_form(request: Request, given: str | None, of: str = "") -> None:
    """Raises: CrossSiteRequest unless the form is one of this browser's."""
    secret = secret_of(request, of)
    if secret is None or given is None or not is_form_token(secret, given):
        raise CrossSiteRequest("its form's token is missing, or of another session; open the page again")
