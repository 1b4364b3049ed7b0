"""Repositories by the Hub's face: which one a client means."""

from tests.api.conftest import Registry, done
from tests.hub.talking import create, get


def test_a_whole_name_is_not_taken_for_one_in_the_callers_namespace(registry: Registry) -> None:
    alice = registry.user("alice")
    members = [{"user": "alice", "role": "owner"}]
    done(registry.admin.post("/organizations", {"name": "org", "members": members}), 201)
    create(alice, "one")
    create(alice, "org/one")
    done(alice.request("DELETE", "/api/repos/delete", json={"name": "org/one"}))
    assert get(alice, "/api/models/org/one").status_code == 404
    assert get(alice, "/api/models/alice/one").status_code == 200
    create(alice, "two", organization="org")
    done(alice.request("DELETE", "/api/repos/delete", json={"name": "two", "organization": "org"}))
    assert get(alice, "/api/models/org/two").status_code == 404
