"""Figures: the right size, named and labelled, the best epoch marked, and no fall at the edges of the data."""

import inspect
import struct
import warnings
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tasks.lib import figures

HISTORY = {
    "loss": [0.68, 0.5, 0.3, 0.2],
    "val_loss": [0.66, 0.52, 0.49, 0.55],
    "accuracy": [0.5, 0.7, 0.9, 0.95],
    "val_accuracy": [0.5, 0.7, 0.8, 0.79],
}
BINS = np.arange(1, 10) / 10
CURVES: dict[str, list[float]] = {
    "fpr": [0.0, 0.1, 1.0],
    "tpr": [0.0, 0.8, 1.0],
    "predicted": (BINS + 0.05).tolist(),
    "observed": BINS.tolist(),
    "count": list(range(10)),
}
EDGES = np.linspace(0, 1, 21)
COUNTS = np.arange(20)


def measured(confusion: list[int], auc: float | None = 0.85, threshold: float = 0.5) -> dict[str, Any]:
    """Metrics with these counts of true negatives, false positives, false negatives and true positives."""
    names = ("true_negative", "false_positive", "false_negative", "true_positive")
    accuracy = (confusion[0] + confusion[3]) / sum(confusion)
    counts = dict(zip(names, confusion, strict=True))
    return {
        "accuracy": accuracy, "auc": auc, "calibration_error": 0.0123, "calibration_error_before": 0.0456,
        "threshold": threshold, "confusion": counts,
    }  # fmt: skip


METRICS = measured([1_440, 60, 250, 1_250])
ONE_CLASS = measured([0, 0, 1, 2], auc=None), CURVES | {"fpr": [], "tpr": []}

DAYS = [date(2026, 1, 1) + timedelta(days=day) for day in range(90)]
SHARES = [np.nan if day % 7 == 6 else day / 100 for day in range(90)]
COURSE = figures.Course(
    "Share of known words", "Known", DAYS, {"known words": SHARES}, percent=True, limit=0.8, guide=(0.5, "expected"),
    changes=[DAYS[30], DAYS[60]],
)  # fmt: skip

