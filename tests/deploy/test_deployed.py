"""From a fresh clone to scored tables: server, work pool, worker, schedules, events, artifacts."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.house import TINY, House, wait_until

pytestmark = pytest.mark.deploy


def rows_of(house: House) -> dict[str, int]:
    """Rows of each score table and of its quarantine; each table has to hold what its footer says."""
    counted = {}
    for path in house.data.glob("scores/model=*/*.parquet"):
        quarantine = house.data / "quarantine" / path.name
        rows = pq.read_metadata(path).num_rows + (pq.read_metadata(quarantine).num_rows if quarantine.exists() else 0)
        counted[f"{path.parent.name}/{path.name}"] = rows
    return counted


def test_a_second_deploy_that_changes_something(house: House) -> None:
    def known() -> dict[str, Any]:
        found = house.ask("/deployments/filter", {})
        return {
            f"{entry['entrypoint'].partition(':')[2]}/{entry['name']}": (
                entry["id"],
                [schedule["schedule"] for schedule in entry["schedules"]],
            )
            for entry in found
        }

    before = known()
    house.make_now("deploy")
    assert known() == before
    assert {name: len(schedules) for name, (_, schedules) in before.items()} == {
        "train/weekly": 1,
        "score/every-15-minutes": 1,
        "score/backfill": 0,
        "verify/nightly": 1,
        "report/nightly": 1,
    }
    assert len(house.ask("/automations/filter", {})) == 1
    assert str(house.clone) not in json.dumps(house.ask("/deployments/filter", {}))


def test_a_schedule_without_a_next_time(house: House) -> None:
    for name in ("weekly", "every-15-minutes", "verify/nightly", "report/nightly"):
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
    worker.watch("train/weekly", **TINY, fit={"epochs": 2})
    # The promoted model has the inbox scored before anybody asks for it.
    wait_until(lambda: len(rows_of(worker)) == 2, 120, "the event of the promotion starts scoring")
    assert sorted(rows_of(worker).values()) == [80, 500]
    worker.watch("score/every-15-minutes")
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
    tasks = {run["name"] for run in worker.ask("/task_runs/filter", {})}
    assert {"score reviews-columns.csv and 1 more", "find new dumps", "plot simple_rnn on sample"} <= tasks
    assert not [name for name in tasks if re.fullmatch(r"\w+-[0-9a-f]{3}", name)]  # what Prefect makes up
    names = {run["name"] for run in worker.runs(state={"type": {"any_": ["COMPLETED"]}})}
    assert {"train article on sample, seed 42", "score the inbox"} <= names
    with (worker.data / "sample" / "reviews-columns.csv").open(newline="", encoding="utf-8-sig") as file:
        reviews = [row["review"] for row in csv.DictReader(file)]
    assert len(reviews) == 80
    shown = json.dumps(list(found.values()), ensure_ascii=False)
    assert not any(review[:30] in shown for review in reviews)


def test_a_release_by_hand_that_scores_nothing(worker: House) -> None:
    worker.watch("train/weekly", **TINY, fit={"epochs": 1, "seed": 7})
    current = scored_after_each_release(worker)
    (other,) = {path.parent.name for path in worker.data.glob("models/*/manifest.json")} - {current}
    for command, expected in ((["promote", other], other), (["rollback"], current)):
        done = worker.run("python", "flows/release.py", *command)
        assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stdout
        assert scored_after_each_release(worker) == expected


def scored_after_each_release(house: House) -> str:
    """Waits until score/backfill has run once for each release; gives the current model, which scored the inbox."""
    verdicts = [json.loads(line)["verdict"] for line in (house.data / "models" / "releases.jsonl").open()]
    wanted = house.deployment("backfill")["id"]

    def ended() -> bool:
        runs = [run for run in house.runs() if run["deployment_id"] == wanted]
        assert all(run["created_by"]["type"] == "AUTOMATION" for run in runs)
        completed = [run for run in runs if run["state_type"] == "COMPLETED"]
        return len(completed) == len(runs) == len([verdict for verdict in verdicts if verdict != "held"])

    wait_until(ended, 120, "each release has the inbox scored")
    current = json.loads((house.data / "models" / "current.json").read_bytes())["model_id"]
    assert len([name for name in rows_of(house) if name.startswith(f"model={current}/")]) == 2
    return str(current)


def test_a_database_outside_the_data_folder(house: House) -> None:
    assert (house.data / ".prefect" / "prefect.db").is_file()
