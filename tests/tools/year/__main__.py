"""A year of use: dumps every day, a training every week, labels, faults, and what became of it.

    python -m tests.tools.year --data FOLDER [--days 365] [--dumps 96] [--each 1] [--seed 0]

Plays the days through the real commands over `FOLDER/data`, checks and measures at the end of each month, and writes
`months.jsonl`, `table.md` and `year.png` into the folder, as far as it has come. Cut off, the same command goes on.
"""

from __future__ import annotations

import json
import signal
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from tests.support import servers
from tests.tools.year import draw, faults, months, verdict
from tests.tools.year.commands import Product
from tests.tools.year.play import Plan, Play

FIRST = date(2027, 1, 1)
app = App(name="python -m tests.tools.year", help=__doc__, version_flags=[])


@app.default
def main(
    *,
    data: Annotated[Path, Parameter(help="Folder for all of it; it has to be new, or one that was cut off.")],
    days: Annotated[int, Parameter(help="Days to play, from the first of January on.")] = 365,
    dumps: Annotated[int, Parameter(help="Dumps a day.")] = 96,
    each: Annotated[int, Parameter(help="How often a month each fault happens.")] = 1,
    seed: Annotated[int, Parameter(help="Seed of the reviews, the labels and the faults.")] = 0,
) -> None:
    """Play days of use; the exit status is 1 if something does not hold."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the server would be left behind
    folder = data.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(FIRST, days, dumps, each, seed)
    settings = {
        "PREFECT_HOME": str(folder / "prefect"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    environment = Product(folder, "").environment | settings
    environment.pop("PREFECT_API_URL")
    with servers.running(folder / "server.log", environment) as address:
        product = Product(folder, address)
        try:
            closed = _play(Play(folder, plan, product))
        finally:
            product.stop()
    print((folder / "table.md").read_text())
    raise SystemExit(1 if any(month["findings"] for month in closed) else 0)


def _play(play: Play) -> list[dict[str, Any]]:
    """Plays what has not been played yet, month by month; returns the figures of each."""
    folder, started = play.folder, time.perf_counter()
    entries, closed = _read(folder / "days.jsonl"), _read(folder / "months.jsonl")
    played, done = {entry["day"] for entry in entries}, {month["month"] for month in closed}
    for days in faults.months(play.plan.calendar):
        if f"{days[-1]:%Y-%m}" in done:
            continue
        for day in days:
            if day.isoformat() not in played:
                entries.append(play.day(day))
                _append(folder / "days.jsonl", entries[-1])
        of_month = [entry for entry in entries if f"{days[0]}" <= entry["day"] <= f"{days[-1]}"]
        month = months.close(play, days, of_month, whole=days[-1] == play.plan.calendar[-1])
        month["findings"] += [*play.told(), *(finding for entry in of_month for finding in entry["findings"])]
        month["minutes"], started = (time.perf_counter() - started) / 60, time.perf_counter()
        closed.append(month)
        _append(folder / "months.jsonl", month)
        (folder / "table.md").write_text(
            "\n".join([*draw.table(closed), "", *verdict.lines(closed, entries, play.plan), ""])
        )
        draw.picture(closed, entries, play.plan, folder / "year.png")
        print(draw.row(month), flush=True)
        for finding in month["findings"][:20]:
            print(f"  {finding}", flush=True)
    return closed


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _append(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    app()
