"""Limits, each exactly: under it, at it, and one over it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.services.limiting import Limiting
from app.settings import Settings
from tests.api.conftest import Registry, digest_of, done, make_adapter, refused

OpenWith = Callable[..., Registry]


@pytest.fixture
def open_with(settings: Settings, open_registry: Callable[[Settings], Registry]) -> OpenWith:
    def opened(**limits: Any) -> Registry:
        return open_registry(Settings(_env_file=None, **{**settings.model_dump(), **limits}))

    return opened


def held(registry: Registry) -> int:
    """Bytes in the store."""
    return sum(stored.size_bytes for stored in registry.services.store.digests())


# -- quota -----------------------------------------------------------------------------------------------------------


def test_a_namespace_takes_exactly_what_it_may(open_with: OpenWith) -> None:
    registry = open_with(max_namespace_bytes=1000)
    alice = registry.user("alice")
    alice.upload(b"a" * 999)
    alice.upload(b"b")
    one_too_many = refused(alice.put(f"/blobs/{digest_of(b'c')}", b"c"), 507, "quota-exceeded")
    assert (one_too_many["limit_bytes"], one_too_many["found_bytes"]) == (1000, 1001)
    # what is there costs nothing more, whoever else holds it costs the same
    alice.upload(b"b")
    bob = registry.user("bob")
    bob.upload(b"a" * 999)
    refused(bob.put(f"/blobs/{digest_of(b'dd')}", b"dd"), 507, "quota-exceeded")
    assert held(registry) == 1000
    assert registry.rows("leases") == 0


def test_a_body_without_a_length_is_refused_too_before_it_is_stored(open_with: OpenWith) -> None:
    registry = open_with(max_namespace_bytes=1000)
    body = b"x" * 1001
    answer = registry.user("alice").request("PUT", f"/api/v1/blobs/{digest_of(body)}", content=iter([body]))
    refused(answer, 507, "quota-exceeded")
    assert (held(registry), registry.rows("leases"), registry.rows("blobs")) == (0, 0, 0)


def test_parallel_uploads_never_hold_more_together_than_the_quota(open_with: OpenWith) -> None:
    registry = open_with(max_namespace_bytes=20 * 1000, max_concurrent_uploads=50)
    alice = registry.user("alice")
    bodies = [bytes([number]) * 1000 for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda body: alice.put(f"/blobs/{digest_of(body)}", body), bodies))
    found = [answer.status_code for answer in answers]
    assert (found.count(201), found.count(507)) == (20, 30), found
    assert held(registry) == 20 * 1000


def test_an_upload_in_parts_reserves_all_of_it(open_with: OpenWith) -> None:
    registry = open_with(max_namespace_bytes=100_000)
    alice = registry.user("alice")
    data = b"y" * 99_999
    begun = done(alice.post("/uploads", {"digest": digest_of(data), "size": len(data)}), 201)
    refused(alice.put(f"/blobs/{digest_of(b'zz')}", b"zz"), 507, "quota-exceeded")
    refused(alice.post("/uploads", {"digest": digest_of(b"zz"), "size": 2}), 507, "quota-exceeded")
    alice.upload(b"z")
    size = begun["part_size"]
    for number, start in enumerate(range(0, len(data), size), start=1):
        done(alice.put(f"/uploads/{begun['id']}/parts/{number}", data[start : start + size]), 204)
    done(alice.post(f"/uploads/{begun['id']}/complete"), 201)
    assert held(registry) == 100_000


def test_an_organisation_pays_for_its_versions_however_they_come(open_with: OpenWith) -> None:
    adapters = [make_adapter(number) for number in (1, 2)]
    sizes = [sum(map(len, adapter.files.values())) for adapter in adapters]
    # the two have the same configuration, which is stored once
    config = len(adapters[0].files["adapter_config.json"])
    both = sum(sizes) - config
    registry = open_with(max_namespace_bytes=both - 1)
    alice, bob = registry.user("alice"), registry.user("bob")
    done(alice.post("/organizations", {"name": "lab", "members": [{"user": "bob", "role": "owner"}]}), 201)
    alice.repository("lab/one")
    done(alice.try_publish("lab/one", adapters[0].files), 201)
    bob.repository("lab/two")
    over = refused(bob.try_publish("lab/two", adapters[1].files), 507, "quota-exceeded")
    assert over["found_bytes"] == both
    parts = [("files", (path, data)) for path, data in adapters[1].files.items()]
    before = held(registry)
    refused(bob.post("/repositories/lab/two/versions/form", files=parts), 507, "quota-exceeded")
    assert (held(registry), registry.rows("versions")) == (before, 1)
    bob.publish("bob/mine", adapters[1])
    refused(bob.patch("/repositories/bob/mine", {"namespace": "lab"}), 507, "quota-exceeded")
    merge = registry.merge(
        bob, {"layers": [{"adapter": "bob/mine@1.0.0"}], "publish": {"repository": "lab/two", "version": "1.0.0"}}
    )
    assert (merge["state"], merge["error"]["type"]) == ("failed", "/problems/quota-exceeded")
    # what was deleted makes room at once
    done(alice.delete("/repositories/lab/one/versions/1.0.0"), 204)
    done(bob.post("/repositories/lab/two/versions/form", files=parts), 201)


# -- requests per minute ---------------------------------------------------------------------------------------------


def test_a_window_is_a_minute_from_the_first_request() -> None:
    now = [1000.0]
    limiting = Limiting(3, lambda: now[0])

    def take(caller: str) -> tuple[int, int, bool]:
        allowance = limiting.take(caller)
        assert allowance is not None
        return allowance.remaining, allowance.reset_seconds, allowance.is_spent

    assert [take("a"), take("a"), take("a")] == [(2, 60, False), (1, 60, False), (0, 60, False)]
    now[0] += 59.5
    assert take("a") == (0, 1, True)
    assert take("b") == (2, 60, False)
    now[0] += 0.5
    assert take("a") == (2, 60, False)
    now[0] += 60
    take("c")
    assert set(limiting.windows) == {"c"}


def test_no_limit_counts_nothing() -> None:
    limiting = Limiting(None)
    assert limiting.take("a") is None
    assert not limiting.windows


def test_each_token_has_its_own_allowance_and_answers_tell_what_is_left(open_with: OpenWith) -> None:
    free = open_with()
    alice, bob = free.user("alice"), free.user("bob")
    assert "ratelimit" not in alice.get("/whoami").headers
    registry = open_with(requests_per_minute=3)
    alice, bob = (registry.with_token(user.name, user.token or "") for user in (alice, bob))
    for left in (2, 1, 0):
        answer = alice.get("/whoami")
        assert answer.status_code == 200
        assert answer.headers["ratelimit"].startswith(f'"requests";r={left};t=')
        assert answer.headers["ratelimit-policy"] == '"requests";q=3;w=60'
    spent = alice.get("/whoami")
    problem = refused(spent, 429, "too-many-requests")
    assert problem["limit"] == 3
    assert 0 < int(spent.headers["retry-after"]) <= 60
    assert spent.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert bob.get("/whoami").status_code == 200


def test_requests_without_a_valid_token_count_for_their_address(open_with: OpenWith) -> None:
    free = open_with()
    alice = free.user("alice")
    registry = open_with(requests_per_minute=3)
    refused(registry.with_token("", "glu_guessed").get("/whoami"), 401, "invalid-token")
    refused(registry.with_token("", "glu_another").get("/whoami"), 401, "invalid-token")
    assert registry.anonymous.get("/repositories").status_code == 200
    refused(registry.anonymous.get("/repositories"), 429, "too-many-requests")
    refused(registry.with_token("", "glu_third").get("/whoami"), 429, "too-many-requests")
    assert registry.with_token("alice", alice.token or "").get("/whoami").status_code == 200
    # a load balancer that looks after the server is never sent away
    assert all(registry.http.get("/healthz").status_code == 200 for _ in range(5))


def test_a_request_with_an_idempotency_key_counts_once_sent_again_too(open_with: OpenWith) -> None:
    free = open_with()
    alice = free.user("alice")
    registry = open_with(requests_per_minute=3)
    alice = registry.with_token("alice", alice.token or "")
    body = {"namespace": "alice", "name": "x"}
    for left in (2, 1):
        answer = alice.post("/repositories", body, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 201
        assert answer.headers["ratelimit"].startswith(f'"requests";r={left};')


# -- plans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "figure", "what"),
    [
        ("max_plan_written_bytes", "bytes_written", "bytes to write"),
        ("max_plan_peak_bytes", "peak_bytes", "bytes of memory"),
    ],
)
def test_a_plan_may_cost_what_the_setting_says_and_not_a_byte_more(
    open_with: OpenWith, setting: str, figure: str, what: str
) -> None:
    registry = open_with()
    registry.user("alice").publish("alice/a", make_adapter(1))
    token = registry.user("alice").token or ""
    recipe = {"layers": [{"adapter": "alice/a@1.0.0"}]}
    cost = done(registry.user("alice").post("/merges/plan", recipe))[figure]
    exact = open_with(**{setting: cost}).with_token("alice", token)
    done(exact.post("/merges", recipe), 202)
    small = open_with(**{setting: cost - 1}).with_token("alice", token)
    problem = refused(small.post("/merges", recipe), 409, "plan-too-large")
    assert (problem["limit"], problem["found"]) == (cost - 1, cost)
    assert what in problem["what"]
