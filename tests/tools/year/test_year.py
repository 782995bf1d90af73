"""A month of the year, whole: nothing is lost, whatever goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT


@pytest.mark.slow
def test_a_month_of_use_that_loses_a_row_or_a_label(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.tools.year", "--data", str(tmp_path), "--days", "30", "--each", "2"]
    done = subprocess.run([*command, "--dumps", "24"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (month,) = [json.loads(line) for line in (tmp_path / "months.jsonl").read_text().splitlines()]
    assert month["rows"] > 20_000
    assert month["faults"] == 20
    assert (tmp_path / "year.png").stat().st_size > 10_000
