"""Drift: alarms that chance makes, changes that go unseen, trifles that are called drift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tasks.lib import profiles
from tasks.lib.profiles import Profile, Scores
from tasks.lib.scores import drift
from tasks.lib.scores.drift import Day

VALIDATION = 2_500


def reviews(
    generator: np.random.Generator,
    count: int,
    *,
    positive: float = 0.5,
    length: float = 1.0,
    unknown: float = 0.02,
    subject: float = 0.0,
) -> Profile:
    """Made-up reviews like those of IMDB: confident scores, a median of 170 words, of which 2 % are rare.

    `unknown` is the share of unknown words, some reviews having more. A share `subject` of the reviews has another
    subject: a fifth of their words is new.
    """
    is_positive = generator.random(count) < positive
    probabilities = np.where(is_positive, generator.beta(4, 0.8, count), generator.beta(0.8, 4, count))
    known = np.maximum(1, length * np.exp(generator.normal(5.15, 0.65, count))).astype(np.int64)
    shares = np.where(generator.random(count) < subject, 0.2, unknown * generator.gamma(2, 0.5, count))
    words = known + generator.poisson(known * shares / np.maximum(1 - shares, 0.1))
    return profiles.count(Scores(probabilities, known, generator.binomial(known, 0.02), words))


def alarms(size: int, dumps: int, validation: int = VALIDATION, /, **change: float) -> Iterator[list[str]]:
    """The kinds of drift of dumps with that change, each against a reference of its own."""
    generator = np.random.default_rng(size)
    for _ in range(dumps):
        yield drift.drifted(drift.compare(reviews(generator, validation), reviews(generator, size, **change)))


@pytest.mark.parametrize("size", [50, 500, 5_000])
def test_alarms_by_chance(size: int) -> None:
    assert sum(map(bool, alarms(size, 200))) <= 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("length", {"length": 0.2}),
        ("positives", {"positive": 0.7}),
        ("positives", {"positive": 0.3}),
        ("unknown words", {"unknown": 0.6}),
        ("new words", {"subject": 0.1}),
    ],
)
def test_a_change_that_goes_unseen(kind: str, change: dict[str, Any]) -> None:
    assert sum(kind in kinds for kinds in alarms(500, 40, **change)) >= 39


@pytest.mark.parametrize("positive", [0.3, 0.7])
def test_a_moved_share_that_the_noise_of_a_small_reference_hides(positive: float) -> None:
    assert sum("positives" in kinds for kinds in alarms(500, 200, 400, positive=positive)) >= 190


def test_new_words_where_no_texts_were_at_hand_that_could_have_had_them() -> None:
    generator = np.random.default_rng(6)
    corpus = reviews(generator, VALIDATION).model_copy(update={"unknown": []})
    assert "new words" not in drift.compare(corpus, reviews(generator, 500))


@pytest.mark.parametrize("size", [50, 500])
def test_alarms_by_the_noise_of_a_small_reference(size: int) -> None:
    assert sum(map(bool, alarms(size, 300, 400))) <= 3


def test_a_trifle_that_is_called_drift_because_it_is_certain() -> None:
    generator = np.random.default_rng(1)
    found = drift.compare(reviews(generator, VALIDATION), reviews(generator, 1_000_000, positive=0.53, length=1.05))
    assert set(found) == set(drift.KINDS)
    assert drift.drifted(found) == []


def test_a_limit_that_few_rows_do_not_raise() -> None:
    generator = np.random.default_rng(2)
    reference = reviews(generator, VALIDATION)
    few, many = (drift.compare(reference, reviews(generator, size)) for size in (60, 5_000))
    assert few["length"].limit > 2 * many["length"].limit == 2 * drift.LEAST["length"]


def test_a_days_many_dumps_that_make_an_alarm_by_chance_likely() -> None:
    """In a year of 20 dumps a day of 50 to 60 reviews, there was a false alarm every other week."""
    generator = np.random.default_rng(7)
    days, dumps, alarms = 100, 20, 0
    for _ in range(days):
        reference = reviews(generator, 1_000)
        found = [drift.compare(reference, reviews(generator, 55), dumps) for _ in range(dumps)]
        alarms += any(map(drift.drifted, found))
    assert alarms <= 3


def test_too_few_rows_that_are_judged() -> None:
    generator = np.random.default_rng(3)
    reference = reviews(generator, VALIDATION)
    assert drift.compare(reference, reviews(generator, drift.FEWEST_ROWS - 1, length=0.1)) == {}
    assert drift.compare(reference, Profile()) == {}


def test_a_table_of_an_earlier_version_that_is_judged_by_what_it_lacks() -> None:
    generator = np.random.default_rng(4)
    old = Profile(probabilities=reviews(generator, 500).probabilities)
    assert set(drift.compare(reviews(generator, VALIDATION), old)) == {"probabilities", "positives"}


def test_a_reference_with_all_reviews_in_one_bin() -> None:
    generator = np.random.default_rng(5)
    found = reviews(generator, 500)
    one_bin = reviews(generator, VALIDATION).model_copy(update={"rare": [VALIDATION] + [0] * (len(found.rare) - 1)})
    assert "rare words" not in drift.compare(one_bin, found)


def test_bins_so_small_that_chance_rules_them() -> None:
    reference = np.array([0, 1, 0, 500, 3, 2, 480, 10, 4])
    starts = drift._starts(reference, 100)
    assert np.add.reduceat(reference, starts).tolist() == [501, 499]


def test_a_day_that_forgets_what_came_before() -> None:
    one, other = Profile(probabilities=[1] * 20), Profile(probabilities=[2] * 20)
    day = Day(date="2026-05-01", reported=["length"]).after({"gru-1": one}, 3)
    day = day.after({"gru-1": other, "gru-2": one}, 2)
    assert {name: profile.rows for name, profile in day.models.items()} == {"gru-1": 60, "gru-2": 20}
    assert (day.reported, day.dumps) == (["length"], 5)
    assert Day.model_validate_json(day.model_dump_json()) == day
