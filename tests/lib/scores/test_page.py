"""The page of the last days: nothing from elsewhere, nothing unescaped, and words where there is nothing to draw."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from tasks.lib.scores import page
from tasks.lib.scores.history import Day, History

LAST = date(2026, 5, 20)
MADE_AT = datetime(2026, 5, 20, 5, tzinfo=UTC)
BUSY = Day(
    LAST, dumps=4, rows=1_000, scored=990, positive=400, quarantined=10, words=9_000, words_known=8_000,
    model_id="gru-1", drift={"length": (0.05, 0.1), "unknown words": (0.11, 0.2)},
)  # fmt: skip


def busy(back: int, **facts: object) -> Day:
    return Day(**(vars(BUSY) | {"day": LAST - timedelta(days=back)} | facts))


def drawn(*days: Day) -> str:
    history = History(list(days))
    return page.html(history, page.pictures(history, 0.5), MADE_AT).decode()


def test_a_page_that_is_too_large_or_needs_something_from_elsewhere() -> None:
    text = drawn(*(busy(back) if back % 7 else Day(LAST - timedelta(days=back)) for back in reversed(range(90))))
    assert len(text) < 1_000_000
    assert set(re.findall(r'src="(.{22})', text)) == {"data:image/png;base64,"}
    assert not re.search(r"<script|<link|https?:|url\(", text)
    assert text.count("<img ") == 6


def test_a_name_that_becomes_part_of_the_page() -> None:
    text = drawn(busy(1), busy(0, model_id="<script>", drift={"<b>&": (0.5, 0.1)}))
    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;" in text


def test_no_dump_at_all() -> None:
    history = History([Day(LAST - timedelta(days=1)), Day(LAST)])
    assert page.sentences(history) == ["No dump was scored from 2026-05-19 to 2026-05-20."]
    text = page.html(history, [], MADE_AT).decode()
    assert "No dump was scored" in text
    assert "<table>" not in text


def test_what_needs_a_look_and_is_not_said() -> None:
    drift = {"length": (0.3, 0.1), "positives": (0.0, 0.02)}
    day = busy(0, quarantined=100, failed=2, dumps_drifted=3, drift=drift)
    (_, said) = page.sentences(History([day]))
    assert said == (
        "The last day with a dump, 2026-05-20, needs a look: drift in length, drift in 3 of 4 dumps, 2 failed dumps, "
        "many quarantined rows."
    )


def test_a_quiet_day_that_is_not_said_to_be_one() -> None:
    told = page.sentences(History([busy(2, model_id="gru-0"), busy(1), Day(LAST)], unreadable=1))
    assert told == [
        "From 2026-05-18 to 2026-05-20, 2,000 rows in 8 dumps were read on 2 of 3 days; 1.00% of them are in "
        "quarantine.",
        "From 2026-05-19 on, gru-1 scored.",
        "Nothing on the last day with a dump, 2026-05-19, needs a look.",
        "Left out, as they cannot be read: 1 report.",
    ]


def test_a_day_with_less_that_cannot_be_drawn() -> None:
    assert drawn(busy(1, words=0, words_known=0, drift={}), Day(LAST)).count("<img ") == 5
