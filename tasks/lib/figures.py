"""Plots as PNG bytes: the loss of a training, the evaluation of a model, the scores of a run, the course of days.

Each takes plain numbers and a title, so no text of a review can get into a picture. The same numbers give the same
bytes, whatever the user's own matplotlib settings are.
"""

from __future__ import annotations

import io
import textwrap
import zlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal, NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

DPI = 100
SIZE, WIDE, LOW = (9.0, 5.6), (12.0, 5.2), (9.0, 3.4)  # inches
MOST_LETTERS = {SIZE: 100, WIDE: 140, LOW: 100}  # of a subtitle that fits on its line
LEAST_SHOWN = 0.1  # on an axis of logarithms
MOST_MARKERS = 30  # epochs; with more of them the markers would run into a band

# Blue and vermilion of Okabe and Ito: told apart with every common kind of colour blindness, and in grey.
BLUE, VERMILION = "#0072B2", "#D55E00"
INK, GREY, FAINT = "#222222", "#666666", "#D4D9DE"
LINES = [(BLUE, "o"), ("#009E73", "s"), ("#CC79A7", "^"), ("#E69F00", "D"), ("#56B4E9", "v")]  # and markers

STYLE: Any = {  # the type of the keys differs from one matplotlib to another
    "font.family": "DejaVu Sans",  # the font that matplotlib brings
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a title is a dollar sign
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": "#E6E6E6",
    "lines.linewidth": 2.0,
    "legend.frameon": False,
    "legend.fontsize": 10,
}

LossKind = Literal["binary cross-entropy", "cross-entropy of a word"]


def loss(
    history: Mapping[str, Sequence[float]], best_epoch: int, title: str = "", kind: LossKind = "binary cross-entropy"
) -> bytes:
    """A PNG of 900 x 560 pixels: `loss` and `val_loss` of each epoch, the best epoch (from 1) marked."""
    with matplotlib.style.context(STYLE, after_reset=True):
        return _png(_loss_figure(history, best_epoch, title, kind))


def evaluation(metrics: Mapping[str, Any], curves: Mapping[str, Sequence[float]], title: str = "") -> bytes:
    """A PNG of 1200 x 520 pixels: ROC curve, calibration and confusion matrix, from what `metrics.py` gives."""
    with matplotlib.style.context(STYLE, after_reset=True):
        return _png(_evaluation_figure(metrics, curves, title))


def probabilities(counts: ArrayLike, edges: ArrayLike, threshold: float, title: str = "") -> bytes:
    """A PNG of 900 x 560 pixels: the number of reviews in each of n bins, which have n + 1 edges, and the threshold."""
    with matplotlib.style.context(STYLE, after_reset=True):
        return _png(_probabilities_figure(counts, edges, threshold, title))


class Course(NamedTuple):
    """Values of some lines for each day, NaN where there is none, and how to draw them.

    `limit` is drawn as such, and `guide` with its name. `top` is the least that the upper end of the axis shows.
    `changes` are the days from which another model scored.
    """

    heading: str
    ylabel: str
    days: Sequence[date]
    lines: Mapping[str, Sequence[float]]
    kind: Literal["line", "bars", "log"] = "line"
    percent: bool = False
    limit: float | None = None
    guide: tuple[float, str] | None = None
    top: float = 1.0
    changes: Sequence[date] = ()


def daily(course: Course) -> bytes:
    """A PNG of 900 x 340 pixels: the course of some values over days."""
    with matplotlib.style.context(STYLE, after_reset=True):
        return _png(_daily_figure(course))


