"""The clock: a day that a simulation sets, in this process alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from tasks.lib import clock
from tasks.running import environment


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_ahead", timedelta(0))


def test_a_clock_that_is_not_that_of_the_machine() -> None:
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_day_that_is_set_and_stands_still() -> None:
    moment = datetime(2027, 12, 31, 23, 59, tzinfo=UTC)
    clock.start(moment)
    first, second = clock.now(), clock.now()
    assert moment <= first < second < moment + timedelta(seconds=50)
    assert clock.today() == date(2027, 12, 31)


def test_a_day_in_the_environment_that_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.NOW, "2027-02-28T23:30:00-02:00")
    environment.prepare(command_line=False)
    assert clock.today() == date(2027, 3, 1)


@pytest.mark.parametrize("moment", ["tomorrow", "2027-02-30T00:00:00Z", "2027-02-28T00:00:00"])
def test_a_time_that_is_none_and_is_taken_for_one(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    monkeypatch.setenv(environment.NOW, moment)
    with pytest.raises(SystemExit, match=f"error: SENTIMENT_NOW: expected a time .* found '{moment}'"):
        environment.prepare(command_line=False)
