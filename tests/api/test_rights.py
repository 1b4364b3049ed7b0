"""Rights: what a token may pass on and end, who learns what of organisations, and what reopening and deleting leave as it is."""

from datetime import UTC, datetime, timedelta

from tests.api.conftest import Registry, admin_token, done, refused


def test_a_token_that_ends_makes_none_that_outlives_it(registry: Registry) -> None:
    alice = registry.user("alice")
    end = datetime.now(UTC) + timedelta(hours=1)
    body = {"name": "short", "scopes": ["read", "write"], "expires_at": end.isoformat()}
    short = registry.with_token("alice", done(alice.post("/tokens", body), 201)["token"])
    for wish in (None, (end + timedelta(days=1)).isoformat()):
        made = done(short.post("/tokens", {"name": "long", "scopes": ["read"], "expires_at": wish}), 201)
        assert datetime.fromisoformat(made["expires_at"]) == end
    sooner = (end - timedelta(minutes=30)).isoformat()
    made = done(short.post("/tokens", {"name": "shorter", "scopes": ["read"], "expires_at": sooner}), 201)
    assert datetime.fromisoformat(made["expires_at"]) == datetime.fromisoformat(sooner)


def test_an_administrator_whose_token_ends_makes_tokens_without_an_end_for_others(registry: Registry) -> None:
    registry.user("alice")
    end = datetime.now(UTC) + timedelta(hours=1)
    body = {"name": "short", "scopes": ["read", "admin"], "expires_at": end.isoformat()}
    short = registry.with_token("admin", done(registry.admin.post("/tokens", body), 201)["token"])
    assert done(short.post("/tokens", {"name": "a", "scopes": ["read"], "user": "alice"}), 201)["expires_at"] is None
    own = done(short.post("/tokens", {"name": "b", "scopes": ["read"]}), 201)
    assert datetime.fromisoformat(own["expires_at"]) == end


def test_a_token_that_only_reads_ends_itself_and_no_other(registry: Registry) -> None:
    alice = registry.user("alice")
    other = done(alice.post("/tokens", {"name": "other", "scopes": ["read"]}), 201)
    reading = done(alice.post("/tokens", {"name": "reading", "scopes": ["read"]}), 201)
    reader = registry.with_token("alice", reading["token"])
    assert refused(reader.delete(f"/tokens/{other['id']}"), 403, "scope-missing")["scope"] == "write"
    assert reader.delete(f"/tokens/{reading['id']}").status_code == 204
    refused(reader.get("/whoami"), 401, "invalid-token")
    assert alice.delete(f"/tokens/{other['id']}").status_code == 204


def test_an_administrators_revocation_is_in_the_audit_log_of_the_tokens_user(registry: Registry) -> None:
    alice = registry.user("alice")
    token = done(alice.post("/tokens", {"name": "lost", "scopes": ["read"]}), 201)
    assert registry.admin.delete(f"/tokens/{token['id']}").status_code == 204
    [event] = done(alice.get("/audit?action=token.revoked"))["items"]
    assert (event["subject"], event["actor"]) == ("lost", "admin")


def test_a_bootstrap_token_that_comes_back_is_valid_again(registry: Registry) -> None:
    accounts = registry.services.accounts
    first, second = registry.admin, registry.with_token("admin", admin_token + "-2")
    accounts.bootstrap(admin_token + "-2")
    refused(first.get("/whoami"), 401, "invalid-token")
    done(second.get("/whoami"))
    accounts.bootstrap(admin_token)
    refused(second.get("/whoami"), 401, "invalid-token")
    [kept] = done(first.get("/tokens"))["items"]
    assert first.delete(f"/tokens/{kept['id']}").status_code == 204
    refused(first.get("/whoami"), 401, "invalid-token")
    accounts.bootstrap(admin_token)
    assert done(first.get("/whoami"))["is_admin"]
