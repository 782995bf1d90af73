"""Which model is current: verdicts, promotion, rolling back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.lib import errors, files
from tasks.lib.config import ReleaseConfig
from tasks.lib.models import bundles, comparison, releases
from tests.support.models import add, add_tested, facts


def test_a_first_model_that_does_not_become_current(tmp_path: Path) -> None:
    model_id = add(tmp_path, 1, 0.5)
    assert releases.release(tmp_path, model_id) == ("first", "there was no current model")
    assert releases.current_id(tmp_path) == model_id


@pytest.mark.parametrize(
    ("accuracy", "corpus", "force", "verdict"),
    [
        (0.81, "imdb", False, "promoted"),
        (0.80, "imdb", False, "promoted"),
        (0.79, "imdb", False, "held"),
        (0.79, "imdb", True, "forced"),
        (0.99, "sample", False, "held"),
        (0.99, "sample", True, "forced"),
        (0.99, "own", False, "held"),
        (0.99, "own", True, "forced"),
    ],
)
def test_a_wrong_verdict(tmp_path: Path, accuracy: float, corpus: str, force: bool, verdict: str) -> None:
    old = add(tmp_path, 1, 0.80)
    releases.release(tmp_path, old)
    new = add(tmp_path, 2, accuracy, corpus)
    assert releases.release(tmp_path, new, ReleaseConfig(force=force))[0] == verdict
    assert releases.current_id(tmp_path) == (old if verdict == "held" else new)


def release_after(models: Path, better: int, worse: int, margin: float = -0.5) -> tuple[str, str]:
    """The verdict on a model that alone is right on so many of 10,000 test reviews, and alone wrong on so many."""
    right = np.ones((2, 10_000), np.bool_)
    right[0, :better] = False
    right[1, better : better + worse] = False
    old, new = (add_tested(models, number, answers) for number, answers in enumerate(right, start=1))
    releases.release(models, old)
    verdict, reason = releases.release(models, new, ReleaseConfig(margin=margin))
    assert releases.current_id(models) == (old if verdict == "held" else new)
    assert f" of {old}: " in reason
    return verdict, reason


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [(200, 100, "promoted"), (100, 100, "promoted"), (10, 40, "promoted"), (100, 140, "held"), (1000, 1000, "held")],
)
def test_a_verdict_by_the_figures_alone_whose_difference_chance_may_have_made(
    tmp_path: Path, better: int, worse: int, verdict: str
) -> None:
    assert release_after(tmp_path, better, worse)[0] == verdict


def test_a_margin_that_holds_at_its_edge_or_does_not_hold_below_it(tmp_path: Path) -> None:
    edge = comparison.difference(100, 140, 10_000).lower
    assert release_after(tmp_path / "at", 100, 140, edge)[0] == "promoted"
    assert release_after(tmp_path / "above", 100, 140, np.nextafter(edge, np.inf))[0] == "held"
    assert release_after(tmp_path / "default", 0, 10_000, -100)[0] == "promoted"
    assert release_after(tmp_path / "equal", 0, 0, 0)[0] == "promoted"
    assert release_after(tmp_path / "equal, not better", 0, 0, 0.01)[0] == "held"


def test_a_reason_without_the_figures(tmp_path: Path) -> None:
    _, reason = release_after(tmp_path / "promoted", 200, 100)
    figures = comparison.difference(200, 100, 10_000)
    assert reason.startswith("test accuracy 99.00% against 98.00% of gru-")
    assert f": +1.00 points, 95% interval {figures.lower:+.2f} to {figures.upper:+.2f}; no slices: gru-" in reason
    _, reason = release_after(tmp_path / "held", 100, 140)
    figures = comparison.difference(100, 140, 10_000)
    expected = f": -0.40 points, 95% interval {figures.lower:+.2f} to {figures.upper:+.2f}"
    assert f"{expected}, which begins below --margin -0.5; no slices: gru-" in reason


def release_with_slices(models: Path, better: int, worse: int) -> tuple[str, str]:
    """The verdict on a model that alone is right on so many long test reviews, and alone wrong on so many short ones.

    There are 500 of either.
    """
    right = np.ones((2, 1000), np.bool_)
    right[0, :better] = False
    right[1, 500 : 500 + worse] = False
    known = facts(np.repeat([300, 10], 500).astype(np.int32))
    old, new = (add_tested(models, number, answers, facts=known) for number, answers in enumerate(right, start=1))
    releases.release(models, old)
    verdict, reason = releases.release(models, new)
    assert releases.current_id(models) == (old if verdict == "held" else new)
    return verdict, reason


def test_a_better_model_that_is_promoted_though_a_slice_became_worse(tmp_path: Path) -> None:
    """The chance of 20 heads in 20 throws is 1 in 2 ** 20, in any of four slices four times that."""
    verdict, reason = release_with_slices(tmp_path, 100, 20)
    assert verdict == "held"
    assert ": +8.00 points, 95% interval +6.00 to " in reason
    assert reason.endswith("; significantly worse in slices: up to 150 words (-4.00 points, p = 3.8e-06)")


@pytest.mark.parametrize("worse", [0, 6])
def test_a_slice_that_chance_made_worse_and_that_holds_a_model(tmp_path: Path, worse: int) -> None:
    """6 of 6 have a chance of 1.6 %, but in any of four slices one of 6.2 %."""
    verdict, reason = release_with_slices(tmp_path, 100, worse)
    assert verdict == "promoted"
    assert "slices" not in reason


def test_a_model_held_for_two_reasons_of_which_one_is_not_told(tmp_path: Path) -> None:
    verdict, reason = release_with_slices(tmp_path, 0, 20)
    assert verdict == "held"
    assert ", which begins below --margin -0.5; significantly worse in slices: up to 150 words (-4.00 points" in reason
    assert ", without negation (-2.00 points, p = " in reason


@pytest.mark.parametrize(("accuracy", "verdict"), [(1.0, "promoted"), (0.9, "held")])
def test_a_model_without_predictions_that_blocks_a_release(tmp_path: Path, accuracy: float, verdict: str) -> None:
    """As a model of an earlier version, whose bundle has none; either of the two may be the one."""
    tested = add_tested(tmp_path, 1, np.arange(100) >= 5)
    older = add(tmp_path, 2, accuracy)
    releases.release(tmp_path, tested)
    found, reason = releases.release(tmp_path, older)
    assert (found, releases.current_id(tmp_path)) == (verdict, older if verdict == "promoted" else tested)
    assert f"; no interval: {older} has no {bundles.PREDICTIONS}" in reason
    releases.promote(tmp_path, older)
    assert releases.judge(tmp_path, tested)[0] == ("held" if verdict == "promoted" else "promoted")


@pytest.mark.parametrize(("wrong", "verdict"), [(4, "promoted"), (5, "promoted"), (6, "held")])
def test_other_test_reviews_whose_accuracies_are_not_compared(tmp_path: Path, wrong: int, verdict: str) -> None:
    releases.release(tmp_path, add_tested(tmp_path, 1, np.arange(100) >= 5))
    new = add_tested(tmp_path, 2, np.arange(100) >= wrong, first_label=1)
    found, reason = releases.release(tmp_path, new)
    assert found == verdict
    assert "; no interval: " in reason
    assert "different reviews" in reason


def test_damaged_predictions_that_are_compared(tmp_path: Path) -> None:
    current, candidate = (add_tested(tmp_path, number, np.arange(100) >= 5 * number) for number in (1, 2))
    releases.release(tmp_path, current)
    (tmp_path / current / bundles.PREDICTIONS).write_bytes(b"damaged")
    assert releases.release(tmp_path, candidate) == (
        "promoted", f"the current model {current} is gone or damaged",
    )  # fmt: skip
    with pytest.raises(errors.ModelError, match=r"predictions\.parquet: does not have the sha256"):
        releases.release(tmp_path, current)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("accuracy", "below"), [(0.79, True), (0.81, True), (0.85, False), (0.86, False)])
def test_a_model_below_the_baseline_whose_verdict_does_not_say_so(
    tmp_path: Path, accuracy: float, below: bool, force: bool
) -> None:
    releases.release(tmp_path, add(tmp_path, 1, 0.80))
    new = add(tmp_path, 2, accuracy, baseline=0.85)
    _, reason = releases.release(tmp_path, new, ReleaseConfig(force=force))
    assert reason.endswith("; below the n-gram baseline of 85.00%") == below
    assert ("baseline" in reason) == below


def test_a_sample_model_that_keeps_an_imdb_model_from_release(tmp_path: Path) -> None:
    releases.release(tmp_path, add(tmp_path, 1, 0.99, "sample"))
    assert releases.release(tmp_path, add(tmp_path, 2, 0.70))[0] == "promoted"


def test_another_subject_whose_model_is_replaced_by_one_for_movies(tmp_path: Path) -> None:
    releases.release(tmp_path, add(tmp_path, 1, 0.60, "own"))
    verdict, reason = releases.release(tmp_path, add(tmp_path, 2, 0.99))
    assert verdict == "held"
    assert "trained on the imdb corpus" in reason
    releases.release(tmp_path / "sample", add(tmp_path / "sample", 1, 0.99, "sample"))
    assert releases.release(tmp_path / "sample", add(tmp_path / "sample", 2, 0.6, "own"))[0] == "promoted"


def release_with_own(models: Path, better: int, worse: int, fall: int = 0, corpus: str = "imdb") -> tuple[str, str]:
    """The verdict on a model that alone is right on so many of 200 own test reviews, and alone wrong on so many.

    It is wrong on `fall` of 10,000 others, which the model before gets right.
    """
    names = [f"{number:064x}" for number in range(200)]
    answers = np.ones((2, 200), np.bool_)
    answers[0, :better] = False
    answers[1, better : better + worse] = False
    others = np.ones((2, 10_000), np.bool_)
    others[1, :fall] = False
    old, new = (
        add_tested(models, number, right, own=dict(zip(names, mine, strict=True)), corpus=corpus)
        for number, (right, mine) in enumerate(zip(others, answers.tolist(), strict=True), start=1)
    )
    releases.release(models, old)
    return releases.release(models, new)


@pytest.mark.parametrize(
    ("better", "worse", "fall", "verdict"),
    [
        (0, 0, 0, "promoted"),
        (10, 12, 0, "promoted"),  # chance may have made it
        (30, 0, 0, "promoted"),
        (0, 10, 0, "held"),
        (30, 0, 20, "promoted"),
        (30, 0, 100, "held"),
        (0, 10, 100, "held"),
    ],
)
def test_own_test_reviews_that_count_less_than_those_of_the_corpus(
    tmp_path: Path, better: int, worse: int, fall: int, verdict: str
) -> None:
    found, reason = release_with_own(tmp_path, better, worse, fall)
    assert found == verdict
    assert reason.startswith(f"on 200 own test reviews {1 - worse / 200:.2%} against {1 - better / 200:.2%} of gru-")
    assert f"; test accuracy {1 - fall / 10_000:.2%} against 100.00% of gru-" in reason
    assert (", which is worse by more than chance; test" in reason) == (worse == 10)


@pytest.mark.parametrize(("worse", "verdict"), [(0, "promoted"), (10, "held")])
def test_a_corpus_of_ones_own_that_is_compared_by_others(tmp_path: Path, worse: int, verdict: str) -> None:
    found, reason = release_with_own(tmp_path, 0, worse, 5000, "own")
    assert found == verdict
    assert "test accuracy" not in reason


def test_a_verdict_that_is_not_written_down(tmp_path: Path) -> None:
    releases.release(tmp_path, add(tmp_path, 1, 0.8))
    releases.release(tmp_path, add(tmp_path, 2, 0.7))
    lines = [json.loads(line) for line in (tmp_path / "releases.jsonl").read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["first", "held"]
    assert "70.00% against 80.00%" in lines[1]["reason"]


def test_releasing_the_current_model_again_that_changes_something(tmp_path: Path) -> None:
    model_id = add(tmp_path, 1, 0.8)
    releases.release(tmp_path, model_id)
    before = (tmp_path / "current.json").read_bytes()
    assert releases.release(tmp_path, model_id)[0] == "first"
    assert (tmp_path / "current.json").read_bytes() == before


def test_rolling_back_to_the_wrong_model(tmp_path: Path) -> None:
    first, second, third = (add(tmp_path, number, 0.8) for number in (1, 2, 3))
    for model_id in (first, second, third):
        releases.release(tmp_path, model_id)
    assert releases.roll_back(tmp_path).model_id == second
    assert releases.roll_back(tmp_path).model_id == first
    with pytest.raises(errors.ModelError, match="no earlier model"):
        releases.roll_back(tmp_path)


def test_rolling_back_a_named_model_twice(tmp_path: Path) -> None:
    first, second, third = (add(tmp_path, number, 0.8) for number in (1, 2, 3))
    for model_id in (first, second, third):
        releases.release(tmp_path, model_id)
    for _ in range(2):
        assert releases.roll_back(tmp_path, third).model_id == second
    with pytest.raises(errors.ModelError, match=f"{first} is not the current model, {second} is"):
        releases.roll_back(tmp_path, first)


def test_promoting_the_current_model_again_that_changes_something(tmp_path: Path) -> None:
    model_id = add(tmp_path, 1, 0.8)
    for _ in range(2):
        releases.promote(tmp_path, model_id)
    assert len((tmp_path / "releases.jsonl").read_text().splitlines()) == 1


def test_a_rolled_back_model_that_the_next_training_releases_again(tmp_path: Path) -> None:
    first, second = add(tmp_path, 1, 0.8), add(tmp_path, 2, 0.9)
    releases.release(tmp_path, first)
    releases.release(tmp_path, second)
    releases.roll_back(tmp_path)
    assert releases.release(tmp_path, second)[0] == "held"
    assert releases.promote(tmp_path, second).model_id == second


def test_an_unknown_model_that_is_promoted(tmp_path: Path) -> None:
    known = add(tmp_path, 1, 0.8)
    with pytest.raises(errors.ModelError, match=f"no model 'gru-000000000000' .found: {known}"):
        releases.promote(tmp_path, "gru-000000000000")


def test_a_damaged_current_file_that_cannot_be_mended(tmp_path: Path) -> None:
    model_id = add(tmp_path, 1, 0.8)
    (tmp_path / "current.json").write_text("{")
    with pytest.raises(errors.ModelError, match="release.py promote"):
        releases.current_id(tmp_path)
    assert releases.promote(tmp_path, model_id).model_id == model_id
    assert releases.current_id(tmp_path) == model_id


def test_a_current_model_that_is_gone_and_blocks_the_next(tmp_path: Path) -> None:
    old = add(tmp_path, 1, 0.9)
    releases.release(tmp_path, old)
    files.remove(tmp_path / old)
    assert releases.release(tmp_path, add(tmp_path, 2, 0.5))[0] == "promoted"
