"""The files that ask for labels, and the accuracy that comes of their random half."""

from __future__ import annotations

import csv
import stat
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tasks.lib.config import LabelsConfig
from tasks.lib.labels import answers, asked, sample
from tasks.lib.labels.sample import Chosen
from tasks.lib.network import words
from tests.support import labels

DAY = date(2026, 11, 27)
REVIEWS = ["=1+1", "'=2", "- fine\r\nand\rgood", 'and, "quotes"', "'tis", "''", "\rx", "plain", "007", "'3/4", "1e5"]


def chosen(
    review: str, number: int, *, at_random: bool = True, label: str = "positive", model: str = "gru-1"
) -> Chosen:
    return Chosen(f"{'0' * 16}-{number}", review, "f" * 64, model, label, at_random)


@pytest.fixture
def rows() -> list[Chosen]:
    return [chosen(review, number, at_random=number % 2 == 0) for number, review in enumerate(REVIEWS)]


def answer(path: Path, given: list[str]) -> None:
    """Fills in the labels, as a person does."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *([*row[:-1], label] for row, label in zip(rows, given, strict=True))])


def test_a_review_that_a_spreadsheet_runs_or_that_comes_back_altered(tmp_path: Path, rows: list[Chosen]) -> None:
    path = asked.write(tmp_path / "labels", DAY, rows)
    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [row["review"] for row in csv.DictReader(file)]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r" or cell[0].isdigit()]
    assert [review for _, review in answers.texts(path)] == REVIEWS
    answer(path, ["1"] * len(rows))
    assert [row.review for row in answers.read(path, "review", LabelsConfig()).rows] == REVIEWS


def test_words_that_a_spreadsheet_makes_one_of(tmp_path: Path) -> None:
    path = asked.write(tmp_path, DAY, [chosen("two\twords", 1), chosen("\t=1+1", 2)])
    assert [review for _, review in answers.texts(path)] == ["two words", " =1+1"]


def test_a_row_id_that_a_spreadsheet_takes_for_a_number(tmp_path: Path) -> None:
    row = chosen("fine", 1)._replace(row_id="123456789012345e-7")
    path = asked.write(tmp_path, DAY, [row])
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert next(csv.DictReader(file))["row_id"] == f"'{row.row_id}"
    answer(path, ["1"])
    assert asked.accuracies(tmp_path) == {"gru-1": asked.Accuracy(1, 1)}


def test_a_person_who_sees_what_the_model_said(tmp_path: Path, rows: list[Chosen]) -> None:
    path = asked.write(tmp_path / "labels", DAY, rows)
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *cells = csv.reader(file)
    assert header == ["row_id", "review", "model_id", "label"]
    assert {(len(row), row[2], row[3]) for row in cells} == {(4, "gru-1", "")}
    assert [name for name in path.parent.iterdir() if not name.name.startswith(".")] == [path]


def test_what_others_can_read(tmp_path: Path, rows: list[Chosen]) -> None:
    path = asked.write(tmp_path / "labels", DAY, rows)
    hidden = path.parent / asked.FOLDER
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, hidden)] == [0o700, 0o700]
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, *hidden.iterdir())] == [0o600, 0o600]
    assert not [each for each in hidden.iterdir() if "plain" in each.read_text()]


def test_a_file_of_the_same_day_that_is_written_over(tmp_path: Path, rows: list[Chosen]) -> None:
    paths = [asked.write(tmp_path, DAY, [row]) for row in rows[:3]]
    assert [path.name for path in paths] == [f"to-label-2026-11-27{end}.csv" for end in ("", "-2", "-3")]
    paths[1].unlink()
    assert asked.write(tmp_path, DAY, rows[3:4]).name == "to-label-2026-11-27-4.csv"
    assert asked.row_ids(tmp_path) == {row.row_id for row in rows[:4]}


def test_an_accuracy_of_rows_that_were_not_drawn_or_not_labelled(tmp_path: Path) -> None:
    rows = [chosen(f"r{number}", number, at_random=number < 6) for number in range(8)]
    rows.append(chosen("other", 8, label="negative", model="gru-2"))
    path = asked.write(tmp_path, DAY, rows)
    assert asked.accuracies(tmp_path) == {}
    answer(path, ["pos", "1", "neg", "", "who knows", "positive", "neg", "neg", "neg"])
    assert asked.accuracies(tmp_path) == {"gru-1": asked.Accuracy(3, 4), "gru-2": asked.Accuracy(1, 1)}
    (tmp_path / "no-labels.csv").write_text("a,b\n1,2\n")
    (tmp_path / asked.FOLDER / "torn.json").write_text('{"rows": [')
    assert asked.accuracies(tmp_path)["gru-1"].rows == 4


@pytest.mark.parametrize(
    ("right", "rows", "lower", "upper"),
    [(90, 100, 0.8256, 0.9448), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_an_interval_that_is_not_that_of_wilson(right: int, rows: int, lower: float, upper: float) -> None:
    assert asked.Accuracy(right, rows).interval == pytest.approx((lower, upper), abs=5e-5)


def test_an_accuracy_without_its_figures() -> None:
    said = str(asked.Accuracy(90, 100))
    assert said == "90.0% of 100 rows drawn at random, 95% interval 82.6% to 94.5%"


def test_a_review_that_was_asked_for_in_doubt_and_counts_as_drawn(tmp_path: Path) -> None:
    rows = [chosen("one", 1)._replace(identity="a"), chosen("two", 2, at_random=False)._replace(identity="b")]
    rows.append(chosen("three", 3, at_random=False)._replace(identity="c"))
    asked.write(tmp_path, DAY, rows)
    (tmp_path / asked.FOLDER / "damaged.json").write_text("{")
    assert asked.doubted(tmp_path) == {"b", "c"}
    asked.write(tmp_path, DAY, [chosen("four", 4)], [rows[2]._replace(at_random=True)])
    assert asked.doubted(tmp_path) == {"b"}


def test_a_row_drawn_again_that_counts_before_those_drawn_with_it_or_never(tmp_path: Path) -> None:
    first = asked.write(tmp_path, DAY, [chosen("sure", 1), chosen("unsure", 2, at_random=False)])
    answer(first, ["pos", "neg"])
    again = [chosen("sure", 1), chosen("unsure", 2)]
    second = asked.write(
        tmp_path, DAY, [chosen("doubt", 3, at_random=False), chosen("new", 4), chosen("more", 5)], again
    )
    assert asked.row_ids(tmp_path) == {f"{'0' * 16}-{number}" for number in range(1, 6)}
    assert asked.accuracies(tmp_path) == {"gru-1": asked.Accuracy(1, 1)}
    answer(second, ["pos", "pos", ""])
    assert asked.accuracies(tmp_path) == {"gru-1": asked.Accuracy(3, 3)}  # `sure` of either draw, and `new`
    answer(second, ["pos", "pos", "pos"])
    assert asked.accuracies(tmp_path) == {"gru-1": asked.Accuracy(4, 5)}


def test_a_row_drawn_again_whose_label_came_from_elsewhere(tmp_path: Path) -> None:
    known = chosen("Known!", 1)._replace(identity=words.identity("known"))
    path = asked.write(tmp_path, DAY, [chosen("new", 2)], [known])
    answer(path, ["pos"])
    assert asked.accuracies(tmp_path) == {"gru-1": asked.Accuracy(1, 1)}
    labels.write(tmp_path / "mine.csv", [["known", "neg"]])
    assert asked.accuracies(tmp_path) == {"gru-1": asked.Accuracy(1, 2)}


def test_a_row_in_another_encoding_that_does_not_count(tmp_path: Path) -> None:
    path = asked.write(tmp_path, DAY, [chosen("très bon", 1)])
    answer(path, ["pos"])
    path.write_bytes(path.read_bytes().decode("utf-8-sig").encode("cp1252"))
    assert asked.accuracies(tmp_path) == {"gru-1": asked.Accuracy(1, 1)}


@pytest.mark.parametrize(
    ("population", "rows", "draws", "points"),
    [(400, 160, 25, 1.5), pytest.param(2000, 800, 200, 0.5, marks=pytest.mark.slow)],
)
def test_an_accuracy_that_is_too_high_once_the_rows_in_doubt_were_asked_for(
    tmp_path: Path, population: int, rows: int, draws: int, points: float
) -> None:
    random = np.random.default_rng(0)
    probabilities = random.random(population)
    positive = random.random(population) < probabilities  # a model that is right on 75 %, and on 50 % of those in doubt
    truth = {f"review {number}": "pos" if positive[number] else "neg" for number in range(population)}
    table = labels.table(tmp_path, list(truth), probabilities.tolist())
    found = []
    for number in range(draws):
        folder = tmp_path / str(number)
        for _ in range(2):
            drawn = sample.draw([table], rows, random, asked.row_ids(folder))
            path = asked.write(folder, DAY, *drawn)
            answer(path, [truth[row.review] for row in drawn.rows])
        accuracy = asked.accuracies(folder)["gru-1"]
        found.append(accuracy.right / accuracy.rows)
        assert accuracy.rows == rows
    expected = np.mean((probabilities >= 0.5) == positive)
    assert 100 * abs(np.mean(found) - expected) < points
