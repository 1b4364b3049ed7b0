"""The main job, whole: adapters trained on one another, pushed in three ways, merged by the worker, loaded by PEFT.

Once on what Glulam brings along, and once on a Postgres and an S3 server that others run.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.comparison import Measured
from examples.demo import Outcome, publish_and_merge
from examples.own_registry import own_registry
from examples.story import Story, skills, train_story
from tests.conftest import PostgresServer
from tests.s3server.server import S3Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return train_story(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module", params=["embedded", "external"])
def outcome(story: Story, request: pytest.FixtureRequest) -> Iterator[Outcome]:
    others: dict[str, str] = {}
    if request.param == "external":
        # only now: the first run needs neither
        postgres: PostgresServer = request.getfixturevalue("postgres")
        s3: S3Server = request.getfixturevalue("s3_server")
        others = {f"GLULAM_{name.upper()}": value for name, value in s3.settings.items()}
        others["GLULAM_DATABASE_URL"] = postgres.create()
    # not pytest's folder: it is too deep for the socket of the embedded Postgres
    with tempfile.TemporaryDirectory(prefix="glulam-") as name:
        folder = Path(name)
        with own_registry(folder / "data", others) as registry:
            yield publish_and_merge(registry, story, folder)
            assert (folder / "data" / "objects").exists() == (not others), "what was to be used was used"
            assert (folder / "data" / "postgres").exists() == (not others)


def measured(outcome: Outcome, start: str) -> Measured:
    return next(row for row in outcome.measured if row.name.startswith(start))


def test_training_really_teaches_every_skill(story: Story) -> None:
    for name, losses in story.losses.items():
        assert losses.after < 0.1 * losses.before, name


def test_lineage_adds_what_the_layers_stand_on(outcome: Outcome) -> None:
    assert sorted(outcome.trunk) == ["alice/instruct@1.0.0", "carol/reasoning@1.0.0"]


@pytest.mark.parametrize("result", ["merged adapter", "merged model"])
def test_a_merge_is_the_float64_sum_with_instruct_counted_once(outcome: Outcome, result: str) -> None:
    found = measured(outcome, result)
    # the weights are rounded to float32 once; two layers make of that what they make of it
    assert found.logit_difference < 2e-6 * found.largest_logit


@pytest.mark.parametrize("naive", ["naive: instruct missing", "naive: instruct twice"])
def test_a_naive_merge_is_clearly_worse(outcome: Outcome, naive: str) -> None:
    merged, other = measured(outcome, "merged adapter"), measured(outcome, naive)
    assert other.logit_difference > 0.1 * other.largest_logit
    for skill in skills:
        assert other.losses[skill.name] > merged.losses[skill.name] + 0.5, skill.name
    assert sum(other.losses.values()) > 1.5 * sum(merged.losses.values())