def _loss_figure(
    history: Mapping[str, Sequence[float]], best_epoch: int, title: str = "", kind: LossKind = "binary cross-entropy"
) -> Figure:
    figure = _headed("Loss per epoch", title, SIZE)
    axes = figure.subplots()
    epochs = np.arange(1, len(history["loss"]) + 1)
    marked = len(epochs) <= MOST_MARKERS
    best = history["val_loss"][best_epoch - 1]
    axes.plot(epochs, history["loss"], "-", color=BLUE, marker="o" if marked else "", label="training")
    axes.plot(epochs, history["val_loss"], "--", color=VERMILION, marker="s" if marked else "", label="validation")
    axes.plot(
        best_epoch, best, "o", color=INK, markersize=13, fillstyle="none", zorder=5,
        label=f"best epoch: {best_epoch} (loss {best:.3f})",
    )  # fmt: skip
    axes.set(xlabel="Epoch", ylabel=f"Loss ({kind})", xlim=(0.7, len(epochs) + 0.3))
    highest = max(filter(np.isfinite, [*history["loss"], *history["val_loss"]]), default=0.0)
    axes.set_ylim(0, 1.06 * highest or None)  # a loss that hardly moves looks flat
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
    axes.grid(axis="y")
    _legend_above(axes)
    return figure


def _evaluation_figure(metrics: Mapping[str, Any], curves: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    count = metrics["confusion"]
    confusion = np.array(
        [
            [count["true_negative"], count["false_positive"]],
            [count["false_negative"], count["true_positive"]],
        ]
    )
    figure = _headed(f"Evaluation on {_reviews(confusion.sum())}", title, WIDE)
    roc, calibration, matrix = figure.subplots(1, 3)
    _roc_panel(roc, metrics, curves, confusion)
    _calibration_panel(calibration, metrics, curves)
    _confusion_panel(matrix, metrics, confusion)
    return figure


def _roc_panel(
    axes: Axes, metrics: Mapping[str, Any], curves: Mapping[str, Sequence[float]], confusion: NDArray[np.int64]
) -> None:
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="chance")
    axes.set(xlabel="False positive rate", ylabel="True positive rate", title="ROC curve")
    if metrics["auc"] is None:
        _note(axes, "needs labels\nof both classes")
    else:
        axes.plot(curves["fpr"], curves["tpr"], color=BLUE, label="model", clip_on=False, zorder=3)
        at = confusion[:, 1] / confusion.sum(axis=1)
        label = f"threshold {metrics['threshold']:g}"
        axes.plot(at[0], at[1], "s", color=VERMILION, label=label, clip_on=False, zorder=5)
        axes.set_title(f"ROC curve: AUC {metrics['auc']:.3f}")
    _unit_square(axes)
    axes.legend(loc="lower right")


def _calibration_panel(axes: Axes, metrics: Mapping[str, Any], curves: Mapping[str, Sequence[float]]) -> None:
    error, before = metrics["calibration_error"], metrics.get("calibration_error_before")
    counts = np.array(curves["count"], int)
    # A quarter of the panel: enough to see where the reviews are, low enough to stay in the background.
    heights, width = 0.25 * counts / counts.max(), 1 / len(counts)
    label = f"reviews (most: {counts.max():,})"
    axes.bar(np.arange(len(counts)) * width, heights, width, align="edge", color=FAINT, edgecolor="white", label=label)
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="perfect")
    axes.plot(curves["predicted"], curves["observed"], "-o", color=BLUE, label="model", clip_on=False, zorder=4)
    title = f"Calibration: error {error:.3f}" + ("" if before is None else f", before {before:.3f}")
    axes.set(xlabel="Mean predicted probability", ylabel="Share of positive reviews", title=title)
    _unit_square(axes)
    axes.legend(loc="upper left")


def _confusion_panel(axes: Axes, metrics: Mapping[str, Any], confusion: NDArray[np.int64]) -> None:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column, row, f"{confusion[row, column]:,}\n{share:.1%}", ha="center", va="center", fontsize=13,
            color="white" if share > 0.55 else INK,
        )  # fmt: skip
    axes.set_xticks([0, 1], ["negative", "positive"])
    axes.set_yticks([0, 1], ["negative", "positive"], rotation=90, va="center")
    axes.tick_params(length=0)
    axes.set(xlabel=f"Predicted (positive from {metrics['threshold']:g})", ylabel="Label")
    axes.set_title(f"Confusion matrix: accuracy {metrics['accuracy']:.2%}")


