"""What must hold of a year, beside what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from tests.tools.year.play import Plan

Month = dict[str, Any]
WITHIN = 0.02  # of the accuracy before
WEEKS_BEFORE = 4


def lines(closed: Sequence[Month], entries: Sequence[dict[str, Any]], plan: Plan) -> list[str]:
    """The rows of a table in Markdown: what must hold, the floor, and what was found."""
    first, last = closed[0], closed[-1]
    findings = sum(len(month["findings"]) for month in closed)
    estimated = [month["holds"] for month in closed if month["holds"] is not None]
    rows = [
        ("findings of the checker: rows or labels lost, doubled, altered", "0", f"{findings}"),
        ("run that finds nothing, last month / first month", "1.3", _ratio(first, last, "idle_seconds")),
        ("memory of a scoring run, last month / first month", "1.1", _ratio(first, last, "score_memory")),
        *_of_change(closed, entries, plan),
        (
            "months with the true accuracy in the model's own interval",
            "10 of 12",
            f"{sum(estimated)} of {len(estimated)}",
        ),
        ("minutes", "90", f"{sum(month['minutes'] for month in closed):.0f}"),
    ]
    return ["| what | floor | found |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


def _ratio(first: Month, last: Month, name: str) -> str:
    return f"{last[name] / first[name]:.2f}" if first[name] else "not measured"


def _of_change(closed: Sequence[Month], entries: Sequence[dict[str, Any]], plan: Plan) -> list[tuple[str, str, str]]:
    """When the change of subject was noticed and made good, and how often there was an alarm without a change."""
    changed = plan.times.new_subject
    alarmed = [date.fromisoformat(entry["day"]) for entry in entries if entry["alarms"]]
    quiet = [day for day in alarmed if day.month not in (changed.month, plan.times.other_language.month)]
    before = sum(day < changed for day in quiet)
    rows = [("days with a false alarm, in the months before any change", "2", f"{before}")]
    if changed <= plan.calendar[-1]:
        after = [day for day in alarmed if day >= changed]
        rows += [
            (
                "days from the change of subject to the alarm, that day included",
                "3",
                f"{(after[0] - changed).days + 1}" if after else "never",
            ),
            ("weeks from it until the accuracy is within 2 points of before", "6", _weeks(closed, plan)),
            ("days with an alarm in the later months without a change", "", f"{len(quiet) - before}"),
        ]
    return rows


def _weeks(closed: Sequence[Month], plan: Plan) -> str:
    """The last week in which the accuracy was lower, looking as far as reviews of another language come."""
    changed = plan.times.new_subject
    by_day = {day: counts for month in closed for day, counts in month["by_day"].items()}
    usual = _accuracy(by_day, changed - timedelta(weeks=WEEKS_BEFORE), changed)
    last = min(plan.times.other_language, plan.calendar[-1] + timedelta(1))
    weeks = [
        _accuracy(by_day, changed + timedelta(weeks=week), changed + timedelta(weeks=week + 1))
        for week in range((last - changed).days // 7)
    ]
    lower = [number for number, accuracy in enumerate(weeks, start=1) if accuracy < usual - WITHIN]
    if not lower:
        return "0"
    return f"{lower[-1]}" if lower[-1] < len(weeks) else f"more than {len(weeks)}"


def _accuracy(by_day: dict[str, list[int]], start: date, end: date) -> float:
    """On the rows of the days from `start` to the day before `end`."""
    counts = [counts for day, counts in by_day.items() if f"{start}" <= day < f"{end}"]
    return sum(right for right, _ in counts) / max(1, sum(rows for _, rows in counts))
