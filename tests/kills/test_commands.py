"""The command lines as people and schedulers run them: killed, stopped, several at once, on full disks."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.lib import files
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.lib.scores.ledger import Ledger
from tests.support.commands import SCORE, TRAIN, Command, check_one_line, run

pytestmark = pytest.mark.slow

LONG_ROWS = 150_000


@pytest.fixture
def data(undisturbed: Layout, tmp_path: Path) -> Layout:
    """A copy of it with an empty inbox."""
    shutil.copytree(undisturbed.root, tmp_path / "data")
    (tmp_path / "data" / "inbox").mkdir()
    return Layout(tmp_path / "data")


def hidden(data: Layout) -> list[str]:
    return [path.relative_to(data.root).as_posix() for path in data.root.rglob(".*.partial")]


def disturb(command: Command, disturbance: str, text: str, chance: random.Random) -> None:
    """Ends the command in the way that is named, and checks that it ended as it should."""
    if disturbance == "kill at a random moment":
        time.sleep(chance.uniform(0, 25))
    else:
        command.wait_for(text)
    number = {"term": signal.SIGTERM, "interrupt": signal.SIGINT}.get(disturbance, signal.SIGKILL)
    status, seconds = command.end(number, group=disturbance == "interrupt")
    if number == signal.SIGKILL:
        assert status in (0, -signal.SIGKILL), command.output
    else:
        assert status == 128 + number, command.output
        assert seconds < 10
        check_one_line(command.output)
    assert command.left_behind() == []


def test_a_training_that_is_disturbed_four_times_and_ends_otherwise(undisturbed: Layout, tmp_path: Path) -> None:
    data = Layout(tmp_path / "data")
    chance = random.Random(7)
    moments = [("term", "epoch 2 of"), ("interrupt", "epoch 5 of"), ("kill", "epoch 7 of"), ("kill", "evaluate ")]
    for how, text in moments:
        command = Command([*TRAIN, "--data-dir", str(data.root)], tmp_path / "home")
        disturb(command, how, text, chance)
    check_end(data, undisturbed, tmp_path)


def test_a_training_killed_at_random_moments_that_ends_otherwise(undisturbed: Layout, tmp_path: Path) -> None:
    data = Layout(tmp_path / "data")
    chance = random.Random(5)
    for _ in range(8):
        command = Command([*TRAIN, "--data-dir", str(data.root)], tmp_path / "home")
        time.sleep(chance.uniform(1, 9))
        status, _ = command.end(signal.SIGKILL)
        assert status in (0, -signal.SIGKILL), command.output
        assert command.left_behind() == []
    check_end(data, undisturbed, tmp_path)


def check_end(data: Layout, undisturbed: Layout, tmp_path: Path) -> None:
    """The same command once more ends with what the undisturbed training gave."""
    status, output = run([*TRAIN, "--data-dir", str(data.root)], tmp_path / "home")
    assert status == 0, output
    assert releases.current_id(data.models) == releases.current_id(undisturbed.models)
    model_id = releases.current_id(data.models)
    for name in ("word_index.json", "loss.png", "evaluation.png"):
        assert (data.models / model_id / name).read_bytes() == (undisturbed.models / model_id / name).read_bytes()
    timeless = [
        {name: value for name, value in bundles.read_metrics(of.models, model_id).items() if name != "seconds"}
        for of in (data, undisturbed)
    ]
    assert timeless[0] == timeless[1]
    assert hidden(data) == []
    assert len((data.models / releases.RELEASES).read_text().splitlines()) == 1


def long_dump(data: Layout) -> Path:
    """A dump that takes some seconds to score, with a bad row after every thousand good ones."""
    words = random.Random(3).choices(["the", "film", "was", "good", "bad", "and", "long"], k=60)
    rows = (
        f"{row}" if row % 1000 == 999 else f"{row},{row} {' '.join(words[row % 7 : row % 50 + 9])}"
        for row in range(LONG_ROWS)
    )
    path = data.inbox / "long.csv"
    path.write_text("\n".join(["id,review", *rows, ""]))
    return path


def test_a_scoring_that_is_disturbed_and_loses_or_doubles_a_row(data: Layout, tmp_path: Path) -> None:
    long_dump(data)
    arguments = [*SCORE, "--data-dir", str(data.root)]
    chance = random.Random(11)
    for how in ("term", "interrupt", "kill", "kill at a random moment", "kill at a random moment"):
        command = Command(arguments, tmp_path / "home")
        if how in ("term", "interrupt", "kill"):
            while not hidden(data) and command.process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 1))
        disturb(command, how, "", chance)
        if how in ("term", "interrupt"):
            assert hidden(data) == []
        for table in data.scores.glob("model=*/*.parquet"):  # it may have come to its end before the kill
            assert pq.read_metadata(table).num_rows == LONG_ROWS - LONG_ROWS // 1000
    status, output = run(arguments, tmp_path / "home")
    assert status == 0, output
    (table,) = data.scores.glob("model=*/*.parquet")
    (quarantine,) = data.quarantine.glob("*.parquet")
    ids = pq.read_table(table)["id"].to_pylist()
    assert ids == [str(row) for row in range(LONG_ROWS) if row % 1000 != 999]
    assert pq.read_metadata(quarantine).num_rows == LONG_ROWS // 1000
    assert hidden(data) == []


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_at_once_that_score_a_file_twice_or_not_at_all(data: Layout, tmp_path: Path, runs: int) -> None:
    for number in range(12):
        rows = "".join(f"{number}-{row},a film with {row} words\n" for row in range(2_000))
        (data.inbox / f"dump-{number:02}.csv").write_text(f"id,review\n{rows}bad\n")
    shutil.copy(data.inbox / "dump-00.csv", data.inbox / "the-same-again.csv")
    commands = [Command([*SCORE, "--data-dir", str(data.root)], tmp_path / f"home-{number}") for number in range(runs)]
    for command in commands:
        status, _ = command.end()
        assert status == 0, command.output
    tables = list(data.scores.glob("model=*/*.parquet"))
    assert len(tables) == len(list(data.quarantine.glob("*.parquet"))) == 12
    assert Counter(pq.read_metadata(table).num_rows for table in tables) == {2_000: 12}
    reports = [json.loads(path.read_text()) for path in data.reports.glob("*.json")]
    by_status = Counter((entry["file"], entry["status"]) for report in reports for entry in report["files"])
    assert {name: count for (name, status), count in by_status.items() if status == "scored"} == {
        f"dump-{number:02}.csv": 1 for number in range(12)
    }
    with Ledger.open(data) as ledger:
        assert ledger.names(files.sha256(data.inbox / "dump-00.csv")) == ["dump-00.csv", "the-same-again.csv"]
    assert hidden(data) == []


def test_trainings_at_once_that_train_twice(undisturbed: Layout, tmp_path: Path) -> None:
    data = Layout(tmp_path / "data")
    commands = [Command([*TRAIN, "--data-dir", str(data.root)], tmp_path / f"home-{number}") for number in range(2)]
    outputs = []
    for command in commands:
        status, _ = command.end()
        assert status == 0, command.output
        outputs.append(command.output)
    assert sorted("waiting for another run" in output for output in outputs) == [False, True]
    assert sum(output.count("epoch 12 of 12") for output in outputs) == 1
    assert bundles.model_ids(data.models) == bundles.model_ids(undisturbed.models)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)], check=False)
    if done.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_and_a_read_only_disk_that_end_in_a_traceback(small_disk: Path, tmp_path: Path) -> None:
    arguments = [*TRAIN, "--data-dir", str(small_disk)]
    for options, said in (("size=300k", "No space left on device"), ("ro", "Read-only file system")):
        subprocess.run(["mount", "-o", f"remount,{options}", str(small_disk)], check=True)
        started = time.monotonic()
        status, output = run(arguments, tmp_path / "home")
        assert status == 1
        assert said in check_one_line(output)
        assert time.monotonic() - started < 60
        assert not list(small_disk.glob("models/*/manifest.json"))
        assert hidden(Layout(small_disk)) == []
    subprocess.run(["mount", "-o", "remount,rw,size=8m", str(small_disk)], check=True)
    status, output = run(arguments, tmp_path / "home")
    assert status == 0, output


def test_a_full_and_a_read_only_disk_that_keep_half_a_table(data: Layout, small_disk: Path, tmp_path: Path) -> None:
    long_dump(data)
    data.scores.symlink_to(small_disk)
    arguments = [*SCORE, "--data-dir", str(data.root)]
    for options, said in (("size=300k", "No space left on device"), ("ro", "Read-only file system")):
        subprocess.run(["mount", "-o", f"remount,{options}", str(small_disk)], check=True)
        started = time.monotonic()
        status, output = run(arguments, tmp_path / "home")
        assert status == 1
        assert said in output
        assert "Traceback" not in output
        assert time.monotonic() - started < 60
        assert not list(data.scores.glob("model=*/*.parquet"))
    subprocess.run(["mount", "-o", "remount,rw,size=64m", str(small_disk)], check=True)
    status, output = run(arguments, tmp_path / "home")
    assert status == 0, output
    (table,) = data.scores.glob("model=*/*.parquet")
    assert pq.read_metadata(table).num_rows == LONG_ROWS - LONG_ROWS // 1000


def test_a_full_and_a_read_only_prefect_home_that_end_in_a_traceback(data: Layout, small_disk: Path) -> None:
    """What Prefect's temporary server writes, it writes there."""
    (data.inbox / "d.csv").write_text("review\na good film\n")
    arguments = [*SCORE, "--data-dir", str(data.root)]
    for options, said in (("size=300k", "disk is full"), ("ro", "database")):
        for path in small_disk.iterdir():
            path.unlink()
        subprocess.run(["mount", "-o", f"remount,{options}", str(small_disk)], check=True)
        started = time.monotonic()
        command = Command(arguments, small_disk, log=data.root / "output")
        status, _ = command.end()
        assert status == 1
        line = check_one_line(command.output)
        assert said in line
        assert str(small_disk) in line
        assert time.monotonic() - started < 60
        assert not list(data.scores.glob("model=*/*"))
        assert command.left_behind() == []
    subprocess.run(["mount", "-o", "remount,rw,size=64m", str(small_disk)], check=True)
    status, output = run(arguments, small_disk)
    assert status == 0, output
