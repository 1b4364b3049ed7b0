"""With S3 a browser sends parts to the store itself, where that lets pages of the registry in; else through the registry."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from playwright.sync_api import Browser, expect

from app.settings import Settings
from tests.api.conftest import Registry, make_adapter, with_s3
from tests.api.conftest import open_registry as open_registry
from tests.api.conftest import settings as settings
from tests.api.serving import served
from tests.s3server.server import S3Server
from tests.web.conftest import sign_in
from tests.web.test_upload import written

pytestmark = pytest.mark.slow

attachment = Random(7).randbytes(12 << 20)
"""Three parts: S3 takes none below 5 MiB."""


@pytest.mark.parametrize("lets_pages_in", [False, True])
def test_parts_go_to_the_store_where_it_lets_pages_in(
    browser: Browser,
    open_registry: Callable[[Settings], Registry],
    settings: Settings,
    s3_server: S3Server,
    tmp_path: Path,
    lets_pages_in: bool,
) -> None:
    registry = open_registry(with_s3(settings, s3_server))
    with served(registry) as http:
        origin = str(http.base_url).rstrip("/")
        if lets_pages_in:
            s3_server.allow_origin(s3_server.shared_bucket, origin)
        context = browser.new_context(base_url=origin)
        page = sign_in(context.new_page(), registry.admin, "/upload")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
        files = make_adapter(1).files | {"attachment.dat": attachment}
        page.locator("#files").set_input_files(written(tmp_path / "out", files))
        page.get_by_label("Name").fill("direct")
        page.get_by_role("button", name="Publish").click()
        page.wait_for_url("**/admin/direct?version=1.0.0")
        expect(page.get_by_role("heading", name="direct").first).to_be_visible()
        context.close()
    direct = {url for url in sent if url.startswith(s3_server.url)}
    through = [url for url in sent if "/parts/" in url]
    if lets_pages_in:
        assert (len(direct), through) == (3, [])
    else:
        # those that were under way when it was found out, and no further one
        assert 1 <= len(direct) <= 2
        assert len(through) == 3
    found = registry.admin.get("/repositories/admin/direct/versions/1.0.0/files/attachment.dat")
    assert found.content == attachment
