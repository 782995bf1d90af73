"""The names of reports, in whose order they are read, while the clock of the machine is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.lib.scores import reports

NOW = datetime(2027, 3, 1, 8, 10, tzinfo=UTC)


def after(folder: Path, *ages: timedelta) -> datetime:
    """The time of the next report after those that were made so long ago."""
    for age in ages:
        (folder / f"{NOW - age:{reports.NAME}}.json").touch()
    return reports.time_of_next(folder, NOW)


def test_a_report_that_has_another_time_than_now(tmp_path: Path) -> None:
    assert after(tmp_path / "none") == NOW
    assert after(tmp_path, timedelta(microseconds=1), timedelta(days=400)) == NOW


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=1), timedelta(hours=23)])
def test_a_report_that_comes_before_the_last_one_as_the_clock_went_back(tmp_path: Path, ahead: timedelta) -> None:
    assert after(tmp_path, -ahead, timedelta(hours=2)) == NOW + ahead + timedelta(microseconds=1)


def test_a_report_from_a_far_time_that_sets_the_clock_for_ever(tmp_path: Path) -> None:
    assert after(tmp_path, timedelta(days=-400)) == NOW


def test_a_file_of_somebody_else_that_is_taken_for_a_report(tmp_path: Path) -> None:
    (tmp_path / "20270301T09-mine.json").touch()
    assert after(tmp_path) == NOW
