"""What time it is: the one place that asks, so that a simulation of many days can set the day."""

from __future__ import annotations

from datetime import UTC, date, datetime


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def today() -> date:
    """The day, in UTC."""
    return now().date()
