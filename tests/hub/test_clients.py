"""The whole story with each client: the newest and the oldest always, all of them with `make hub-matrix`; and once more
through a proxy that speaks TLS."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from app.settings import MIB, Settings
from tests.api.conftest import Registry, make_adapter
from tests.hub.conftest import Hub, Listen, Serve, environments
from tests.hub.tls_proxy import Behind, Forwarding

story = Path(__file__).with_name("client_story.py")
clients = ["0.36", "1.19", "1.33", "2.4"]
every = [(client, xet) for client in clients for xet in (True, False)]
# what the oldest has of Xet it uses only when the server says so
always = [("0.36", True), ("2.4", True), ("2.4", False)]
chosen = every if os.environ.get("HUB_CLIENTS") == "all" else always
large_bytes = 80_000_000


def write_adapter(folder: Path, seed: int = 1) -> Path:
    folder.mkdir()
    for path, data in make_adapter(seed, shape=(64, 96), base="org/base").files.items():
        (folder / path).write_bytes(data)
    return folder


def tell(
    hub: Hub, folder: Path, client: str, *, xet: bool, size_bytes: int, others: dict[str, str] | None = None
) -> None:
    """Let a client tell its story; every chapter has to end well."""
    python = environments / f"hub-{client}" / "bin" / "python"
    assert python.exists(), f"make {python.parents[1].relative_to(environments.parent)}/.installed"
    work = folder / "work"
    work.mkdir()
    told = hub.run(
        story.read_text(),
        str(write_adapter(folder / "adapter")),
        str(work),
        str(size_bytes),
        user=hub.user("alice"),
        python=str(python),
        xet=xet,
        others=others,
    )
    assert told.pop("client").startswith(client)
    assert {chapter: fault for chapter, fault in told.items() if fault is not None} == {}
    assert len(told) == 17


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("client", "xet"), chosen)
def test_every_client_does_everything(hub: Hub, tmp_path: Path, client: str, xet: bool) -> None:
    tell(hub, tmp_path, client, xet=xet, size_bytes=large_bytes)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("client", "xet"), chosen if chosen is every else [("0.36", True), ("2.4", True)])
def test_every_client_does_everything_through_a_proxy_that_speaks_tls(
    listen: Listen,
    serve: Serve,
    open_registry: Callable[[Settings], Registry],
    settings: Settings,
    tmp_path: Path,
    client: str,
    xet: bool,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    certificate = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    proxy = Forwarding()
    public_url = listen(proxy, ssl_certfile=certificate)
    registry = open_registry(settings.model_copy(update={"public_url": public_url, "upload_part_bytes": 5 * MIB}))
    behind = Behind(registry.app)
    hub = serve(registry, behind)
    proxy.target = hub.url
    trusted = dict.fromkeys(["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"], str(tmp_path / "authority.pem"))
    tell(replace(hub, url=public_url), tmp_path, client, xet=xet, size_bytes=12_000_000, others=trusted)
    # nothing in an answer leads around the proxy
    assert behind.strays == []
    assert behind.count > 100
