"""Kills, restarts, overlap and lateness on real processes: the next run finishes the work, and no row comes twice."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.house import TINY, House, process_of, processes, send, wait_until

pytestmark = pytest.mark.deploy

ROWS = 100_000  # four seconds of scoring on a quiet machine with two cores
EVERY = 1000  # one review of so many is empty: quarantined
EPOCHS = 60  # ten seconds of training


@pytest.fixture
def trained(worker: House) -> House:
    """The house with a worker at work, a model, and every dump scored that lay in the inbox."""
    if not (worker.data / "models" / "current.json").exists():
        worker.watch("train/weekly", **TINY, fit={"epochs": 1})
    assert worker.ended(worker.submit("backfill")) == "COMPLETED"
    return worker


@dataclass
class Watch:
    """Looks at the processes of some runs, 20 times a second, while the block lasts."""

    runs: list[str]
    seconds: dict[str, float] = field(default_factory=dict)  # of the processor
    with_tensorflow: set[str] = field(default_factory=set)

    def __enter__(self) -> Watch:
        self._over = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        known: dict[int, str] = {}
        while not self._over.wait(0.05):
            for number, state, command in processes():
                if b"prefect.engine" not in command:
                    continue
                try:
                    if number not in known:
                        known[number] = next(run for run in self.runs if process_of(run) == number)
                    run = known[number]
                    self.seconds[run] = sum(map(int, state[11:13])) / os.sysconf("SC_CLK_TCK")
                    if "tensorflow" in Path(f"/proc/{number}/maps").read_text():
                        self.with_tensorflow.add(run)
                except (StopIteration, OSError):
                    continue  # another run's, or it ended meanwhile


def submit_training(house: House, seed: int) -> str:
    return house.submit("weekly", **TINY, fit={"epochs": EPOCHS, "patience": EPOCHS, "seed": seed})


def training(house: House, seed: int) -> str:
    """A run that has just kept the state of its first epoch."""
    before = set(house.data.glob("work/*.checkpoint.npz"))
    run = submit_training(house, seed)
    wait_until(lambda: set(house.data.glob("work/*.checkpoint.npz")) - before, 120, "the training is on its way")
    return run


@dataclass
class Dump:
    """A dump in the inbox, with an id in each row."""

    house: House
    name: str
    rows: int = ROWS

    def __post_init__(self) -> None:
        with gzip.open(self.house.data / "sample" / "reviews-test.csv.gz", "rt", encoding="utf-8", newline="") as file:
            reviews = [row["review"] for row in csv.DictReader(file)]
        with (self.house.data / "inbox" / f"{self.name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["number", "review"])
            for number in range(self.rows):
                review = reviews[number % len(reviews)] if number % EVERY else ""
                writer.writerow([f"{self.name} {number}", review])

    def found(self, pattern: str) -> list[Path]:
        return list(self.house.data.glob(pattern.format(self.name)))

    @property
    def half_written(self) -> list[Path]:
        return self.found("scores/model=*/.{}-*")

    @property
    def table(self) -> list[Path]:
        return self.found("scores/model=*/{}-*.parquet")

    def begun(self) -> None:
        """Waits until a run is in the middle of the dump."""
        wait_until(lambda: any(path.stat().st_size for path in self.half_written), 120, f"{self.name} is being scored")
        assert not self.table

    def whole(self) -> None:
        """Every row is in the one table or in the one quarantine, once."""
        (table,) = self.table
        (quarantine,) = self.found("quarantine/{}-*.parquet")
        assert not self.half_written
        empty = -(-self.rows // EVERY)
        assert pq.read_metadata(quarantine).num_rows == empty
        assert int(pq.read_schema(table).metadata[b"rows_in"]) == self.rows
        numbers = pq.read_table(table, columns=["number"])["number"].to_pylist()
        assert len(numbers) == self.rows - empty
        assert set(numbers) == {f"{self.name} {number}" for number in range(self.rows) if number % EVERY}


def said(house: House, run: str, *words: str) -> str:
    """Which of the words stands in the log of a run; its lines arrive a little later than its state."""
    return str(wait_until(lambda: next((word for word in words if word in house.logged(run)), ""), 30, f"{words}"))


def test_a_killed_worker_that_takes_its_training_along(trained: House) -> None:
    run = training(trained, seed=1)
    trained.stop("worker", signal.SIGKILL)
    assert trained.state(run) == "RUNNING"
    trained.start("worker")
    assert trained.ended(run) == "COMPLETED"  # its process lives on without the worker


def test_a_restarted_server_that_ends_a_training(trained: House) -> None:
    run = training(trained, seed=2)
    trained.stop("serve")
    trained.serve()
    assert trained.ended(run) == "COMPLETED"
    assert trained.ended(trained.submit("every-15-minutes")) == "COMPLETED"


def test_a_killed_training_that_starts_from_the_first_epoch(trained: House) -> None:
    run = training(trained, seed=3)
    send(trained.engine(run), signal.SIGKILL)
    assert trained.ended(run) == "CRASHED"
    said(trained, run, "Resume with: prefect deployment run --id")
    again = submit_training(trained, seed=3)
    with Watch([again]) as watch:
        assert trained.ended(again) == "COMPLETED"
    assert watch.with_tensorflow == {again}  # so the watch would see it in the test of late runs, too
    said(trained, again, "Verdict: ")
    assert "epoch 1 of" not in trained.logged(again)  # it went on after the last whole epoch


def test_a_killed_scoring_run_that_loses_or_doubles_a_row(trained: House) -> None:
    dump = Dump(trained, "run-killed")
    run = trained.submit("every-15-minutes")
    dump.begun()
    send(trained.engine(run), signal.SIGKILL)
    assert trained.ended(run) == "CRASHED"
    assert not dump.table
    assert trained.ended(trained.submit("every-15-minutes")) == "COMPLETED"
    dump.whole()


def test_a_killed_worker_that_takes_its_scoring_run_along(trained: House) -> None:
    dump = Dump(trained, "worker-killed")
    run = trained.submit("every-15-minutes")
    dump.begun()
    trained.stop("worker", signal.SIGKILL)
    assert not dump.table
    trained.start("worker")
    following = trained.submit("every-15-minutes")
    assert (trained.ended(run), trained.ended(following)) == ("COMPLETED", "COMPLETED")
    dump.whole()


def test_a_restarted_server_that_ends_a_scoring_run(trained: House) -> None:
    dump = Dump(trained, "server-restarted", 2 * ROWS)
    run = trained.submit("every-15-minutes")
    dump.begun()
    trained.stop("serve")
    assert not dump.table
    trained.serve()
    assert trained.ended(run) == "COMPLETED"
    assert trained.ended(trained.submit("every-15-minutes")) == "COMPLETED"
    dump.whole()


def test_a_run_that_takes_what_another_is_scoring(trained: House) -> None:
    dumps = [Dump(trained, "overlap-1"), Dump(trained, "overlap-2")]
    runs = [trained.submit("every-15-minutes")]
    dumps[0].begun()
    runs.append(trained.submit("backfill"))
    assert [trained.ended(run) for run in runs] == ["COMPLETED", "COMPLETED"]
    for run in runs:
        said(trained, run, "Report: ", "Nothing to do.")
    for dump in dumps:
        dump.whole()
        assert sum(trained.logged(run).count(f"{dump.name}.csv: {ROWS:,} rows") for run in runs) == 1


def test_late_runs_that_do_the_work_again(trained: House) -> None:
    trained.stop("worker")
    dumps = [Dump(trained, f"late-{number}", 2 * EVERY) for number in range(3)]
    due = datetime.now(UTC) - timedelta(days=1)
    runs = [trained.submit_at("every-15-minutes", due + number * timedelta(minutes=15)) for number in range(8)]
    began = time.monotonic()
    with Watch(runs) as watch:
        trained.start("worker")
        assert {trained.ended(run, 300) for run in runs} == {"COMPLETED"}
    over = time.monotonic() - began
    for dump in dumps:
        dump.whole()
    idle = [run for run in runs if said(trained, run, "Nothing to do.", "Report: ") == "Nothing to do."]
    took = {run["id"]: run["total_run_time"] for run in trained.runs(id={"any_": runs})}
    print(
        f"{len(runs)} late runs over after {over:.0f} s; idle ones took {sorted(took[run] for run in idle)} s, "
        f"{sorted(watch.seconds[run] for run in idle)} s of the processor"
    )
    assert len(idle) == len(runs) - 1
    assert set(watch.seconds) == set(runs)
    assert not watch.with_tensorflow
    assert max(took[run] for run in idle) < 4
    assert max(watch.seconds[run] for run in idle) < 6  # with the start of the process; half of it on a quiet machine


@pytest.fixture
def told(trained: House) -> Iterator[Callable[[], list[bytes]]]:
    """The automations, put there twice, and what their webhook is told."""
    heard: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    listener = HTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=listener.serve_forever, daemon=True).start()
    for _ in range(2):
        trained.make_now("automations", f"WEBHOOK=http://127.0.0.1:{listener.server_port}/")
    assert len(trained.ask("/automations/filter", {})) == 4
    yield lambda: heard
    listener.shutdown()


def test_a_dead_run_that_stays_running(trained: House, told: Callable[[], list[bytes]]) -> None:
    dump = Dump(trained, "all-killed")
    run = trained.submit("every-15-minutes")
    dump.begun()
    process = trained.engine(run)
    trained.stop("worker", signal.SIGKILL)
    send(process, signal.SIGKILL)
    assert not dump.table
    began = time.monotonic()
    trained.start("worker")
    following = trained.submit("every-15-minutes")  # it waits for the dead one
    assert trained.ended(run, 240) == "CRASHED"
    print(f"a dead run was found after {time.monotonic() - began:.0f} s")
    assert trained.ended(following) == "COMPLETED"
    dump.whole()
    wait_until(lambda: any(json.loads(words).get("id") == run for words in told()), 30, "the webhook is told")
