"""An upload over a network that breaks: what was acknowledged is not sent again."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import glulam
from app.settings import Settings
from tests.api.conftest import Registry, admin_token, make_adapter, with_s3
from tests.api.cutting_proxy import CuttingProxy, piece_bytes
from tests.api.serving import served
from tests.s3server.server import S3Server

pytestmark = pytest.mark.slow

MIB = 1 << 20


def push(url: str, folder: Path, size: int) -> bytes:
    """An adapter with an attachment of that size in bytes, as the administrator. Returns: the attachment."""
    attachment = Random(size).randbytes(size)
    for path, data in (make_adapter(1).files | {"attachment.bin": attachment}).items():
        (folder / path).write_bytes(data)
    with glulam.Registry(url, admin_token) as registry:
        registry.push("admin/cut", folder)
    return attachment


def pulled(url: str, folder: Path) -> bytes:
    with glulam.Registry(url, admin_token) as registry:
        return (registry.pull("admin/cut@1.0.0", folder) / "attachment.bin").read_bytes()


def test_an_upload_through_the_server_is_cut_ten_times(registry: Registry, tmp_path: Path) -> None:
    """Every connection at once, wherever it is; parts of 64 KiB."""
    size, folder = 32 * MIB, tmp_path / "pushed"
    folder.mkdir()
    with served(registry) as http:
        proxy = CuttingProxy(str(http.base_url), every=size // 12, window=range(size), all_at_once=True)
        with proxy:
            attachment = push(proxy.url, folder, size)
        assert proxy.done == 10
        assert size <= proxy.received < 1.1 * size
        assert pulled(str(http.base_url), tmp_path / "pulled") == attachment


def test_an_upload_to_s3_is_cut_ten_times(
    open_registry: Callable[[Settings], Registry], settings: Settings, s3_server: S3Server, tmp_path: Path
) -> None:
    """S3 takes no parts below 5 MiB, and of each that is cut all that was sent is lost: here the first mebibyte."""
    size, folder = 160 * MIB, tmp_path / "pushed"
    folder.mkdir()
    window = range(MIB, MIB + 4 * piece_bytes)
    proxy = CuttingProxy(s3_server.url, every=size // 12, window=window, all_at_once=False)
    with proxy:
        registry = open_registry(with_s3(settings, s3_server, s3_public_endpoint_url=proxy.url))
        with served(registry) as http:
            attachment = push(str(http.base_url), folder, size)
            assert proxy.done == 10
            assert size <= proxy.received < 1.1 * size
            assert pulled(str(http.base_url), tmp_path / "pulled") == attachment
