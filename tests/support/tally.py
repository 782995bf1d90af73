"""How much the tests have tried, told at the end of a run: kills, disk faults, damaged dumps, spoilt files."""

from __future__ import annotations

from collections import Counter

tried: Counter[str] = Counter()
