"""The months as a table in Markdown, and as one picture with the events marked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from tests.tools.year.play import Plan

Month = dict[str, Any]
MB = 1e6
HEAD = (
    "month", "rows", "scoring s", "idle s", "training s", "memory MB", "data MB", "dumps MB", "tables MB", "accuracy",
    "own estimate", "alarm days", "faults", "findings",
)  # fmt: skip


def table(closed: Sequence[Month]) -> list[str]:
    """The figures of all months: the lines of a table in Markdown."""
    return [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", *map(row, closed)]


def row(month: Month) -> str:
    """The figures of a month, as a row of the table."""
    cells = [
        month["month"], f"{month['rows']:,}", f"{month['score_seconds']:.1f}", f"{month['idle_seconds']:.1f}",
        f"{month['train_seconds']:.0f}", f"{month['score_memory']:.0f}",
        *(f"{month[name] / MB:,.0f}" for name in ("bytes_data", "bytes_dumps", "bytes_tables")),
        f"{month['accuracy']:.1%}", _estimate(month), f"{month['alarm_days']}", f"{month['faults']}",
        f"{len(month['findings'])}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _estimate(month: Month) -> str:
    if not month["estimated"]:
        return "none"
    lower, upper = month["estimated"]
    return f"{lower:.1%} to {upper:.1%}, true {month['truth_of_estimated']:.1%}"


def picture(closed: Sequence[Month], entries: Sequence[dict[str, Any]], plan: Plan, path: Path) -> None:
    """Seconds, memory, bytes and accuracy by month, with the alarms, faults and changes of the reviews marked."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import dates
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4, 1, figsize=(10, 10), sharex=True, layout="constrained")
    days = [date.fromisoformat(entry["day"]) for entry in entries]
    ends = [max(day for day in days if f"{day:%Y-%m}" == month["month"]) for month in closed]

    def line(axis: Any, name: str, label: str, unit: float = 1) -> None:
        axis.plot(ends, [month[name] / unit for month in closed], marker="o", label=label)

    for name, label in (("score", "a scoring run"), ("idle", "a run that finds nothing"), ("train", "a training")):
        line(axes[0], f"{name}_seconds", label)
    line(axes[1], "score_memory", "a scoring run")
    for name, label in (("data", "data/"), ("dumps", "dumps"), ("tables", "tables")):
        line(axes[2], f"bytes_{name}", label, MB)
    _accuracies(axes[3], closed, ends)
    for axis, label in zip(axes, ("seconds", "memory in MB", "MB on disk", "accuracy in %"), strict=True):
        axis.set_ylabel(label)
        low, high = axis.get_ylim()
        low = low if axis is axes[3] else 0
        axis.set_ylim(low, high + 0.12 * (high - low))  # room for the marks
        axis.set_xlim(days[0], days[-1])
        axis.grid(alpha=0.3)
        _mark(axis, entries, plan, labelled=axis is axes[0])
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    locator = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _accuracies(axis: Any, closed: Sequence[Month], ends: Sequence[date]) -> None:
    """The accuracy on the rows of each day, and of each month the interval that the model's labels give."""
    by_day = [(date.fromisoformat(day), counts) for month in closed for day, counts in month["by_day"].items()]
    axis.plot(
        [day for day, _ in by_day],
        [100 * right / rows for _, (right, rows) in by_day],
        label="by the truth",
        linewidth=1,
    )
    known = [(end, month["estimated"]) for end, month in zip(ends, closed, strict=True) if month["estimated"]]
    for number, (end, (lower, upper)) in enumerate(known):
        label = "own estimate, 95 %" if not number else None
        axis.plot([end, end], [100 * lower, 100 * upper], color="0.5", linewidth=4, alpha=0.6, label=label)


def _mark(axis: Any, entries: Sequence[dict[str, Any]], plan: Plan, *, labelled: bool) -> None:
    """What happened when; with its label in the legend, or without."""
    days = [date.fromisoformat(entry["day"]) for entry in entries]
    changes = {
        "a new subject": (plan.times.new_subject, "tab:red"),
        "German": (plan.times.other_language, "tab:purple"),
    }
    for label, (day, color) in changes.items():
        if day in days:
            axis.axvline(day, color=color, linestyle="--", linewidth=1, label=label if labelled else None)
    alarmed = [day for day, entry in zip(days, entries, strict=True) if entry["alarms"]]
    faulty = [day for day, entry in zip(days, entries, strict=True) if entry["faults"]]
    for marked, color, label in ((alarmed, "tab:orange", "alarm of drift"), (faulty, "0.3", "fault")):
        height = 0.98 if marked is alarmed else 0.94
        axis.plot(
            marked,
            [height] * len(marked),
            "|",
            color=color,
            markersize=7,
            transform=axis.get_xaxis_transform(),
            label=label if labelled else None,
        )
