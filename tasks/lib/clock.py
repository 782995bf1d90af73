"""What time it is: the one place that asks, so that a simulation of many days can set the day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

_ahead = timedelta(0)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC) + _ahead


def today() -> date:
    """The day, in UTC."""
    return now().date()


def start(moment: datetime) -> None:
    """Sets the time for this process: it is `moment`, which has an offset, and goes on from there."""
    global _ahead
    _ahead = moment - datetime.now(UTC)
