"""Who may call a route: every route declares a policy, and one without fails the build."""

from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from app.api import sessions
from app.api.problems import request_id_of
from app.assembly import Services
from app.domain.caller import Caller, Scope
from app.errors import Forbidden, InvalidToken, ScopeMissing, TooManyRequests, Unauthenticated

safe_methods = frozenset({"GET", "HEAD", "OPTIONS"})
bearer = HTTPBearer(auto_error=False, bearerFormat="glu_…", description="A token of this registry")
"""Described in the OpenAPI document; the header itself is read below, so that a bad one is told from none."""


async def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


def authenticate(request: Request, services: Services, *, has_long_form: bool = False) -> Caller:
    """By the token in the header, else by the session in the cookie; `has_long_form` as in a Policy.

    Raises: InvalidToken, TooManyRequests, CrossSiteRequest.
    """
    header = request.headers.get("authorization")
    request_id = request_id_of(request)
    session = None
    try:
        session = caller_in_session(request, services) if header is None else None
        caller = session or caller_of(header, request_id, services)
    except InvalidToken:
        # whoever tries tokens is counted as whoever has none
        count(request, services, Caller())
        raise
    count(request, services, caller)
    request.state.is_by_session = session is not None
    if session is not None and request.method not in safe_methods:
        sessions.check_origin(request)
        if not has_long_form:
            sessions.check_form(request, sessions.sent_form_token(request))
    request.state.caller = caller
    return replace(caller, idempotency_key=getattr(request.state, "idempotency_key", None))


def caller_in_session(request: Request, services: Services) -> Caller | None:
    """None without a session, and of one that has ended: a cookie may outlive what it stands for."""
    secret = sessions.secret_of(request)
    return None if secret is None else services.signing_in.caller(secret, request_id_of(request))


def caller_of(header: str | None, request_id: str | None, services: Services) -> Caller:
    """Raises: InvalidToken."""
    if header is None:
        return services.accounts.authenticate(None, request_id)
    scheme, token = get_authorization_scheme_param(header)
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken
    return services.accounts.authenticate(token, request_id)


def count(request: Request, services: Services, caller: Caller) -> None:
    """A request counts once, for its token, or without one for its address. Raises: TooManyRequests."""
    if getattr(request.state, "is_counted", False):
        return
    request.state.is_counted = True
    address = request.client.host if request.client is not None else ""
    allowance = services.limiting.take(caller.token or network_of(address))
    # every answer tells what is left
    request.state.allowance = allowance
    if allowance is not None and allowance.is_spent:
        raise TooManyRequests(allowance.limit, allowance.reset_seconds)


def network_of(address: str) -> str:
    """What one client has: an IPv4 address, or 64 bits of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, 64), strict=False))
    return address


class Policy:
    """What a caller needs: a scope, and unless it is open to anonymous callers a token at all.

    A browser that is signed in needs more for what is not safe: a page of this registry that it came from.
    """

    def __init__(self, scope: Scope | None, *, allows_anonymous: bool = False, has_long_form: bool = False) -> None:
        """
        Args:
            scope: None is any.
            has_long_form: the form's token comes with its fields, which the route reads after this: it calls
                `sessions.check_form` then.
        """
        self.scope = scope
        self.allows_anonymous = allows_anonymous
        self.has_long_form = has_long_form

    def __call__(
        self, request: Request, services: ServicesDep, _described: Annotated[object, Depends(bearer)] = None
    ) -> Caller:
        """Raises: InvalidToken, Unauthenticated, CrossSiteRequest, ScopeMissing, TooManyRequests."""
        caller = authenticate(request, services, has_long_form=self.has_long_form)
        if caller.user_id is None:
            if not (self.allows_anonymous and caller.sees_public):
                raise Unauthenticated
            return caller
        if self.scope is not None and self.scope not in caller.scopes:
            raise ScopeMissing(self.scope.value)
        return caller


class Operating(Policy):
    """Whoever runs the registry: a client on the server's own machine, else an administrator with the scope `admin`."""

    def __init__(self) -> None:
        super().__init__(Scope.ADMIN)

    def __call__(
        self, request: Request, services: ServicesDep, described: Annotated[object, Depends(bearer)] = None
    ) -> Caller:
        """Raises: InvalidToken, Unauthenticated, ScopeMissing, Forbidden, TooManyRequests."""
        if request.client is not None and is_loopback(request.client.host):
            return Caller(request_id=request_id_of(request))
        caller = super().__call__(request, services, described)
        if not caller.is_admin:
            raise Forbidden("watch", "this registry")
        return caller


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class OpenToAll:
    """A route that tells nothing about anything stored."""

    async def __call__(self, request: Request) -> Caller | None:
        return None


Anyone = Annotated[Caller, Depends(Policy(Scope.READ, allows_anonymous=True))]
"""Sees what is public, and with a token what its user may read."""
Reader = Annotated[Caller, Depends(Policy(Scope.READ))]
Writer = Annotated[Caller, Depends(Policy(Scope.WRITE))]
Merger = Annotated[Caller, Depends(Policy(Scope.MERGE))]
Administrator = Annotated[Caller, Depends(Policy(Scope.ADMIN))]
"""A token with the scope `admin`; whether its user is an administrator is the service's question."""
operating = Depends(Operating())
open_to_all = Depends(OpenToAll())
