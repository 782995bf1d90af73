"""Tests of people.py: labels for every row that was asked for."""

import random
from datetime import date
from pathlib import Path

from tasks.lib.labels import asked
from tasks.lib.labels.sample import Chosen
from tests.tools.year.dumps import Content, Truth
from tests.tools.year.people import People

DAY = date(2027, 1, 1)
DIGITS = "570848414e220035"  # an id of digits and one e, which a spreadsheet would take for a number


def test_an_id_that_looks_like_a_number_and_gets_no_label(tmp_path: Path) -> None:
    truth = Truth(tmp_path / "truth")
    truth.add([Content(str(DAY), "a.csv", "usual", DIGITS + 48 * "0", [[14, "x", "", 1, "films"]], {})])
    asked.write(tmp_path / "labels", DAY, [Chosen(f"{DIGITS}-14", "Good.", "0", "gru-0", "positive", True)])
    assert People(tmp_path / "labels", truth).answer(DAY, 1, random.Random(1)) == 1
