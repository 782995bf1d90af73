"""What goes wrong in the year, and on which days."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta

KILLED_SCORING = "scoring killed"
KILLED_TRAINING = "training killed"
KILLED_RELEASE = "release killed"
BIT_IN_TABLE = "bit in a table"
BIT_IN_MODEL = "bit in the model"
BIT_IN_SHARD = "bit in a shard"
NO_LEDGER = "ledger deleted"
OLD_LEDGER = "ledger of last week"
FULL_DISK = "full disk"
CLOCK_BACK = "clock an hour back"
TWO_AT_ONCE = "two runs at once"

MONDAYS = (KILLED_TRAINING, BIT_IN_SHARD)  # with the training
ANY_DAY = (KILLED_SCORING, KILLED_RELEASE, BIT_IN_TABLE, BIT_IN_MODEL, FULL_DISK, CLOCK_BACK, TWO_AT_ONCE)
LEDGERS = (NO_LEDGER, OLD_LEDGER)  # in turn
EARLIEST = 9  # days after the first: there is a second model then, and a ledger of a week before


def months(days: Sequence[date]) -> list[list[date]]:
    """The days by calendar month."""
    found: dict[tuple[int, int], list[date]] = {}
    for day in days:
        found.setdefault((day.year, day.month), []).append(day)
    return list(found.values())


def calendar(days: Sequence[date], each: int, chance: random.Random) -> dict[date, list[str]]:
    """What goes wrong on which day: each month every kind `each` times, at random."""
    planned: dict[date, list[str]] = {}
    earliest = days[0] + timedelta(EARLIEST)
    for number, month in enumerate(months(days)):
        possible = [day for day in month if day >= earliest]
        mondays = [day for day in possible if day.weekday() == 0]
        for kind in MONDAYS:
            for day in chance.sample(mondays, min(each, len(mondays))):
                planned.setdefault(day, []).append(kind)
        kinds = [(kind, each) for kind in ANY_DAY] + [(LEDGERS[(number + turn) % 2], 1) for turn in range(each)]
        for kind, count in kinds:
            for day in chance.sample(possible, min(count, len(possible))):
                planned.setdefault(day, []).append(kind)
    return planned
