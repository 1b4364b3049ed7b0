"""One POST to somebody else's server: to a public address, the one that was checked, without redirects, within bounds.

A name is resolved once; every address that it has must be allowed, and the connection goes to one of these and nowhere else.
Environment variables for proxies are not read.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from app.errors import AddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

longest_url = 2_000
plain_url = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""Printable ASCII without the backslash, which some take for a slash."""
translating = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""NAT64: the last 32 bits are an IPv4 address."""
compatible = ipaddress.ip_network("::/96")
answer_bytes = 4_096
"""Of an answer's body; the rest is not read."""


class NotSent(Exception):
    """The receiver did not answer as one that has taken it; `reason` says what happened."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart."""

    is_tls: bool
    host: str
    """A name in ASCII, or an address."""
    port: int
    path: str


def target_of(url: str) -> Target:
    """Raises: AddressRefused for what is no plain http(s) URL."""
    if len(url) > longest_url:
        raise AddressRefused(f"the URL is longer than {longest_url} characters")
    if not plain_url.fullmatch(url):
        raise AddressRefused("the URL has a character that a URL may not have")
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefused("the URL cannot be read") from error
    if parts.scheme not in {"http", "https"}:
        raise AddressRefused("http or https is expected")
    if "@" in parts.netloc:
        raise AddressRefused("a URL with a user's name in it is refused")
    if not host or port == 0 or "%" in host:
        raise AddressRefused("the URL names no host")
    is_tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(is_tls, host.rstrip("."), port or (443 if is_tls else 80), path)


def literal(host: str) -> Address | None:
    """The address that a host is, in any of the forms that a resolver takes for one: 127.1, 0x7f000001, 2130706433."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, where it does; else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    embedded = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if embedded is not None:
        return embedded
    if any(address in network for network in translating) or (address in compatible and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    found = inner(address)
    is_site_local = isinstance(found, ipaddress.IPv6Address) and found.is_site_local
    return found.is_global and not (found.is_multicast or found.is_reserved or is_site_local)


def resolved(host: str, port: int) -> list[str]:
    """Every address of a name. Raises: OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Sender:
    """Sends; may be used from any thread."""

    def __init__(self, allowed: Sequence[str] = (), *, seconds: float = 10, resolve: Resolve = resolved) -> None:
        """
        Args:
            allowed: networks that are no public ones and may be sent to all the same, such as 10.0.0.0/8.
            seconds: for everything from the connection to the answer.
        """
        self.allowed: list[Network] = [ipaddress.ip_network(network) for network in allowed]
        self.seconds = seconds
        self.resolve = resolve

    def check(self, url: str) -> None:
        """What can be said of a URL before anything is sent to it; names are looked up only then. Raises: AddressRefused."""
        host = target_of(url).host
        found = literal(host)
        if found is not None:
            self._check_address(found)
        elif host.lower() == "localhost" or host.lower().endswith(".localhost"):
            for loopback in ("127.0.0.1", "::1"):
                self._check_address(ipaddress.ip_address(loopback))

    def _check_address(self, address: Address) -> None:
        if not is_public(address) and not any(inner(address) in network for network in self.allowed):
            raise AddressRefused("it is a private, local or reserved address")

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Returns: the status, 200 to 299. Raises: AddressRefused, NotSent."""
        target = target_of(url)
        found = literal(target.host)
        try:
            addresses = [str(found)] if found is not None else list(self.resolve(target.host, target.port))
        except (OSError, UnicodeError) as error:
            raise NotSent("the host's name cannot be resolved") from error
        if not addresses:
            raise NotSent("the host's name has no address")
        for address in addresses:
            # what a resolver says of a link's scope is no part of the address
            self._check_address(ipaddress.ip_address(address.partition("%")[0]))
        deadline = time.monotonic() + self.seconds
        try:
            with socket.create_connection((addresses[0], target.port), timeout=self.seconds) as plain:
                return self._exchange(plain, target, body, headers, deadline)
        except NotSent:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotSent(f"{type(error).__name__}: no answer") from error

    def _exchange(
        self, plain: socket.socket, target: Target, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> int:
        # wrapping empties `plain`: from here on the connection is `sock` alone
        sock = wrapped(plain, target) if target.is_tls else plain
        is_late = threading.Event()
        # a receiver that sends a byte now and then would never run into a socket's own time limit
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), cut, [sock, is_late])
        watchdog.daemon = True
        watchdog.start()
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            connection = http.client.HTTPConnection(target.host, target.port, timeout=self.seconds)
            connection.sock = sock
            # a connection that was closed must not be opened anew: that would look the name up once more
            connection.auto_open = 0
            connection.request("POST", target.path, body, {**headers, "Connection": "close"})
            answer = connection.getresponse()
            answer.read(answer_bytes)
            if is_late.is_set():
                # headers that end with the connection look like headers that are whole
                raise NotSent(f"no whole answer within {self.seconds:g} s")
            if not 200 <= answer.status < 300:
                raise NotSent(f"status {answer.status}", answer.status)
            return answer.status
        finally:
            watchdog.cancel()
            sock.close()


def wrapped(plain: socket.socket, target: Target) -> ssl.SSLSocket:
    """For TLS, without the handshake: that may last, and has to be under the watchdog."""
    context = ssl.create_default_context()
    return context.wrap_socket(plain, server_hostname=target.host, do_handshake_on_connect=False)


def cut(sock: socket.socket, is_late: threading.Event) -> None:
    """End a connection, whatever waits on it."""
    is_late.set()
    try:
        # not the method of an SSLSocket, which drops TLS's state under the thread that reads
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        # it has ended by itself
        return
