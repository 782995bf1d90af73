"""A file that asks for labels, opened in LibreOffice 7.4, labelled and saved again: what it altered and what is undone.

`saved/comma.csv` went through an .fods, `saved/semicolon.csv` through an .xlsx, which quotes every cell of text.
"""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from tasks.lib.config import LabelsConfig
from tasks.lib.labels import answers, asked
from tasks.lib.labels.sample import Chosen

SAVED = Path(__file__).parent / "saved"
REVIEWS = [
    "=1+1 is what the plot adds up to.",
    "=SUM(1,2)",
    "+++ what a film +++",
    "-- a wasted evening --",
    "@home with the children, we laughed all the way.",
    "'=1+1' is what the hero writes on the board.",
    "'Tis a fine film.",
    'She said "never again", and I agree: "never".',
    '"A masterpiece"',
    "First line.\nSecond line, with a comma; and a semicolon.",
    "First line.\r\nA second one from Windows.\r\n\r\nThe third.",
    "Über die Maßen schön, größer als ein Kinoabend: naïve café, 好看, \U0001f600.",
    "“Curly” ‘quotes’ … and – dashes.",
    "007",
    "3/4",
    "1e5",
    "50 %",
    " a space at both ends ",
    "two  spaces,\u00a0and one that does not break",
    "\rA return at the start.",
    "It is <br />markup &amp; all.",
    "''",
]
ROW_IDS = ["123456789012345e-1", "0000000000000007-2", "1234567890123456-3"]  # to a spreadsheet, the first is a number
ROW_IDS += [f"0123456789abcdef-{number}" for number in range(4, len(REVIEWS) + 1)]
LABELS = ["positive", "negative", "positive", "positive", "negative", "", "negative", "positive"]  # and so on


@pytest.fixture(params=["comma", "semicolon"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file as LibreOffice saved it, in place of the one that was written."""
    rows = [
        Chosen(row_id, review, "f" * 64, "gru-0123456789ab", "positive", at_random=True)
        for row_id, review in zip(ROW_IDS, REVIEWS, strict=True)
    ]
    path = asked.write(tmp_path, date(2026, 11, 27), rows)
    shutil.copyfile(SAVED / f"{request.param}.csv", path)
    return path


def test_a_file_that_comes_back_from_a_spreadsheet_altered(saved: Path) -> None:
    rows, spans = answers.read(saved, "review", LabelsConfig())
    assert not spans
    assert [row.row_id for row in rows] == ROW_IDS
    line_feeds = [review.replace("\r\n", "\n").replace("\r", "\n") for review in REVIEWS]
    assert [row.review for row in rows] == line_feeds
    assert [row.label for row in rows] == [LABELS[at % len(LABELS)] for at in range(len(rows))]


def test_an_accuracy_that_a_spreadsheet_alters(saved: Path) -> None:
    assert asked.accuracies(saved.parent) == {"gru-0123456789ab": asked.Accuracy(11, 19)}
    assert asked.row_ids(saved.parent) == set(ROW_IDS)
