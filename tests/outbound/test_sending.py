"""What is sent, and to whom nothing is: a sentinel listens on every local address and must see no connection."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.errors import AddressRefused
from app.outbound.sending import NotSent, Sender, is_public, literal, target_of
from tests.outbound.receivers import Sentinel, certificate, receiver, sentinel


@pytest.fixture(scope="module")
def listener() -> Iterator[Sentinel]:
    with sentinel() as seen:
        yield seen


hosts = [
    # loopback, in every form that a resolver takes for it
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
    "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "foo.localhost",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:0001::1]",
    # private and shared
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "100.64.0.1",
    "0xa000001", "167772161", "012.0.0.1", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[2002:a00:1::]", "[fc00::1]", "[fd12:3456::1]",
    # link-local, and what clouds answer there
    "169.254.169.254", "169.254.0.1", "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[fe80::1]", "[febf::1]",
    "[fd00:ec2::254]",
    "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]",
    # reserved, documentation, benchmarking, multicast, broadcast, site-local
    "192.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "[ff02::1]", "[ff05::2]", "[2001:db8::1]", "[fec0::1]", "[100::1]",
]  # fmt: skip


@pytest.mark.parametrize("host", hosts)
def test_nothing_is_sent_to_an_address_that_is_not_public(host: str, listener: Sentinel) -> None:
    sender = Sender(seconds=5)
    url = f"http://{host}:{listener.port}/hook"
    with pytest.raises(AddressRefused):
        sender.check(url)
    # foo.localhost need not be known to the resolver
    with pytest.raises((AddressRefused, NotSent) if host == "foo.localhost" else AddressRefused):
        sender.post(url, b"{}", {})
    assert listener.connections == 0


urls = [
    "ftp://example.org/", "file:///etc/passwd", "gopher://127.0.0.1:70/", "//example.org/", "example.org", "http://", "http:///path",
    "http://user@example.org/", "http://user:secret@example.org/", "http://example.org@127.0.0.1/", "http://127.0.0.1:80@example.org/",
    "http://example.org\\@127.0.0.1/", "http://exam\tple.org/", "http://example.org/\r\nHost: x", "http://example.org/ x",
    "http://ex\u00e4mple.org/", "http://example.org:0/", "http://example.org:99999/", "http://example.org:x/", "http://[::1/",
    "http://[fe80::1%25eth0]/", "http://%31%32%37.0.0.1/", "http://example.org/" + "x" * 2_000,
]  # fmt: skip


@pytest.mark.parametrize("url", urls)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    sender = Sender(seconds=1, resolve=lambda *_: pytest.fail("nothing is looked up"))
    with pytest.raises(AddressRefused):
        sender.check(url)
    with pytest.raises(AddressRefused):
        sender.post(url, b"{}", {})


def test_the_corpus_is_large_enough() -> None:
    assert len({*hosts, *urls}) >= 80


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"], ["93.184.216.34", "fe80::1%eth0"], ["10.1.2.3"]]
)
def test_a_name_is_refused_when_any_of_its_addresses_is_not_public(answers: list[str], listener: Sentinel) -> None:
    sender = Sender(seconds=5, resolve=lambda *_: answers)
    with pytest.raises(AddressRefused):
        sender.post(f"http://rebinding.example:{listener.port}/", b"{}", {})
    assert listener.connections == 0


def test_a_name_that_changes_its_address_is_looked_up_once(listener: Sentinel) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        # the network of the documentation is let through here, and nobody answers there
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    sender = Sender(["192.0.2.0/24"], seconds=0.3, resolve=rebinding)
    with pytest.raises(NotSent):
        sender.post(f"http://rebinding.example:{listener.port}/", b"{}", {})
    assert asked == ["rebinding.example"]
    assert listener.connections == 0


def always(status: int) -> Callable[[int], int]:
    return lambda _: status


def test_a_redirect_is_not_followed(listener: Sentinel) -> None:
    for status in (301, 302, 303, 307, 308):
        with receiver(always(status), Location=f"http://127.0.0.1:{listener.port}/") as redirecting:
            with pytest.raises(NotSent) as refused:
                Sender(["127.0.0.0/8"]).post(redirecting.url, b"{}", {})
            assert refused.value.status == status
    assert listener.connections == 0


def test_an_allowed_network_is_sent_to_with_the_headers_and_the_host() -> None:
    with receiver() as found:
        assert Sender(["127.0.0.0/8"]).post(found.url, b'{"a": 1}', {"X-Test": "yes"}) == 204
        mapped = f"http://[::ffff:127.0.0.1]:{found.port}/"
        with pytest.raises(AddressRefused):
            Sender(["10.0.0.0/8"]).post(mapped, b"{}", {})
    assert [json.loads(body) for body in found.bodies] == [{"a": 1}]
    assert found.received[0]["x-test"] == "yes"
    assert found.received[0]["host"] == f"127.0.0.1:{found.port}"


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
def test_only_a_success_is_one(status: int) -> None:
    with receiver(always(status)) as found, pytest.raises(NotSent) as refused:
        Sender(["127.0.0.0/8"]).post(found.url, b"{}", {})
    assert refused.value.status == status


@pytest.mark.parametrize("speak", [b"", b"H", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
def test_a_receiver_that_never_ends_is_left(speak: bytes) -> None:
    with sentinel(speak) as slow:
        began = time.monotonic()
        with pytest.raises(NotSent):
            Sender(["127.0.0.0/8"], seconds=0.4).post(f"http://127.0.0.1:{slow.port}/", b"{}", {})
        # far from any limit of a socket's own, and from the bytes that would have to come
        assert time.monotonic() - began < 30
        assert slow.connections == 1


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's side of TLS whose certificate this machine trusts."""
    made = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made)
    return context


@pytest.mark.parametrize("speak", [b"", b"H"])
def test_a_receiver_that_never_ends_is_left_over_tls_too(speak: bytes, trusted: ssl.SSLContext) -> None:
    with sentinel(speak, tls=trusted) as slow:
        began = time.monotonic()
        with pytest.raises(NotSent):
            Sender(["127.0.0.0/8"], seconds=2).post(f"https://127.0.0.1:{slow.port}/", b"{}", {})
        # at 20 letters a second a status line would be too long after an hour
        assert time.monotonic() - began < 30
        assert slow.connections == 1


def test_a_receiver_that_resets_or_is_not_there_has_not_taken_it() -> None:
    sender = Sender(["127.0.0.0/8"], seconds=5)
    with sentinel(resets=True) as rude, pytest.raises(NotSent):
        sender.post(f"http://127.0.0.1:{rude.port}/", b"{}", {})
    with pytest.raises(NotSent):
        sender.post(f"http://127.0.0.1:{rude.port}/", b"{}", {})
    with pytest.raises(NotSent):
        Sender(resolve=lambda *_: []).post("http://nowhere.example/", b"{}", {})


def test_public_addresses_are_public() -> None:
    for host in ("93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "2002:101:101::"):
        found = literal(host)
        assert found is not None
        assert is_public(found), host
    assert target_of("https://example.org/a?b=c").path == "/a?b=c"
    assert target_of("https://example.org").port == 443
