"""Plots as PNG bytes: the loss of a training run, the evaluation of a model, the scores of a dump.

Each takes plain numbers and a title, so no text of a review can get into a picture. The same numbers give the
same bytes, whatever the user's own matplotlib settings are.
"""

from __future__ import annotations

import io
import textwrap
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from numpy.typing import ArrayLike, NDArray

DPI = 100
SIZE = (9.0, 5.6)  # inches: 900 x 560 pixels
WIDE = (12.0, 5.2)  # inches: 1200 x 520 pixels
PANEL_LEFTS, PANEL_BOTTOM, PANEL_SIDE = (0.72, 4.72, 8.75), 1.02, 3.1  # inches: the squares in a wide figure

# Blue and vermilion of Okabe and Ito: told apart with every common kind of colour blindness, and in grey.
BLUE, VERMILION = "#0072B2", "#D55E00"
INK, GREY, FAINT = "#222222", "#666666", "#D4D9DE"

FLAT = 0.01  # a loss that moves less than this is drawn as flat, not blown up to the height of the plot
MOST_MARKERS = 30  # epochs; with more of them the markers would run into a band
MOST_LETTERS = {SIZE: 100, WIDE: 140}  # of a subtitle that fits on its line

_STYLE: Any = {  # the type of the keys differs from one matplotlib to another
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
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.6,
}


def loss(history: Mapping[str, Sequence[float]], best_epoch: int, title: str = "") -> bytes:
    """A PNG of 900 x 560 pixels: training and validation loss per epoch, the best epoch marked.

    `history` has one value per epoch under `loss` and, if there is any, `val_loss`; other keys are left out.
    `best_epoch` counts from 1. `title` is a line below the heading, for the model and its corpus.
    """
    with _style():
        return _png(_loss_figure(history, best_epoch, title))


def evaluation(
    roc: tuple[ArrayLike, ArrayLike],
    auc: float,
    calibration: tuple[ArrayLike, ArrayLike, ArrayLike],
    confusion: ArrayLike,
    threshold: float,
    title: str = "",
) -> bytes:
    """A PNG of 1200 x 520 pixels with three panels: ROC curve, calibration, confusion matrix.

    `roc` is the false and the true positive rates, `auc` the area below; NaN where there is one class only.
    `calibration` has three values for each of n equal bins from 0 to 1: mean probability, share of positive
    reviews (either may be NaN where the bin is empty), number of reviews.
    `confusion` is 2 x 2 counts: rows are the labels (negative, positive), columns what was predicted.
    """
    with _style():
        return _png(_evaluation_figure(roc, auc, calibration, confusion, threshold, title))


def probabilities(counts: ArrayLike, edges: ArrayLike, threshold: float, title: str = "") -> bytes:
    """A PNG of 900 x 560 pixels: how many reviews got which probability, with the threshold.

    `counts` holds n whole numbers, `edges` the n + 1 borders of their bins. No reviews at all is fine too.
    """
    with _style():
        return _png(_probabilities_figure(counts, edges, threshold, title))


def _loss_figure(history: Mapping[str, Sequence[float]], best_epoch: int, title: str = "") -> Figure:
    figure = _headed("Loss per epoch", title, SIZE)
    axes = figure.subplots()
    epochs = np.arange(1, len(history["loss"]) + 1)
    marked = len(epochs) <= MOST_MARKERS
    lines = (("loss", "training", BLUE, "o", "-"), ("val_loss", "validation", VERMILION, "s", "--"))
    for key, label, colour, marker, dashes in lines:
        if key in history:
            values = _finite(history[key])
            axes.plot(epochs, values, dashes, color=colour, marker=marker if marked else "", label=label)
    _mark_best(axes, _finite(history.get("val_loss", history["loss"])), best_epoch)
    _limit_loss(axes, np.concatenate([_finite(history[key]) for key, *_ in lines if key in history]))
    beside = max(0.3, 0.02 * len(epochs))
    axes.set_xlim(1 - beside, len(epochs) + beside)
    axes.set_xticks(_epoch_ticks(len(epochs)))
    axes.set_xlabel("Epoch")
    axes.set_ylabel("Loss (binary cross-entropy)")
    axes.grid(axis="y")
    _legend_above(axes, axes.get_legend_handles_labels()[0])
    return figure