DRAWN: dict[str, Callable[[], bytes]] = {
    "loss": lambda: figures.loss(HISTORY, 3, "simple_rnn on sample"),
    "loss, one epoch": lambda: figures.loss({"loss": [0.69], "val_loss": [0.68]}, 1),
    "loss, one epoch, one value": lambda: figures.loss({"loss": [0.7], "val_loss": [0.7]}, 1),
    "loss, a thousand epochs": lambda: figures.loss({"loss": [1.0] * 1000, "val_loss": [2.0] * 1000}, 1000),
    "loss, not finite": lambda: figures.loss({"loss": [np.nan, np.inf], "val_loss": [np.inf, np.nan]}, 1),
    "evaluation": lambda: figures.evaluation(METRICS, CURVES, "gru on imdb"),
    "evaluation, one class": lambda: figures.evaluation(*ONE_CLASS),
    "evaluation, a billion": lambda: figures.evaluation(measured([10**9] * 4, threshold=0.123456), CURVES),
    "probabilities": lambda: figures.probabilities(COUNTS, EDGES, 0.5, "reviews.csv"),
    "probabilities, no review": lambda: figures.probabilities(np.zeros(20, int), EDGES, 0.5),
    "probabilities, threshold at the edge": lambda: figures.probabilities(COUNTS, EDGES, 1.0),
    "daily": lambda: figures.daily(COURSE),
    "daily, one day": lambda: figures.daily(COURSE._replace(days=DAYS[:1], lines={"rows": [3.0]}, kind="bars")),
    "daily, nothing": lambda: figures.daily(COURSE._replace(lines={"rows": [np.nan] * 90})),
    "daily, logarithms": lambda: figures.daily(COURSE._replace(lines={"length": [0, 1e6] * 45}, kind="log")),
}


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def texts(axes: Axes) -> list[str]:
    """The title, the labels and the legend of a panel."""
    legend = axes.get_legend()
    named = [axes.get_title("left") or axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    return named + ([entry.get_text() for entry in legend.get_texts()] if legend else [])


def points(axes: Axes, label: str) -> list[list[float]]:
    """The points [x, y] of the one line with a label that starts like this."""
    [line] = (line for line in axes.get_lines() if str(line.get_label()).startswith(label))
    return np.asarray(line.get_xydata()).tolist()


def headings(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def notes(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("name", DRAWN)
def test_each_is_a_small_png_of_its_size(name: str) -> None:
    png = DRAWN[name]()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    size = struct.unpack(">II", png[16:24])
    assert size == {"evaluation": (1200, 520), "daily": (900, 340)}.get(name.partition(",")[0], (900, 560))
    assert len(png) < 90_000


@pytest.mark.parametrize("name", ["loss", "evaluation", "probabilities", "daily"])
def test_the_same_numbers_give_the_same_bytes_whatever_the_settings(name: str) -> None:
    expected = DRAWN[name]()
    assert b"Software" not in expected
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 20}):
        assert DRAWN[name]() == expected
        assert matplotlib.rcParams["font.size"] == 30, "the caller's settings are left as they were"


def test_loss_is_named_and_labelled() -> None:
    figure = figures._loss_figure(HISTORY, 3, "simple_rnn on sample")
    assert headings(figure) == ["Loss per epoch", "simple_rnn on sample"]
    [axes] = figure.axes
    legend = ["training", "validation", "best epoch: 3 (loss 0.490)"]
    assert texts(axes) == ["", "Epoch", "Loss (binary cross-entropy)", *legend]


def test_loss_draws_both_curves_from_epoch_1() -> None:
    [axes] = figures._loss_figure(HISTORY, 3).axes
    assert points(axes, "training") == [[1, 0.68], [2, 0.5], [3, 0.3], [4, 0.2]]
    assert points(axes, "validation") == [[1, 0.66], [2, 0.52], [3, 0.49], [4, 0.55]]


def test_loss_marks_the_best_epoch_on_the_validation_curve() -> None:
    [axes] = figures._loss_figure(HISTORY, 3).axes
    assert points(axes, "best epoch") == [[3, 0.49]]


@pytest.mark.parametrize("epochs", [1, 2, 12, 13, 24, 25, 40, 100, 1000])
def test_epoch_ticks_are_whole_and_no_more_than_there_is_room_for(epochs: int) -> None:
    [axes] = figures._loss_figure({"loss": [0.5] * epochs, "val_loss": [0.5] * epochs}, 1).axes
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks == sorted(set(ticks))
    assert 1 <= ticks[0] <= ticks[-1] <= epochs
    assert len(ticks) <= 13
    assert all(float(tick).is_integer() for tick in ticks)


def test_a_single_epoch_is_drawn_with_markers() -> None:
    [axes] = figures._loss_figure({"loss": [0.69], "val_loss": [0.68]}, 1).axes
    assert [line.get_marker() for line in axes.get_lines()[:2]] == ["o", "s"]
    low, high = axes.get_xlim()
    assert low < 1 < high


def test_many_epochs_are_drawn_without_markers() -> None:
    [axes] = figures._loss_figure({"loss": [0.5] * 31, "val_loss": [0.5] * 31}, 1).axes
    assert axes.get_lines()[0].get_marker() == ""


def test_a_loss_that_hardly_moves_looks_flat() -> None:
    [axes] = figures._loss_figure({"loss": [0.693147, 0.693146], "val_loss": [0.693146, 0.693147]}, 1).axes
    low, high = axes.get_ylim()
    assert high - low > 0.01


def test_a_long_title_is_cut_and_a_dollar_sign_stays() -> None:
    figure = figures._loss_figure(HISTORY, 1, "$5 " + "word " * 50)
    assert headings(figure)[1].startswith("$5 word")
    assert headings(figure)[1].endswith(" …")
    assert len(headings(figure)[1]) <= 100


def test_evaluation_is_named_and_labelled() -> None:
    figure = figures._evaluation_figure(METRICS, CURVES, "gru on imdb")
    assert headings(figure) == ["Evaluation on 3,000 reviews", "gru on imdb"]
    roc, calibration, confusion = map(texts, figure.axes)
    assert roc[:3] == ["ROC curve: AUC 0.850", "False positive rate", "True positive rate"]
    assert roc[3:] == ["chance", "model", "threshold 0.5"]
    assert calibration[:3] == [
        "Calibration: error 0.012, before 0.046",
        "Mean predicted probability",
        "Share of positive reviews",
    ]
    assert calibration[3:] == ["perfect", "model", "reviews (most: 9)"]
    assert confusion == ["Confusion matrix: accuracy 89.67%", "Predicted (positive from 0.5)", "Label"]


def test_the_roc_curve_shows_where_the_threshold_is() -> None:
    axes = figures._evaluation_figure(METRICS, CURVES).axes[0]
    assert points(axes, "threshold") == [[60 / 1500, 1250 / 1500]]


def test_calibration_leaves_out_empty_bins() -> None:
    axes = figures._evaluation_figure(METRICS, CURVES).axes[1]
    assert [x for x, _ in points(axes, "model")] == pytest.approx(BINS + 0.05)
    assert len(axes.patches) == 10


def test_the_confusion_matrix_has_counts_and_the_share_of_each_row() -> None:
    axes = figures._evaluation_figure(METRICS, CURVES).axes[2]
    assert notes(axes) == ["1,440\n96.0%", "60\n4.0%", "250\n16.7%", "1,250\n83.3%"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["negative", "positive"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["negative", "positive"]


def test_one_class_has_no_roc_curve_but_all_the_rest() -> None:
    figure = figures._evaluation_figure(*ONE_CLASS)
    roc, calibration, confusion = figure.axes
    assert notes(roc) == ["needs labels\nof both classes"]
    assert texts(roc)[3:] == ["chance"]
    assert "model" in texts(calibration)
    assert notes(confusion) == ["0\n0.0%", "0\n0.0%", "1\n33.3%", "2\n66.7%"]


def test_probabilities_are_named_and_labelled() -> None:
    figure = figures._probabilities_figure(COUNTS, EDGES, 0.35, "reviews.csv")
    assert headings(figure) == ["Scores of the reviews", "reviews.csv"]
    [axes] = figure.axes
    legend = ["threshold 0.35", "190 reviews"]
    assert texts(axes) == ["", "Probability that the review is positive", "Reviews", *legend]
    heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert heights == list(range(20))
    assert points(axes, "threshold") == [[0.35, 0], [0.35, 1]]


def test_no_scores_at_all_are_said_to_be_none() -> None:
    [axes] = figures._probabilities_figure(np.zeros(20, int), EDGES, 0.5).axes
    assert notes(axes) == ["no reviews"]
    assert texts(axes)[3:] == ["threshold 0.5", "0 reviews"]
    assert axes.get_ylim() == (0, 1)


@pytest.mark.parametrize("draw", [figures.loss, figures.evaluation, figures.probabilities])
def test_nothing_that_is_drawn_could_be_the_text_of_a_review(draw: Callable[..., bytes]) -> None:
    # Numbers only; the title comes from the flow, which names a model or a file.
    parameters = inspect.signature(draw).parameters
    assert [name for name, taken in parameters.items() if taken.annotation == "str"] == ["title"]


def test_a_day_without_a_value_is_a_gap_and_the_axis_has_all_days() -> None:
    [axes] = figures._daily_figure(COURSE).axes
    assert texts(axes) == ["", "", "Known", "known words", "limit", "expected", "another model"]
    drawn = [value for _, value in points(axes, "known words")]
    np.testing.assert_array_equal(drawn, SHARES)
    first, last = axes.get_xlim()
    assert last - first == pytest.approx(89 + 1.4)


def test_another_model_is_marked_at_the_start_of_its_first_day() -> None:
    [axes] = figures._daily_figure(COURSE).axes
    (x, _), _ = points(axes, "another model")
    assert x == DAYS[30].toordinal() - 0.5


def test_a_limit_that_is_far_from_all_values_is_shown() -> None:
    [axes] = figures._daily_figure(COURSE._replace(lines={"length": [0.001] * 90}, kind="log", limit=1.0)).axes
    assert axes.get_ylim()[0] < figures.LEAST_SHOWN < 1.0 < axes.get_ylim()[1]
