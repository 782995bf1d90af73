"""What was scored on each of the last days, as the reports of the runs say. No table is opened, no lock needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass
class Day:
    """One day: the dumps that were scored, each content once, those that failed, and what the day's reviews are like.

    `words` and `drift` are empty where the reports are of an earlier version. `drift` maps each kind to its value and
    its limit.
    """

    day: date
    dumps: int = 0
    failed: int = 0
    rows: int = 0
    scored: int = 0
    positive: int = 0
    quarantined: int = 0
    words: int = 0
    words_known: int = 0
    model_id: str = ""  # the one that scored most rows
    drift: dict[str, tuple[float, float]] = field(default_factory=dict)
    dumps_drifted: int = 0

    @property
    def drifted(self) -> list[str]:
        """The kinds of drift that all reviews of the day show."""
        return [kind for kind, (value, limit) in self.drift.items() if value > limit]


@dataclass
class History:
    """The last days, the oldest first, those without a scored dump included; and how many reports are damaged."""

    days: list[Day]
    unreadable: int = 0

    @property
    def changes(self) -> dict[date, str]:
        """The days from which another model scored than before, with its id."""
        used = [(day.day, day.model_id) for day in self.days if day.model_id]
        return {day: new for (_, old), (day, new) in pairwise(used) if new != old}


def read(reports: Path, last: date, days: int) -> History:
    """The history of so many days up to `last`; all are empty if there is no report."""
    dates = [last - timedelta(days=back) for back in reversed(range(days))]
    found: dict[str, list[dict[str, Any]]] = {}
    unreadable = 0
    for path in sorted(reports.glob("[0-9]*.json")):
        if f"{dates[0]:%Y%m%d}" <= path.name[:8] <= f"{last:%Y%m%d}":
            try:
                content = json.loads(path.read_bytes())
                _summarize(last, [content])  # a damaged one must not spoil its day
                found.setdefault(path.name[:8], []).append(content)
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                unreadable += 1
    return History([_summarize(day, found.get(f"{day:%Y%m%d}", [])) for day in dates], unreadable)


def _summarize(day: date, contents: list[dict[str, Any]]) -> Day:
    """The day from its reports, the oldest first. What was scored twice counts as it was scored last."""
    scored: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, None] = {}
    compared: dict[str, Mapping[str, Mapping[str, float]]] = {}
    for content in contents:
        for entry in content["files"]:
            if entry["status"] == "scored":
                scored[entry["sha256"]] = entry
                failed.pop(entry["file"], None)
            elif entry["status"] == "failed":
                failed[entry["file"]] = None
        compared |= content.get("drift", {}).get("found", {})
    rows: Counter[str] = Counter()
    for entry in scored.values():
        rows[entry["model_id"]] += entry["rows"]
    model_id = max(rows, key=lambda name: (rows[name], name), default="")
    return Day(
        day=day,
        dumps=len(scored),
        failed=len(failed),
        **{name: sum(entry[name] for entry in scored.values()) for name in ("rows", "scored", "positive")},
        quarantined=sum(sum(entry["quarantined"].values()) for entry in scored.values()),
        **{name: sum(entry.get(name, 0) for entry in scored.values()) for name in ("words", "words_known")},
        model_id=model_id,
        drift=_numbers(compared.get(model_id, {})),
        dumps_drifted=sum(
            any(value > limit for value, limit in _numbers(entry.get("drift", {})).values())
            for entry in scored.values()
        ),
    )


def _numbers(found: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    return {kind: (float(finding["value"]), float(finding["limit"])) for kind, finding in found.items()}
