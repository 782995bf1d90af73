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
    """Seconds, memory, bytes and accuracy by month, with the alarms and the changes of the reviews marked."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4, 1, figsize=(9, 11), sharex=True, layout="constrained")
    days = [date.fromisoformat(entry["day"]) for entry in entries]
    ends = [max(day for day in days if f"{day:%Y-%m}" == month["month"]) for month in closed]

    def line(axis: Any, name: str, label: str, unit: float = 1) -> None:
        axis.plot(ends, [month[name] / unit for month in closed], marker="o", label=label)

    line(axes[0], "score_seconds", "a scoring run")
    line(axes[0], "idle_seconds", "a run that finds nothing")
    line(axes[0], "train_seconds", "a training")
    axes[0].set_ylabel("seconds")
    line(axes[1], "score_memory", "memory of a scoring run")
    axes[1].set_ylabel("MB")
    for name, label in (("bytes_data", "data/"), ("bytes_dumps", "dumps"), ("bytes_tables", "tables")):
        line(axes[2], name, label, MB)
    axes[2].set_ylabel("MB")
    line(axes[3], "accuracy", "accuracy by the truth", 0.01)
    known = [(end, month) for end, month in zip(ends, closed, strict=True) if month["estimated"]]
    for end, month in known:
        axes[3].plot([end, end], [100 * bound for bound in month["estimated"]], color="0.5", linewidth=4, alpha=0.5)
    axes[3].set_ylabel("%, with the model's own interval")
    for axis in axes:
        axis.set_ylim(bottom=None if axis is axes[3] else 0)
        axis.grid(alpha=0.3)
        axis.legend(loc="upper left", fontsize="small")
        _mark(axis, entries, plan)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _mark(axis: Any, entries: Sequence[dict[str, Any]], plan: Plan) -> None:
    days = {date.fromisoformat(entry["day"]) for entry in entries}
    for day, color in ((plan.times.new_subject, "tab:red"), (plan.times.other_language, "tab:purple")):
        if day in days:
            axis.axvline(day, color=color, linestyle="--", linewidth=1)
    for entry in entries:
        if entry["alarms"]:
            axis.axvline(date.fromisoformat(entry["day"]), color="tab:orange", alpha=0.15, linewidth=2)
