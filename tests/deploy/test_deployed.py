"""From a fresh clone to scored tables: server, work pool, worker, schedules, events, artifacts."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq

from tests.deploy.conftest import SAMPLE, House, wait_until


def rows_of(house: House) -> dict[str, int]:
    """Rows of each score table and of its quarantine; each table has to hold what its footer says."""
    counted = {}
    for path in house.data.glob("scores/model=*/*.parquet"):
        quarantine = house.data / "quarantine" / path.name
        rows = pq.read_metadata(path).num_rows + (pq.read_metadata(quarantine).num_rows if quarantine.exists() else 0)
        counted[f"{path.parent.name}/{path.name}"] = rows
    return counted


def test_the_second_deploy_changes_something(house: House) -> None:
    def known() -> dict[str, Any]:
        found = house.ask("/deployments/filter", {})
        return {entry["name"]: (entry["id"], [s["schedule"] for s in entry["schedules"]]) for entry in found}

    before = known()
    again = house.run(*house.make("deploy"))
    assert again.returncode == 0, again.stdout
    assert known() == before
    assert {name: len(schedules) for name, (_, schedules) in before.items()} == {
        "weekly": 1,
        "every-15-minutes": 1,
        "backfill": 0,
    }
    assert len(house.ask("/automations/filter", {})) == 1
    assert str(house.clone) not in json.dumps(house.ask("/deployments/filter", {}))


def test_a_schedule_without_a_next_time(house: House) -> None:
    for name in ("weekly", "every-15-minutes"):
        wanted = house.deployment(name)["id"]
        assert wait_until(
            lambda wanted=wanted: [  # type: ignore[misc]
                run
                for run in house.runs(state={"type": {"any_": ["SCHEDULED"]}})
                if run["deployment_id"] == wanted and run["auto_scheduled"]
            ],
            90,
            f"{name} has a run to come",
        )


def test_a_wrong_value_that_starts_a_run(house: House) -> None:
    before = len(house.runs(state={"type": {"not_any_": ["SCHEDULED"]}}))
    refused = house.run("prefect", "deployment", "run", "train/weekly", "--param", 'fit={"epochs": 0}')
    assert refused.returncode != 0
    assert "epochs" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert len(house.runs(state={"type": {"not_any_": ["SCHEDULED"]}})) == before


def test_a_run_that_does_not_end_well(worker: House) -> None:
    trained = worker.run(
        "prefect", "deployment", "run", "train/weekly", "--watch", "--param", SAMPLE, "--param", 'fit={"epochs": 2}'
    )  # fmt: skip
    assert trained.returncode == 0, trained.stdout
    # The promoted model has the inbox scored before anybody asks for it.
    wait_until(lambda: len(rows_of(worker)) == 2, 120, "the event of the promotion starts scoring")
    assert sorted(rows_of(worker).values()) == [80, 500]
    scored = worker.run("prefect", "deployment", "run", "score/every-15-minutes", "--watch")
    assert scored.returncode == 0, scored.stdout
    assert len(rows_of(worker)) == 2


def test_what_the_ui_lacks(worker: House) -> None:
    found = {entry["key"]: entry for entry in worker.ask("/artifacts/latest/filter", {})}
    assert set(found) == {
        "train-report", "train-history", "train-progress", "score-report", "score-files", "score-progress"
    }  # fmt: skip
    assert found["train-report"]["data"].count("data:image/png;base64,") == 2
    assert found["score-report"]["data"].count("data:image/png;base64,") == 1
    assert [row["epoch"] for row in json.loads(found["train-history"]["data"])] == [1, 2]
    assert {row["rows"] for row in json.loads(found["score-files"]["data"])} == {80, 500}
    assert found["score-progress"]["data"] == found["train-progress"]["data"] == 100
    names = {run["name"] for run in worker.runs(state={"type": {"any_": ["COMPLETED"]}})}
    assert {"train simple_rnn on sample, seed 0", "score the inbox"} <= names
    with (worker.data / "sample" / "reviews-columns.csv").open(newline="", encoding="utf-8-sig") as file:
        reviews = [row["review"] for row in csv.DictReader(file)]
    assert len(reviews) == 80
    shown = json.dumps(list(found.values()), ensure_ascii=False)
    assert not any(review[:30] in shown for review in reviews)


def test_late_runs_that_do_the_work_again(worker: House) -> None:
    worker.stop("worker")
    runs = [worker.submit("every-15-minutes") for _ in range(6)]
    began = time.monotonic()
    worker.start("worker")
    assert {worker.ended(run, 300) for run in runs} == {"COMPLETED"}
    took = [run["total_run_time"] for run in worker.runs(id={"any_": runs})]
    print(f"{len(runs)} late runs over after {time.monotonic() - began:.0f} s; each took {sorted(took)} s")
    for run in runs:  # log lines arrive a little later than states
        wait_until(lambda run=run: "Nothing to do." in worker.logged(run), 30, "it says so")  # type: ignore[misc]
    assert len(rows_of(worker)) == 2
    assert sorted(took)[len(took) // 2] < 4


def training(house: House, seed: int, epochs: int = 40) -> str:
    """A training of half a minute or more, in its second epoch."""
    run = house.submit(
        "weekly",
        corpus={"corpus": "sample"},
        fit={"epochs": epochs, "patience": epochs, "seed": seed},
    )
    wait_until(lambda: "epoch 2 of" in house.logged(run), 120, "the training is on its way")
    return run


def test_the_worker_killed(worker: House) -> None:
    run = training(worker, seed=1, epochs=12)
    worker.stop("worker", signal.SIGKILL)
    worker.start("worker")
    state = worker.ended(run)
    print(f"the run of a killed worker: {state}")
    again = worker.submit("weekly", corpus={"corpus": "sample"}, fit={"epochs": 12, "patience": 12, "seed": 1})
    assert worker.ended(again) == "COMPLETED"


def test_the_server_restarted(worker: House) -> None:
    run = training(worker, seed=2, epochs=12)
    worker.stop("serve")
    time.sleep(3)
    worker.serve()
    assert worker.ended(run) == "COMPLETED"
    assert worker.ended(worker.submit("every-15-minutes")) == "COMPLETED"


def test_the_process_of_a_run_killed(worker: House) -> None:
    run = training(worker, seed=3, epochs=12)
    subprocess.run(["kill", "-9", str(worker.engine(run))], check=True)
    assert worker.ended(run) == "CRASHED"
    wait_until(lambda: "go on with: prefect deployment run --id" in worker.logged(run), 30, "a word on how to go on")
    again = worker.submit("weekly", corpus={"corpus": "sample"}, fit={"epochs": 12, "patience": 12, "seed": 3})
    assert worker.ended(again) == "COMPLETED"
    assert "epoch 1 of" not in worker.logged(again)  # it went on after the last whole epoch
    wait_until(lambda: set(rows_of(worker).values()) == {80, 500}, 60, "the inbox is scored with each model")


def test_a_dead_run_that_stays_running(worker: House) -> None:
    told: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    listener = HTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=listener.serve_forever, daemon=True).start()
    for _ in range(2):
        made = worker.run(*worker.make("automations"), f"WEBHOOK=http://127.0.0.1:{listener.server_port}/")
        assert made.returncode == 0, made.stdout
    assert len(worker.ask("/automations/filter", {})) == 3
    run = training(worker, seed=4)
    process = worker.engine(run)
    worker.stop("worker", signal.SIGKILL)
    subprocess.run(["kill", "-9", str(process)], check=False)
    began = time.monotonic()
    assert worker.ended(run, 240) == "CRASHED"
    print(f"a dead run was found after {time.monotonic() - began:.0f} s")
    wait_until(lambda: any(run.encode() in words for words in told), 30, "the webhook is told")
    listener.shutdown()
    worker.start("worker")
    assert worker.ended(worker.submit("every-15-minutes"), 400) == "COMPLETED"


def test_sqlite_where_it_belongs(house: House) -> None:
    assert (house.data / ".prefect" / "prefect.db").is_file()
    assert Path(house.data / ".prefect").stat().st_size
