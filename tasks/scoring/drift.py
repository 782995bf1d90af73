"""Beside stage 4 of scoring: how far the dumps of a run, and all of its day, are from what the model was trained on."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import date
from functools import reduce
from operator import add
from typing import Any

from tasks.lib.models import bundles
from tasks.lib.profiles import Profile
from tasks.lib.scores import drift
from tasks.lib.scores.drift import Day, Findings
from tasks.lib.scores.reports import FileReport
from tasks.running import environment, events
from tasks.scoring.run import ScoringRun

log = logging.getLogger(environment.LOGGER)

UNKNOWN = "unknown: the model has no reference"
THE_DAY = "the day"


class Drift:
    """What a run found: for each table, for the day by each model, and the kinds that are news today.

    `unknown` are the models without a reference. No dataclass, as `ScoringRun`.
    """

    def __init__(self, run: ScoringRun, today: date) -> None:
        scored = [report for report in run.reports if report.status == "scored"]
        models = sorted({report.model_id for report in scored})
        references = {model_id: bundles.read_reference(run.data.models, model_id) for model_id in models}
        self.unknown = [model_id for model_id, reference in references.items() if reference is None]
        before = _day(run, today)
        self.state = before.after(
            {
                model_id: reduce(add, (report.profile for report in _first_scored(run, scored, model_id)), Profile())
                for model_id in models
            },
            sum(drift.is_comparable(report.profile) for report in scored if not run.was_scored(report.sha256)),
        )
        among = max(self.state.dumps, 1)  # none if all of them were scored anew
        self.tables = {report.table: _compare(references[report.model_id], report.profile, among) for report in scored}
        self.day = {model_id: _compare(references[model_id], self.state.models[model_id]) for model_id in models}
        self.places = _places(scored, self.tables, self.day)
        self.news = [place for place in _first_of_each_kind(self.places) if place["kind"] not in before.reported]
        reported = [*before.reported, *(place["kind"] for place in self.news)]
        self.state = self.state.model_copy(update={"reported": reported})

    def of_file(self, report: FileReport) -> str:
        """The kinds of drift of a dump, for a table; "unknown" without a reference, "" if there is none."""
        if report.status == "scored" and report.model_id in self.unknown:
            return "unknown"
        return ", ".join(drift.drifted(self.tables.get(report.table, {})))

    def of_table(self, table: str) -> dict[str, dict[str, float]]:
        """What the report has of one dump."""
        return _as_json(self.tables.get(table, {}))

    def content(self) -> dict[str, Any]:
        """What the report has of it beside its files."""
        return {
            "status": self.summary(),
            "found": {model_id: _as_json(findings) for model_id, findings in self.day.items()},
            "day": self.state.model_dump(mode="json"),
        }

    def summary(self) -> str:
        """One line: none, what drifted and where, or that it cannot be known."""
        if self.places:
            dumps = sorted({place["place"] for place in self.places} - {THE_DAY})
            shown = ", ".join(dumps[:3]) + (f" and {len(dumps) - 3:,} more dumps" if len(dumps) > 3 else "")
            day = [THE_DAY] if any(place["place"] == THE_DAY for place in self.places) else []
            kinds = [kind for kind in drift.KINDS if any(place["kind"] == kind for place in self.places)]
            return f"{', '.join(kinds)} in {' and '.join([shown, *day] if shown else day)}"
        compared = sum(map(bool, [*self.tables.values(), *self.day.values()]))
        if self.unknown and not compared:
            return f"{UNKNOWN} ({', '.join(self.unknown)})"
        if not self.tables:
            return "unknown: nothing was scored"
        return "none" if compared else f"unknown: fewer than {drift.FEWEST_ROWS} reviews"

    def rows(self) -> list[str]:
        """The lines of a Markdown table: how far the day is from the reference of each model."""
        lines = [
            f"| {model_id} | {kind} | {_number(kind, finding.value)} | {_number(kind, finding.limit)} | "
            f"{'**drift**' if finding.is_drift else ''} |"
            for model_id, findings in self.day.items()
            for kind, finding in findings.items()
        ]
        head = ["| model | the day's reviews | PSI, or share | limit | |", "| --- | --- | ---: | ---: | --- |"]
        return [*head, *lines] if lines else []

    def tell(self) -> None:
        """One line in the log, and an event for each kind that is news today."""
        if self.places:
            log.warning("Drift: %s. These reviews are not like those that the model was trained on.", self.summary())
        elif self.tables:
            log.info("Drift: %s", self.summary())
        events.announce_drift(self.news, self.state.date)


def _as_json(findings: Findings) -> dict[str, dict[str, float]]:
    """The findings as the report has them, rounded."""
    return {
        kind: {"value": round(finding.value, 4), "limit": round(finding.limit, 4)} for kind, finding in findings.items()
    }


def _compare(reference: Profile | None, found: Profile, among: int = 1) -> Findings:
    return {} if reference is None else drift.compare(reference, found, among)


def _first_scored(run: ScoringRun, scored: Sequence[FileReport], model_id: str) -> list[FileReport]:
    """The dumps that this model scored now and not before: scored anew, the same reviews would count twice."""
    return [report for report in scored if report.model_id == model_id and not run.was_scored(report.sha256)]


def _day(run: ScoringRun, today: date) -> Day:
    """The day so far, as its last report has it that can be read; a new one if there is none."""
    for path in sorted(run.data.reports.glob(f"{today:%Y%m%d}T*.json"), reverse=True):
        try:
            return Day.model_validate(json.loads(path.read_bytes())["drift"]["day"])
        except (OSError, ValueError, LookupError, TypeError):
            continue  # it is damaged, or of an earlier version
    return Day(date=today.isoformat())


def _places(
    scored: Sequence[FileReport], tables: dict[str, Findings], day: dict[str, Findings]
) -> list[dict[str, Any]]:
    """Every drift: where, of which kind, how far. The day first, since it has the most reviews."""
    found = [(THE_DAY, model_id, findings) for model_id, findings in day.items()]
    found += [(report.file, report.model_id, tables[report.table]) for report in scored]
    return [
        {"kind": kind, "place": place, "model_id": model_id, "value": finding.value, "limit": finding.limit}
        for place, model_id, findings in found
        for kind, finding in findings.items()
        if finding.is_drift
    ]


def _first_of_each_kind(places: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    first: dict[str, dict[str, Any]] = {}
    for place in places:
        first.setdefault(place["kind"], place)
    return list(first.values())


def _number(kind: str, number: float) -> str:
    return f"{number:.1%}" if kind == drift.UNKNOWN_WORDS else f"{number:.3f}"
