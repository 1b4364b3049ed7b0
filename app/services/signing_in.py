"""Signing in: a browser holds a session in the stead of a token, which no script in it ever sees."""

import hashlib
import hmac
import secrets
from datetime import timedelta

from app.domain.caller import Caller
from app.errors import InvalidToken
from app.lineage import accounts, audit
from app.lineage.engine import Database
from app.services.accounts import Accounts, hash_of, token_bytes

session_prefix = "glu_session_"
"""As a token begins: what blots out tokens in logs blots out sessions."""


def new_secret() -> str:
    return session_prefix + secrets.token_urlsafe(token_bytes)


def form_token(secret: str) -> str:
    """What a form of this browser carries: whoever does not know its cookie cannot make it, and it does not tell the cookie."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def is_form_token(secret: str, given: str) -> bool:
    return hmac.compare_digest(form_token(secret).encode(), given.encode(errors="replace"))


class SigningIn:
    def __init__(self, database: Database, accounts: Accounts, lifetime: timedelta) -> None:
        self.database = database
        self.accounts = accounts
        self.lifetime = lifetime

    def begin(self, token: str, request_id: str | None) -> tuple[str, Caller]:
        """A new session of the token's: its secret, and who it speaks for. Raises: InvalidToken."""
        caller = self.accounts.authenticate(token, request_id)
        if caller.token is None:
            raise InvalidToken
        secret = new_secret()
        with self.database.begin() as tx:
            accounts.insert_session(tx, hash_of(secret), caller.token, self.lifetime)
            audit.record(tx, caller, "session.began", caller.name or "", namespace=caller.user)
        return secret, caller

    def caller(self, secret: str, request_id: str | None) -> Caller | None:
        """Who a session speaks for, with the rights that its token has at this moment; None if either has ended."""
        return accounts.caller_in_hand(self.database, accounts.session_holder, hash_of(secret), request_id)

    def end(self, caller: Caller, secret: str) -> None:
        """At once: the next request with it is anonymous."""
        with self.database.begin() as tx:
            if accounts.delete_session(tx, hash_of(secret)):
                audit.record(tx, caller, "session.ended", caller.name or "", namespace=caller.user)
