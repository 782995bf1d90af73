"""Profiles: every review in one bin of each distribution, and sums that lose nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.lib import profiles
from tasks.lib.profiles import LENGTHS, SHARES, Profile, Scores


def profile(probabilities: list[float], known: list[int], rare: list[int], words: list[int]) -> Profile:
    known_tokens, rare_tokens, all_words = (np.array(counts, np.int32) for counts in (known, rare, words))
    return profiles.count(Scores(np.array(probabilities, np.float32), known_tokens, rare_tokens, all_words))


def test_a_review_that_is_in_no_bin_or_in_the_wrong_one() -> None:
    found = profile([0, 0.049, 0.5, 1], [0, 1, 8_192, 10**6], [0, 1, 0, 2_500], [0, 4, 8_192, 10**6])
    assert found.probabilities == [2, *[0] * 9, 1, *[0] * 8, 1]
    assert (found.lengths[0], found.lengths[1], found.lengths[-1]) == (1, 1, 2)
    # Nothing known counts as all rare, as does the second; 0.25 % is the last value of its bin.
    assert (found.rare[0], found.rare[1], found.rare[-1]) == (1, 1, 2)
    assert (found.unknown[0], found.unknown[-1]) == (2, 2)  # the one without words, and the one with 3 of 4 unknown
    assert sum(found.lengths) == sum(found.rare) == sum(found.unknown) == found.rows == 4
    assert (found.words, found.known) == (1_008_196, 1_008_193)


def test_bins_that_overlap_or_change_their_number() -> None:
    assert all(np.diff(LENGTHS) >= 1)
    assert all(np.diff(SHARES) > 0)
    empty = profile([], [], [], [])
    assert [len(empty.probabilities), len(empty.lengths), len(empty.rare)] == [20, len(LENGTHS) + 1, len(SHARES) + 1]


def test_a_sum_that_is_not_that_of_all_reviews() -> None:
    one, other = profile([0.1], [5], [1], [6]), profile([0.9, 0.2], [50, 7], [0, 0], [60, 7])
    assert one + other == profile([0.1, 0.9, 0.2], [5, 50, 7], [1, 0, 0], [6, 60, 7])
    assert Profile() + one == one == one + Profile()


def test_a_table_of_an_earlier_version_that_cannot_be_added() -> None:
    old = Profile(probabilities=[1] * 20)
    both = old + profile([0.1], [5], [1], [5])
    assert (both.rows, sum(both.lengths)) == (21, 1)


@pytest.mark.parametrize(("probability", "share"), [(0.4999, 0.0), (0.5, 1.0)])
def test_a_half_that_is_on_the_wrong_side(probability: float, share: float) -> None:
    assert profile([probability], [1], [0], [1]).positive_share == share


def test_no_review_that_has_a_share() -> None:
    assert Profile().positive_share == 0
