"""What is private makes no difference to anybody who may not read it: not in a status, a header or a byte.

`TWO_WORLDS_SEED` plays from another seed on, `TWO_WORLDS_SCRIPTS` so many scripts.
"""

import os
from pathlib import Path

import pytest

from tests.two_worlds.playing import difference
from tests.two_worlds.worlds import Pair

first_seed = int(os.environ.get("TWO_WORLDS_SEED", "20261121"))
script_count = int(os.environ.get("TWO_WORLDS_SCRIPTS", "100"))
lots = 2


@pytest.mark.parametrize("lot", range(lots))
def test_an_outsider_is_answered_alike_in_both_worlds(pair: Pair, tmp_path: Path, lot: int) -> None:
    seeds = range(first_seed + lot, first_seed + script_count, lots)
    count = 0
    with pair.copies(tmp_path) as worlds:
        for seed in seeds:
            found, requests = difference(*worlds, seed)
            assert found is None, found
            count += requests
    print(f"{len(seeds)} scripts from TWO_WORLDS_SEED={first_seed}, {count} requests to each world")  # noqa: T201


def test_two_worlds_without_anything_private_are_answered_alike(pair: Pair, tmp_path: Path) -> None:
    """Control: what is masked is all that is random."""
    with pair.copies(tmp_path, is_control=True) as worlds:
        assert [difference(*worlds, seed)[0] for seed in range(4)] == [None] * 4
