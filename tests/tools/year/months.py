"""The end of a month: what is measured, and whether all of it holds."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from tests.support.commands import ROOT
from tests.tools.year.play import SCORE, Play, at

IDLE_RUNS = 3
OWN = re.compile(
    r"^[* ] (\S+) .* own reviews [\d.]+% of ([\d,]+) rows .* interval ([\d.]+)% to ([\d.]+)%$", re.MULTILINE
)


def close(play: Play, days: Sequence[date], entries: Sequence[dict[str, Any]], *, whole: bool) -> dict[str, Any]:
    """The figures of a month whose days have been played.

    Checks the tables of its dumps, and verifies those of the models that scored them; with `whole` all tables.
    """
    last = days[-1]
    idle = [play.run("score, idle", SCORE, at(last, 20, number)) for number in range(IDLE_RUNS)]
    play.run("report", ["flows/report.py"], at(last, 21))
    _, estimates = play.product.run("models", ["flows/release.py"], at(last, 21, 30))
    found = _check(play.folder, days)
    checked = _check(play.folder) if whole else found
    folders = [] if whole else [str(play.data.scores / f"model={model_id}") for model_id in sorted(found["scored_by"])]
    verified = play.run("verify", ["flows/verify.py", "--all", *folders], at(last, 22))
    play.run("prune", ["flows/prune.py"], at(last, 23))
    commands = [json.loads(line) for line in play.product.notes.read_text().splitlines()]
    of_month = [done for done in commands if f"{days[0]}" <= done["at"][:10] <= f"{last}"]
    scored, trained = ([done for done in of_month if done["what"] == what] for what in ("score", "train"))
    data = play.data
    by_day = {day: [found["right_on"][day], rows] for day, rows in sorted(found["scored_on"].items())}
    right, rows = (sum(of_day) for of_day in zip(*by_day.values(), strict=True))
    return {
        "month": f"{last:%Y-%m}",
        "days": len(days),
        "score_seconds": _median(done["seconds"] for done in scored),
        "idle_seconds": _median(done.seconds for done in idle),
        "train_seconds": _median(done["seconds"] for done in trained),
        "score_memory": _median(done["memory"] for done in scored),
        "verify_seconds": verified.seconds,
        "check_seconds": checked["seconds"],
        "bytes_data": size(data.root),
        "bytes_dumps": size(data.inbox),
        "bytes_tables": size(data.scores),
        "rows": rows,
        "accuracy": right / rows,
        **_estimate(found, estimates),
        "alarm_days": sum(bool(entry["alarms"]) for entry in entries),
        "alarms": sorted({kind for entry in entries for kind in entry["alarms"]}),
        "models": len({entry["model"] for entry in entries}),
        "labels": checked["labels"],
        "faults": sum(len(entry["faults"]) for entry in entries),
        "by_day": by_day,
        "findings": checked["findings"],
    }


def size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return round(statistics.median(found), 2) if found else 0.0


def _check(folder: Path, days: Sequence[date] = ()) -> dict[str, Any]:
    """What the checker says of some days or of all, in a process of its own: its memory must not count for commands."""
    command = [sys.executable, "-m", "tests.tools.year.check", str(folder)]
    if days:
        command += ["--first", f"{days[0]}", "--last", f"{days[-1]}"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"seconds": round(time.perf_counter() - started, 1)}


def _estimate(found: dict[str, Any], listed: str) -> dict[str, Any]:
    """What `flows/release.py` says of the model that scored most of the month, and the truth of the same rows."""
    model_id, rows = max(found["scored_by"].items(), key=lambda entry: entry[1])
    for name, labelled, lower, upper in OWN.findall(listed):
        if name == model_id:
            truth = found["right_by"][model_id] / rows
            interval = [float(lower) / 100, float(upper) / 100]
            return {
                "estimated": interval, "estimated_on": int(labelled.replace(",", "")), "truth_of_estimated": truth,
                "holds": interval[0] <= truth <= interval[1],
            }  # fmt: skip
    return {"estimated": None, "holds": None}
