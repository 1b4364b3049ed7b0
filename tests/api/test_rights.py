"""Rights: what a token may pass on and end, who learns what of organisations, and what reopening and deleting leave as it is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.settings import Settings, Visibility
from tests.api.conftest import Registry, admin_token, done, make_adapter, refused


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


def test_an_organisation_is_known_by_name_and_its_members_to_members_only(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    done(alice.post("/organizations", {"name": "lab"}), 201)
    assert done(alice.get("/organizations/lab"))["members"] == [{"user": "alice", "role": "owner"}]
    shown = done(bob.get("/organizations/lab"))
    assert (shown["name"], shown["members"]) == ("lab", [])
    refused(bob.patch("/organizations/lab", {"members": [{"user": "bob", "role": "owner"}]}), 403, "forbidden")
    refused(bob.delete("/organizations/lab"), 403, "forbidden")
    refused(bob.post("/repositories", {"namespace": "lab", "name": "x"}), 403, "forbidden")
    refused(registry.anonymous.get("/organizations/lab"), 401, "unauthenticated")
    refused(bob.get("/organizations/none"), 404, "not-found")


def test_a_removed_alias_is_told_of_to_readers_of_what_it_named(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.repository("secret", visibility="private")
    alice.publish("alice/secret", make_adapter(1))
    alice.publish("alice/mixed", make_adapter(2))
    sources = [{"version": "alice/secret@1.0.0", "weight": 1.0}]
    alice.publish("alice/mixed", make_adapter(3), version="2.0.0", merged_from=sources)
    history = "/repositories/alice/mixed/aliases/{}/history"
    for alias, versions in {"hidden": ["2.0.0"], "shown": ["1.0.0"], "both": ["1.0.0", "2.0.0"]}.items():
        for version in versions:
            done(alice.put(f"/repositories/alice/mixed/aliases/{alias}", {"version": version}))
        assert alice.delete(f"/repositories/alice/mixed/aliases/{alias}").status_code == 204
        told = [item["version"] for item in done(alice.get(history.format(alias)))["items"]]
        assert told == [None, *reversed(versions)]
    refused(bob.get(history.format("hidden")), 404, "not-found")
    assert [item["version"] for item in done(bob.get(history.format("shown")))["items"]] == [None, "1.0.0"]
    assert [item["version"] for item in done(bob.get(history.format("both")))["items"]] == ["1.0.0"]


def test_a_private_repository_is_private_when_it_is_opened_again(
    open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    registry = open_registry(settings.model_copy(update={"default_visibility": Visibility.PUBLIC}))
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.repository("secret", visibility="private", derivatives="open")
    alice.publish("alice/secret", make_adapter(1))
    assert alice.delete("/repositories/alice/secret").status_code == 204
    opened = done(alice.post("/repositories", {"namespace": "alice", "name": "secret"}), 201)
    assert (opened["visibility"], opened["derivatives"]) == ("private", "open")
    refused(bob.get("/repositories/alice/secret/versions/1.0.0"), 404, "not-found")
    assert alice.delete("/repositories/alice/secret").status_code == 204
    body = {"namespace": "alice", "name": "secret", "visibility": "public", "derivatives": "inherit"}
    done(alice.post("/repositories", body), 201)
    done(bob.get("/repositories/alice/secret/versions/1.0.0"))
    events = done(alice.get("/audit?action=repository.reopened"))["items"]
    told = [(event["details"]["visibility"], event["details"]["derivatives"]) for event in events]
    assert told == [("public", "inherit"), ("private", "open")]
    assert "visibility" in events[0]["details"]["fields"]
    assert "visibility" not in events[1]["details"]["fields"]


def test_who_may_write_deletes_a_version_although_they_may_not_read_all_that_is_in_it(registry: Registry) -> None:
    alice, bob, eve = (registry.user(name) for name in ("alice", "bob", "eve"))
    alice.publish("alice/input", make_adapter(1))
    sources = [{"version": "alice/input@1.0.0", "weight": 1.0}]
    bob.publish("bob/mixed", make_adapter(2), merged_from=sources)
    done(alice.patch("/repositories/alice/input", {"visibility": "private"}))
    refused(bob.get("/repositories/bob/mixed/versions/1.0.0"), 404, "not-found")
    refused(eve.delete("/repositories/bob/mixed/versions/1.0.0"), 404, "not-found")
    refused(bob.delete("/repositories/bob/mixed/versions/2.0.0"), 404, "not-found")
    for _ in range(2):
        assert bob.delete("/repositories/bob/mixed/versions/1.0.0").status_code == 204
    refused(alice.get("/repositories/bob/mixed/versions/1.0.0"), 410, "deleted")
    assert len(done(bob.get("/audit?action=version.deleted"))["items"]) == 1
