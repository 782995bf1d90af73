"""The figures that a year is judged by, and the calendar that it is played by."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from datetime import date, timedelta
from typing import Any

import pytest

from tests.tools.year import faults, verdict
from tests.tools.year.play import Plan

PLAN = Plan(date(2027, 1, 1), 365, 96, 1, seed=3)
CHANGE = PLAN.times.new_subject


def year(low: int = 0, alarms: Collection[date] = ()) -> dict[str, str]:
    """The verdict on a year with a lower accuracy in the first `low` weeks after the change, and these alarms."""
    by_day = {}
    for day in PLAN.calendar:
        lower = CHANGE <= day < CHANGE + timedelta(weeks=low)
        by_day[day.isoformat()] = [87 if lower else 91, 100]
    figures: dict[str, Any] = {
        "idle_seconds": 2.0,
        "score_memory": 250.0,
        "holds": True,
        "minutes": 5.0,
        "findings": [],
    }
    closed = [figures | {"by_day": by_day}, figures | {"by_day": {}, "idle_seconds": 2.5, "holds": False}]
    entries = [{"day": day.isoformat(), "alarms": ["length"] if day in alarms else []} for day in PLAN.calendar]
    rows = verdict.lines(closed, entries, PLAN)[2:]
    return {what: found for what, _, found in (row.strip("| ").split(" | ") for row in rows if row.count("|") == 4)}


def found(rows: dict[str, str], start: str) -> str:
    (value,) = [value for what, value in rows.items() if what.startswith(start)]
    return value


@pytest.mark.parametrize(("low", "expected"), [(0, "0"), (4, "4"), (30, "more than")])
def test_weeks_of_low_accuracy_that_are_not_counted(low: int, expected: str) -> None:
    assert found(year(low), "weeks from it").startswith(expected)


def test_an_alarm_that_is_taken_for_another_kind() -> None:
    before, after, much_later = CHANGE - timedelta(60), CHANGE + timedelta(1), date(2027, 11, 3)
    rows = year(alarms={before, after, much_later})
    assert found(rows, "days from the change") == "2"
    assert found(rows, "days with a false alarm") == "1"
    assert found(rows, "days with an alarm in the later months") == "1"
    assert found(year(), "days from the change") == "never"


def test_a_ratio_of_other_months_than_the_first_and_the_last() -> None:
    rows = year()
    assert found(rows, "run that finds nothing") == "1.25"
    assert found(rows, "memory") == "1.00"
    assert found(rows, "months with the true accuracy") == "1 of 2"


def test_a_month_without_one_of_the_faults() -> None:
    planned = faults.calendar(PLAN.calendar, 2, random.Random(1))
    for month in faults.months(PLAN.calendar):
        counts = Counter(kind for day in month for kind in planned.get(day, []))
        assert counts == dict.fromkeys((*faults.MONDAYS, *faults.ANY_DAY), 2) | dict.fromkeys(faults.LEDGERS, 1)


def test_a_subject_that_takes_over_at_once_or_not_at_all() -> None:
    shares = {
        ahead: {subject.name: share for subject, share in PLAN.times.shares(CHANGE + timedelta(ahead))}
        for ahead in (-1, 0, 13, 200)
    }
    assert [round(each["phones"], 3) for each in shares.values()] == [0, 0.057, 0.8, 0.72]
    assert [round(each["German"], 3) for each in shares.values()] == [0, 0, 0, 0.1]
    assert all(abs(sum(each.values()) - 1) < 1e-9 for each in shares.values())