def _probabilities_figure(counts: ArrayLike, edges: ArrayLike, threshold: float, title: str = "") -> Figure:
    heights, borders = np.asarray(counts), np.asarray(edges)
    figure = _headed("Scores of the reviews", title, SIZE)
    axes = figure.subplots()
    label = _reviews(heights.sum())
    axes.bar(borders[:-1], heights, np.diff(borders), align="edge", color=BLUE, edgecolor="white", label=label)
    axes.axvline(threshold, color=VERMILION, linestyle="--", clip_on=False, label=f"threshold {threshold:g}")
    axes.set(xlabel="Probability that the review is positive", ylabel="Reviews", xlim=(borders[0], borders[-1]))
    axes.set_ylim(0, max(1.0, 1.05 * heights.max(initial=0)))
    axes.xaxis.set_major_locator(MultipleLocator(0.1))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y")
    if not heights.sum():
        _note(axes, "no reviews")
    _legend_above(axes)
    return figure


def _daily_figure(course: Course) -> Figure:
    figure = _headed(course.heading, f"{course.days[0]} to {course.days[-1]}", LOW)
    axes = figure.subplots()
    days, changes = (np.array([day.toordinal() for day in each], float) for each in (course.days, course.changes))
    for (name, values), (color, marker) in zip(course.lines.items(), LINES, strict=False):
        if course.kind == "bars":
            axes.bar(days, np.nan_to_num(values), 0.8, color=color, label=name)
        else:
            shown = np.maximum(values, LEAST_SHOWN) if course.kind == "log" else values
            axes.plot(days, shown, color=color, marker=marker, markersize=4, linewidth=1.5, label=name)
    dashed: Any = {"linestyle": "--", "linewidth": 1.5}
    if course.limit is not None:
        axes.axhline(course.limit, color=VERMILION, label="limit", **dashed)
    if course.guide is not None:
        axes.axhline(course.guide[0], color=GREY, label=course.guide[1], **dashed)
    for position, day in enumerate(changes.tolist()):
        label = "" if position else "another model"
        axes.axvline(day - 0.5, color=INK, linestyle=":", linewidth=1.5, label=label)
    axes.set(xlim=(days[0] - 0.7, days[-1] + 0.7), ylabel=course.ylabel)
    _daily_axes(axes, course)
    _legend_above(axes, 4)
    return figure


def _daily_axes(axes: Axes, course: Course) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axes.xaxis.set_major_formatter(lambda number, position: f"{date.fromordinal(int(number)):%d %b}")
    highest = float(np.nanmax([0.0, *(value for values in course.lines.values() for value in values)]))
    if course.kind == "log":
        axes.set_yscale("log")
        axes.set_ylim(LEAST_SHOWN / 1.2, max(10.0, 1.5 * highest))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        axes.set_ylim(0, 1.05 * max(course.top, highest))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=not course.percent, min_n_ticks=1))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0) if course.percent else StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y")


def _headed(heading: str, title: str, size: tuple[float, float]) -> Figure:
    """An empty figure with its heading, and room for the plots below."""
    width, height = size
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.99 - 0.75 / height), wspace=0.06)
    figure.text(0.14 / width, 1 - 0.14 / height, heading, va="top", fontsize=15, fontweight="bold")
    line = textwrap.shorten(title, MOST_LETTERS[size], placeholder=" …")
    figure.text(0.14 / width, 1 - 0.47 / height, line, va="top", fontsize=10.5, color=GREY)
    return figure


def _legend_above(axes: Axes, columns: int = 3) -> None:
    # Above the axes it can cover no data, wherever the data are.
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, borderaxespad=0.2)


def _unit_square(axes: Axes) -> None:
    ticks = np.linspace(0, 1, 6)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=ticks, yticks=ticks)
    axes.grid()


def _note(axes: Axes, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none"}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, bbox=box)


def _reviews(count: int | np.integer) -> str:
    return f"{count:,} review" + ("" if count == 1 else "s")


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    # The plain strategy packs lines and text better than Pillow's own choice, which is made for photographs. Level 9
    # would take 4 % off the size of a picture, and twice the time.
    packing = {"compress_level": 4, "compress_type": zlib.Z_DEFAULT_STRATEGY}
    figure.savefig(out, format="png", metadata={"Software": None}, pil_kwargs=packing)
    return out.getvalue()