def _epoch_ticks(epochs: int) -> list[int]:
    """1 and a dozen round numbers at most: matplotlib's own choice would start at an epoch 0."""
    steps = (step * 10**power for power in range(9) for step in (1, 2, 5))
    step = next(step for step in steps if epochs <= 12 * step)
    return list(range(1, epochs + 1, step)) if step < 5 else [1, *range(step, epochs + 1, step)]


def _limit_loss(axes: Axes, values: NDArray[np.float64]) -> None:
    drawn = values[np.isfinite(values)]
    if not drawn.size:
        axes.set_yticks([])
        _note(axes, "no finite loss")
    elif np.ptp(drawn) < FLAT:
        axes.set_ylim(max(0.0, drawn.min() - FLAT), drawn.max() + FLAT)


def _mark_best(axes: Axes, values: NDArray[np.float64], best_epoch: int) -> None:
    if not 1 <= best_epoch <= len(values):
        raise ValueError(f"best_epoch is {best_epoch}, but there are {len(values)} epochs, counted from 1")
    best = float(values[best_epoch - 1])
    label = f"best epoch: {best_epoch}" + (f" (loss {best:.3f})" if np.isfinite(best) else "")
    axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=":", zorder=1)
    (ring,) = axes.plot([best_epoch], [best], "o", color=INK, markersize=13, label=label, zorder=5)
    ring.set(markerfacecolor="none", markeredgewidth=1.6)


def _evaluation_figure(
    roc: tuple[ArrayLike, ArrayLike],
    auc: float,
    calibration: tuple[ArrayLike, ArrayLike, ArrayLike],
    confusion: ArrayLike,
    threshold: float,
    title: str = "",
) -> Figure:
    cells = np.asarray(confusion, dtype=np.int64)
    figure = _headed(f"Evaluation on {_reviews(cells.sum())}", title, WIDE)
    # Set by hand: squares with legends below are more than a layout engine fits in without clipping.
    figure.set_layout_engine("none")
    width, height = WIDE
    bottom, side = PANEL_BOTTOM / height, (PANEL_SIDE / width, PANEL_SIDE / height)
    left, middle, right = (figure.add_axes((start / width, bottom, *side)) for start in PANEL_LEFTS)
    _roc_panel(left, _finite(roc[0]), _finite(roc[1]), auc)
    _mark_threshold(left, cells, threshold)
    _calibration_panel(middle, *(_finite(values) for values in calibration))
    for axes in (left, middle):
        _unit_square(axes)
        axes.legend(loc="upper left", bbox_to_anchor=(-0.03, -0.15), ncols=2)
    _confusion_panel(right, cells, threshold)
    return figure


def _roc_panel(axes: Axes, false_rate: NDArray[np.float64], true_rate: NDArray[np.float64], auc: float) -> None:
    if np.isfinite(auc) and np.isfinite(false_rate).all() and np.isfinite(true_rate).all():
        axes.plot(false_rate, true_rate, color=BLUE, label="model", clip_on=False, zorder=3)
        axes.set_title(f"ROC curve: AUC {auc:.3f}")
    else:
        axes.set_title("ROC curve")
        _note(axes, "needs labels\nof both classes")
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="chance")
    axes.set_xlabel("False positive rate")
    axes.set_ylabel("True positive rate")


def _mark_threshold(axes: Axes, cells: NDArray[np.int64], threshold: float) -> None:
    negatives, positives = cells.sum(axis=1)
    if negatives and positives:
        at = cells[:, 1] / (negatives, positives)
        axes.plot([at[0]], [at[1]], "s", color=VERMILION, label=f"threshold {threshold:g}", clip_on=False, zorder=5)


