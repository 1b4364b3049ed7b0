"""Whatever was done to an adapter: it is read or refused by name, in a moment, and never against the safetensors library."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from tests.fuzz.config_mutants import configs
from tests.fuzz.conftest import scale, seed
from tests.fuzz.judges import Judge, judge_config, judge_file, judged
from tests.fuzz.mutants import Mutant, files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

least_accepted = 0.3
"""Of the mutants: where most files fall at the first rule, the later ones are not tried."""


@pytest.mark.parametrize(
    ("mutants", "judge"), [(files(), judge_file), (configs(), judge_config)], ids=["files", "configs"]
)
def test_a_mutant_is_accepted_rightly_or_refused_by_name(
    mutants: st.SearchStrategy[Mutant], judge: Judge, record_property: Callable[[str, object], None]
) -> None:
    verdicts = judged(mutants, judge, 1000 * scale, seed)
    record_property("figures", f"{judge.__name__}: {verdicts[True]} mutants accepted, {verdicts[False]} refused")
    assert verdicts.total() >= 1000 * scale
    assert verdicts[True] >= least_accepted * verdicts.total(), verdicts
