"""The kills and disk errors of `tests/lib` at each single call, not at every few."""

from __future__ import annotations

import pytest

from tests.kills import test_crashes, test_disks
from tests.kills.test_crashes import (  # noqa: F401  the tests themselves
    test_a_kill_in_changing_the_model_that_changes_it_twice,
    test_a_kill_in_releasing_that_forgets_or_repeats_a_verdict,
    test_a_kill_in_requeueing_that_leaves_rows_twice,
    test_a_kill_in_rolling_back_that_the_next_promotion_leaves_out_of_the_record,
    test_a_kill_in_scoring_anew_that_parts_a_table_from_its_quarantine,
    test_a_kill_in_scoring_that_loses_doubles_or_halves_anything,
    test_a_kill_that_leaves_a_folder_half_written,
    test_kills_at_random_moments_of_scoring,
)
from tests.kills.test_disks import score_dump, test_a_disk_error_in_a_folder, test_a_disk_error_in_scoring  # noqa: F401


@pytest.fixture(autouse=True)
def at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_crashes, "STRIDE", 1)
    monkeypatch.setattr(test_disks, "STRIDE", 1)
    monkeypatch.setattr(test_crashes, "RANDOM_KILLS", 100)
