"""Signing in with a token, and out."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from app.api import sessions
from app.api.auth import ServicesDep, count
from app.api.problems import by_name, request_id_of
from app.domain.caller import Caller
from app.errors import CrossSiteRequest, InsecureSignIn, InvalidToken
from app.services.signing_in import form_token, new_secret
from app.web.problem_pages import wants_page
from app.web.site import PageRoute, SignedIn, Visitor, on_this_site, page, to

router = APIRouter(route_class=PageRoute, include_in_schema=False)

before = "-form"
"""The cookie of somebody who has no session yet: nobody signs them in as somebody else by a form on another site."""
form_seconds = 3600


@router.get("/login")
def sign_in_form(request: Request, caller: Visitor, next: str = "/") -> Response:
    """The form."""
    return shown(request, caller, next)


@router.post("/login")
def sign_in(
    request: Request,
    services: ServicesDep,
    caller: Visitor,
    token: Annotated[str, Form(max_length=500)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Begin a session; an earlier one of this browser ends."""
    try:
        sessions.check_secure(request)
        sessions.check_origin(request)
        sessions.check_form(request, sessions.sent_form_token(request), before)
        # whoever tries tokens is counted
        count(request, services, Caller())
        secret, _ = services.signing_in.begin(token.strip(), request_id_of(request))
    except (CrossSiteRequest, InsecureSignIn, InvalidToken) as error:
        if not wants_page(request.headers.get("accept")):
            raise
        return shown(request, caller, next, error)
    earlier = sessions.secret_of(request)
    if earlier is not None:
        services.signing_in.end(caller, earlier)
    response = to(on_this_site(next))
    sessions.set_secret(request, response, secret, services.http.session_seconds)
    sessions.drop_secret(request, response, before)
    return response


def shown(
    request: Request,
    caller: Caller,
    next: str,
    error: CrossSiteRequest | InsecureSignIn | InvalidToken | None = None,
) -> Response:
    secret = sessions.secret_of(request, before) or new_secret()
    status = 200 if error is None else by_name[error.kebab_name()][0]
    response = page(
        request,
        caller,
        "login.html",
        status=status,
        next=on_this_site(next),
        error=error,
        form_token=form_token(secret),
    )
    sessions.set_secret(request, response, secret, form_seconds, before)
    return response


@router.post("/logout")
def sign_out(request: Request, services: ServicesDep, caller: SignedIn) -> Response:
    """End the session at once."""
    secret = sessions.secret_of(request)
    if secret is not None:
        services.signing_in.end(caller, secret)
    response = to("/")
    sessions.drop_secret(request, response)
    return response
