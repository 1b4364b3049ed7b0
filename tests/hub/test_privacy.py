"""What one user sent is nothing to another: names, hashes and addresses open no door."""

from tests.api.conftest import Registry, digest_of, done, make_adapter
from tests.hub import talking
from tests.hub.talking import cas, chunk, create, get, header, lfs_line, post, pushed, shard, shard_file

data = bytes(range(256)) * 100
name = "c" * 64


def test_a_known_sha256_gives_nothing(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    hidden = create(alice, "hidden", private=True)
    pushed(alice, hidden, {"secret.bin": data, "README.md": b"secret"})
    digest, mine = digest_of(data), create(bob, "mine")
    known = post(bob, mine, header() + lfs_line("stolen.bin", digest, size=len(data)))
    absent = post(bob, mine, header() + lfs_line("stolen.bin", digest_of(b"absent"), size=len(data)))
    assert known.status_code == absent.status_code == 400
    assert known.text.replace(digest, "") == absent.text.replace(digest_of(b"absent"), "")
    # he is asked for the bytes as if nobody had them
    batch = {"operation": "upload", "objects": [{"oid": digest[7:], "size": len(data)}]}
    answer = done(bob.request("POST", f"/{mine}.git/info/lfs/objects/batch", json=batch))
    assert answer["objects"][0]["actions"]["upload"]["href"]
    own = done(alice.request("POST", f"/{hidden}.git/info/lfs/objects/batch", json=batch))
    assert "actions" not in own["objects"][0]


def test_a_known_xorb_gives_nothing(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    hidden, mine = create(alice, "hidden", private=True), create(bob, "mine")
    theirs, own = cas(alice, hidden), cas(bob, mine)
    done(alice.request("POST", f"{theirs}/v1/xorbs/default/{name}", content=chunk(data, 1)))
    listing = shard(shard_file(digest_of(data), [(name, len(data), 0, 1)]))
    assert bob.request("POST", f"{own}/v1/shards", content=listing).status_code == 400
    for path in ("v1/shards", f"v1/xorbs/default/{name}"):
        there = bob.request("POST", f"{theirs}/{path}", content=listing)
        never = bob.request("POST", f"{theirs[:-12]}000000000000/{path}", content=listing)
        assert (there.status_code, there.text) == (never.status_code, never.text)
        assert there.status_code == 404
    assert registry.anonymous.request("POST", f"{theirs}/v1/shards", content=listing).status_code == 401
    # with the chunks of his own he gets no further than with his own bytes
    done(bob.request("POST", f"{own}/v1/xorbs/default/{name}", content=chunk(data[1:], 1)))
    wrong = shard(shard_file(digest_of(data), [(name, len(data) - 1, 0, 1)]))
    assert bob.request("POST", f"{own}/v1/shards", content=wrong).status_code == 409


def test_an_upload_is_open_to_whoever_knows_its_address_and_to_nobody_else(registry: Registry) -> None:
    alice = registry.user("alice")
    batch = {"operation": "upload", "objects": [{"oid": digest_of(data)[7:], "size": len(data)}]}
    one = create(alice, "one")
    answer = done(alice.request("POST", f"/{one}.git/info/lfs/objects/batch", json=batch))
    href = answer["objects"][0]["actions"]["upload"]["href"]
    path = "/" + href.split("/", 3)[3]
    wrong = registry.anonymous.request("PUT", path, content=data[:-1] + b"x")
    assert wrong.status_code == 409, wrong.text
    done(registry.anonymous.request("PUT", path, content=data))
    other = path[:-1] + ("0" if path[-1] != "0" else "1")
    assert registry.anonymous.request("PUT", other, content=data).status_code == 404
    done(post(alice, one, header() + lfs_line("a.bin", digest_of(data), size=len(data))))


def test_the_same_words_for_private_and_absent_on_every_reading_route(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    create(alice, "hidden", private=True)
    pushed(alice, "alice/hidden", make_adapter(1).files | {"README.md": b"secret"})
    paths = ["", "/revision/main", "/refs", "/commits/main", "/tree/main", "/auth-check", "/auth-check/write"]
    for asker in (bob, registry.anonymous):
        for path in [f"/api/models/alice/NAME{path}" for path in paths] + ["/alice/NAME/resolve/main/README.md"]:
            answers = [get(asker, path.replace("NAME", name)) for name in ("hidden", "absent")]
            for answer in answers:
                del answer.headers["x-request-id"]
            assert answers[0].status_code == answers[1].status_code, path
            assert answers[0].status_code in {404, 401}
            assert (answers[0].text, dict(answers[0].headers)) == (answers[1].text, dict(answers[1].headers))
        assert get(asker, "/api/models").json() == []
    assert talking.push(bob, "alice/hidden", {"a.txt": b"a"}).status_code == 404