def _calibration_panel(
    axes: Axes, mean: NDArray[np.float64], positive: NDArray[np.float64], counts: NDArray[np.float64]
) -> None:
    filled = (counts > 0) & np.isfinite(mean) & np.isfinite(positive)
    tallest = counts.max(initial=0)
    if tallest:
        lefts = np.arange(len(counts)) / len(counts)
        # A quarter of the panel: enough to see where the reviews are, low enough to stay in the background.
        label = f"reviews (most: {tallest:,.0f})"
        heights = 0.25 * counts / tallest
        axes.bar(lefts, heights, 1 / len(counts), align="edge", color=FAINT, edgecolor="white", label=label)
    else:
        _note(axes, "no reviews")
    axes.plot(mean[filled], positive[filled], "-o", color=BLUE, label="model", clip_on=False, zorder=4)
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="perfect")
    axes.set_title("Calibration")
    axes.set_xlabel("Mean predicted probability")
    axes.set_ylabel("Share of positive reviews")


def _confusion_panel(axes: Axes, cells: NDArray[np.int64], threshold: float) -> None:
    totals = cells.sum(axis=1, keepdims=True)
    shares = cells / np.maximum(totals, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    for (row, column), count in np.ndenumerate(cells):
        share = f"{shares[row, column]:.1%}" if totals[row, 0] else "–"
        colour = "white" if shares[row, column] > 0.55 else INK
        axes.text(column, row, f"{count:,}\n{share}", ha="center", va="center", color=colour, fontsize=13)
    axes.axhline(0.5, color="white", linewidth=2)
    axes.axvline(0.5, color="white", linewidth=2)
    names = ["negative", "positive"]
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"Predicted (positive from {threshold:g})")
    axes.set_ylabel("Label")
    accuracy = f": accuracy {np.trace(cells) / cells.sum():.2%}" if cells.sum() else ""
    axes.set_title(f"Confusion matrix{accuracy}")


def _probabilities_figure(counts: ArrayLike, edges: ArrayLike, threshold: float, title: str = "") -> Figure:
    heights, borders = np.asarray(counts, dtype=np.int64), np.asarray(edges, dtype=np.float64)
    figure = _headed("Scores of the reviews", title, SIZE)
    axes = figure.subplots()
    bars = axes.bar(borders[:-1], heights, np.diff(borders), align="edge", color=BLUE, edgecolor="white")
    bars.set_label(_reviews(heights.sum()))
    line = axes.axvline(threshold, color=VERMILION, linestyle="--", clip_on=False, label=f"threshold {threshold:g}")
    axes.set_xlim(borders[0], borders[-1])
    axes.set_ylim(0, max(1.0, 1.05 * heights.max(initial=0)))
    axes.xaxis.set_major_locator(MultipleLocator(0.1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("Probability that the review is positive")
    axes.set_ylabel("Reviews")
    axes.grid(axis="y")
    if not heights.sum():
        _note(axes, "no reviews")
    _legend_above(axes, [bars, line])
    return figure


_drawing = threading.Lock()  # matplotlib has one set of settings for all threads


@contextmanager
def _style() -> Iterator[None]:
    """matplotlib's defaults and the style above, for as long as the block lasts."""
    with _drawing, matplotlib.rc_context():
        matplotlib.rcdefaults()  # else a user's own matplotlibrc would show
        matplotlib.rcParams.update(_STYLE)
        yield


def _headed(heading: str, title: str, size: tuple[float, float]) -> Figure:
    """An empty figure with its heading, and room for the plots below."""
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    width, height = size
    taken = (0.75 if title else 0.5) / height
    figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.99 - taken), wspace=0.06)
    figure.text(0.14 / width, 1 - 0.14 / height, heading, va="top", fontsize=15, fontweight="bold")
    if title:
        line = textwrap.shorten(title, MOST_LETTERS[size], placeholder=" …")
        figure.text(0.14 / width, 1 - 0.47 / height, line, va="top", fontsize=10.5, color=GREY)
    return figure


def _legend_above(axes: Axes, handles: Sequence[Artist | Container]) -> None:
    # Above the axes it can cover no data, wherever the data are.
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, borderaxespad=0.2)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.grid()


def _note(axes: Axes, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none"}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, bbox=box)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    """The values as floats, with gaps (NaN) for those that no axis can show."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _reviews(count: int | np.integer) -> str:
    return f"{count:,} review" + ("" if count == 1 else "s")


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    # The plain strategy packs lines and text better than Pillow's own choice, which is made for photographs.
    packing = {"compress_level": 9, "compress_type": zlib.Z_DEFAULT_STRATEGY}
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs=packing)
    return out.getvalue()
