"""Whatever is sent, no server error; every answer as the document says."""

from collections.abc import Callable

import pytest

from tests.fuzz.campaign import campaign
from tests.fuzz.conftest import scale, seed
from tests.fuzz.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

succeeding = {"anonymous": 14, "user": 44, "admin": 25}
"""Operations, of 52, that answer with success at least: a campaign that is refused everywhere sees nothing."""


@pytest.mark.parametrize("who", ["user", "anonymous", "admin"])
def test_every_answer_is_as_the_document_says(
    world: World, who: str, record_property: Callable[[str, object], None]
) -> None:
    # the boundaries of all operations, once; in a long campaign for everybody
    boundaries = who == "user" or scale > 1
    findings = campaign(world, who, seed=seed, examples=3 if scale == 1 else 15 * scale, boundaries=boundaries)
    record_property("figures", f"{who}: {findings.cases} cases, {len(findings.succeeded)} operations succeeded")
    assert not findings.failures, findings.report()
    assert not findings.errors, findings.report()
    assert len(findings.succeeded) >= succeeding[who], sorted(findings.succeeded)
    assert findings.cases >= (2000 if boundaries else 200)
