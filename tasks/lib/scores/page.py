"""The last weeks of scoring on one page for those who run it: pictures, and what each says. Never a review."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, NamedTuple

from tasks.lib import figures
from tasks.lib.scores.history import Day, History

NONE = float("nan")  # a gap in a line
MANY_QUARANTINED = 0.05  # as --max-quarantine has it for a file
MANY_UNKNOWN = 0.2  # as the limit of drift
STYLE = """body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:60rem;margin:2rem auto;padding:0 1rem}
img{width:100%;height:auto}h2{margin:2rem 0 .3rem}table{border-collapse:collapse;font-size:.85rem}
th,td{padding:.15rem .6rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}"""
COLUMNS = ("day", "dumps", "failed", "rows", "positive", "known words", "quarantined", "drift", "model")


Values = list[float]


class Picture(NamedTuple):
    """A PNG with its heading, and sentences on what is good and what to do otherwise."""

    heading: str
    words: str
    png: bytes


def pictures(history: History, expected: float | None) -> list[Picture]:
    """The pictures of a history; `expected` is the share of positives among the validation reviews, if it is known."""

    def draw(heading: str, words: str, ylabel: str, lines: Mapping[str, Values], **style: Any) -> Picture:
        days = [day.day for day in history.days]
        course = figures.Course(heading, ylabel, days, lines, changes=list(history.changes), **style)
        return Picture(heading, words, figures.daily(course))

    def counts(of: Callable[[Day], int]) -> Values:
        return [of(day) or NONE for day in history.days]

    def shares(of: Callable[[Day], int], whole: Callable[[Day], int]) -> Values:
        return [of(day) / whole(day) if whole(day) else NONE for day in history.days]

    found = [
        draw(
            "Rows per day",
            "Good: about as many as usual. A gap is a day on which nothing was scored: see whether dumps came in, and "
            "whether the worker runs.",
            "Rows", {"rows": counts(lambda day: day.rows)}, kind="bars",
        ),
        draw(
            "Dumps per day",
            "Good: as many as were delivered. If there are fewer, look for failed dumps in the table below; the "
            "reports of the runs have their reasons.",
            "Dumps", {"dumps": counts(lambda day: day.dumps)}, kind="bars",
        ),
        draw(
            "Share of positive reviews",
            "Good: a steady line. If it moves and the picture of drift shows nothing else, opinions have changed. If "
            "other kinds of drift come with it, or another model, read some of the reviews before you believe it.",
            "Positive", {"positive": shares(lambda day: day.positive, lambda day: day.scored)}, percent=True,
            guide=None if expected is None else (expected, f"validation reviews: {expected:.0%}"),
        ),
        draw(
            "Share of known words",
            f"Good: 95 % and more. Below {1 - MANY_UNKNOWN:.0%}, the reviews are probably in another language, or in "
            "another encoding, and the model guesses. Keep such dumps out, or score them again with the right "
            "--encoding.",
            "Known", {"known words": shares(lambda day: day.words_known, lambda day: day.words)}, percent=True,
            limit=1 - MANY_UNKNOWN,
        ),
        draw(
            "Share of quarantined rows",
            f"Good: next to nothing. Above {MANY_QUARANTINED:.0%}, somebody delivers damaged files. The quarantine "
            "tables say what is wrong: repair the rows, or have the files delivered again.",
            "Quarantined", {"quarantined": shares(lambda day: day.quarantined, lambda day: day.rows)}, percent=True,
            limit=MANY_QUARANTINED, top=0.1,
        ),
    ]  # fmt: skip
    if drift := _multiples(history):
        found.append(
            draw(
                "Drift",
                "Good: all lines below the limit. Above it, the reviews of the day are not like those that the model "
                "was trained on, and nobody knows how often it is right about them: label a few hundred by hand and "
                "compare. If the change stays, train a model on such reviews.",
                "Multiple of its limit", drift, kind="log", limit=1.0,
            )
        )  # fmt: skip
    return found


def _multiples(history: History) -> dict[str, Values]:
    """The drift of each kind and day, as a multiple of its limit."""
    kinds = dict.fromkeys(kind for day in history.days for kind in day.drift)
    return {kind: [_multiple(*day.drift.get(kind, (NONE, 1.0))) for day in history.days] for kind in kinds}


def _multiple(value: float, limit: float) -> float:
    return value / limit if limit else NONE


def sentences(history: History) -> list[str]:
    """What the history comes to, and what needs attention, in plain text."""
    first, last = history.days[0].day, history.days[-1].day
    active = [day for day in history.days if day.dumps]
    unread = _count(history.unreadable, "report")
    damaged = [f"Left out, as they cannot be read: {unread}."] if history.unreadable else []
    if not active:
        return [f"No dump was scored from {first} to {last}.", *damaged]
    rows, quarantined = sum(day.rows for day in active), sum(day.quarantined for day in active)
    dumps, latest = sum(day.dumps for day in active), active[-1]
    told = [
        f"From {first} to {last}, {_count(rows, 'row')} in {_count(dumps, 'dump')} were read on "
        f"{len(active):,} of {len(history.days):,} days; {quarantined / max(rows, 1):.2%} of them are in quarantine.",
        *(f"From {day} on, {model_id} scored." for day, model_id in history.changes.items()),
    ]
    attention = [
        *([f"drift in {', '.join(latest.drifted)}"] if latest.drifted else []),
        *([f"drift in {latest.dumps_drifted:,} of {_count(latest.dumps, 'dump')}"] if latest.dumps_drifted else []),
        *([_count(latest.failed, "failed dump")] if latest.failed else []),
        *(["many quarantined rows"] if latest.quarantined > MANY_QUARANTINED * latest.rows else []),
    ]
    told.append(
        f"The last day with a dump, {latest.day}, needs a look: {', '.join(attention)}."
        if attention
        else f"Nothing on the last day with a dump, {latest.day}, needs a look."
    )
    return told + damaged


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def html(history: History, shown: Sequence[Picture], made_at: datetime) -> bytes:
    """The page, with everything in it."""
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Scoring: the last days</title><style>{STYLE}</style></head><body>",
        f"<h1>Scoring: {len(history.days):,} days up to {escape(str(history.days[-1].day))}</h1>",
        *(f"<p>{escape(words)}</p>" for words in sentences(history)),
    ]
    for picture in shown:
        source = f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
        lines += [
            f"<h2>{escape(picture.heading)}</h2><p>{escape(picture.words)}</p>",
            f'<img alt="{escape(picture.heading)}" src="{source}">',
        ]
    if rows := [_row(day) for day in reversed(history.days) if day.dumps or day.failed]:
        lines += ["<h2>All days</h2><table>", _table_row("th", COLUMNS), *(_table_row("td", row) for row in rows)]
        lines.append("</table>")
    if history.changes:
        lines.append("<p>Dotted lines in the pictures: from that day on, another model scored.</p>")
    lines.append(f"<p>Made at {made_at:%Y-%m-%d %H:%M} UTC. The last day may not be over yet.</p></body></html>")
    return "\n".join(lines).encode()


def _row(day: Day) -> tuple[str, ...]:
    return (
        str(day.day),
        f"{day.dumps:,}",
        f"{day.failed:,}",
        f"{day.rows:,}",
        _share(day.positive, day.scored),
        _share(day.words_known, day.words),
        _share(day.quarantined, day.rows),
        ", ".join(day.drifted) or ("none" if day.drift else "unknown"),
        day.model_id,
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _table_row(cell: str, values: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(value)}</{cell}>" for value in values) + "</tr>"
