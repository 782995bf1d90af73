"""Which model is current: verdicts, promotion, rolling back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.lib import errors, files
from tasks.lib.models import releases
from tests.support.models import add


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
    ],
)
def test_a_wrong_verdict(tmp_path: Path, accuracy: float, corpus: str, force: bool, verdict: str) -> None:
    old = add(tmp_path, 1, 0.80)
    releases.release(tmp_path, old)
    new = add(tmp_path, 2, accuracy, corpus)
    assert releases.release(tmp_path, new, force=force)[0] == verdict
    assert releases.current_id(tmp_path) == (old if verdict == "held" else new)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("accuracy", "below"), [(0.79, True), (0.81, True), (0.85, False), (0.86, False)])
def test_a_model_below_the_baseline_whose_verdict_does_not_say_so(
    tmp_path: Path, accuracy: float, below: bool, force: bool
) -> None:
    releases.release(tmp_path, add(tmp_path, 1, 0.80))
    _, reason = releases.release(tmp_path, add(tmp_path, 2, accuracy, baseline=0.85), force=force)
    assert reason.endswith("; below the n-gram baseline of 85.00%") == below
    assert ("baseline" in reason) == below


def test_a_sample_model_that_keeps_an_imdb_model_from_release(tmp_path: Path) -> None:
    releases.release(tmp_path, add(tmp_path, 1, 0.99, "sample"))
    assert releases.release(tmp_path, add(tmp_path, 2, 0.70))[0] == "promoted"


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
