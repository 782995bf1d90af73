"""The command lines with a network that is not there or lies, and what they must not show."""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.lib.layout import Layout
from tests.support import german, labels, misbehaving
from tests.support.commands import SCORE, SMALL, Command, check_one_line, run
from tests.support.tables import alter, put_right

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[misbehaving.Server]:
    with misbehaving.serving(b"x" * 100_000) as server:
        yield server


@pytest.mark.parametrize("network", ["none", "silent", "trickling-body", "html", "missing"])
def test_a_training_without_a_network_that_hangs_or_rambles(
    tmp_path: Path, server: misbehaving.Server, network: str
) -> None:
    closed = f"http://127.0.0.1:{misbehaving.closed_port()}/imdb.npz"
    url = closed if network == "none" else server.url(network)
    command = Command(["flows/train.py", "--archive", url, "--data-dir", str(tmp_path / "data")], tmp_path / "home")
    started = time.monotonic()
    status, _ = command.end()
    assert time.monotonic() - started < 60
    assert status == 1
    line = check_one_line(command.output)
    assert all(option in line for option in ("--archive", "--word-index", "--corpus sample"))
    assert list((tmp_path / "data" / "raw").iterdir()) == []
    assert command.left_behind() == []


MARKER = "zyxwvmarker"


def test_text_of_reviews_that_shows_where_it_must_not(trained: Layout, tmp_path: Path) -> None:
    text = f"I saw {MARKER} last night, and it was the best film of all"
    quoted = f'"{text}"'
    good = "".join(f"{row},{quoted},2024\n" for row in range(20))
    files: dict[str, str | bytes] = {
        "good.csv": f"id,review,year\n{good}",
        "bad-rows.csv": f'id,review,year\n{good}7\n8,{quoted},x,y\n9,"{text}"more,z\n10,"{text} never closed\n{good}',
        "undecodable.csv": f"id,review\n1,{quoted}\n2,{quoted}".encode() + b" \xff\xfe\n" + f"3,{quoted}\n".encode(),
        "no-header.csv": f"1,{quoted}\n2,{quoted}\n",
        "one-column.csv": f"{text}\n{text}\n",
        "one-word.csv": f"{MARKER}\ngood\nbad\n",
        "two-words.csv": f"{MARKER},positive\nbad,negative\n",
        "header-twice.csv": f"id,review,year\n{good}id,review,year\n{good}",
        "other-column.csv": f"id,text\n1,{quoted}\n",
        "nul.csv": f"id,review\n1,{text}\0\n2,\0\0\n",
        "utf-16.csv": f"id,review\n1,{text}\n".encode("utf-16"),
        "torn.csv.gz": gzip.compress(f"id,review,year\n{good * 50}".encode())[:-9],
        "flipped.csv.gz": gzip.compress(f"id,review,year\n{good}".encode()).replace(b"\0", b"\1"),
        "tabs.tsv": f"id\treview\n1\t{text}\n2\t{text}\t{text}\n",
    }
    trained.inbox.mkdir()
    for name, content in files.items():
        (trained.inbox / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    home = tmp_path / "home"
    in_parts = ["--rescore", "--runner", "dask", "--dask-split", "0.0005"]
    for arguments in ([], ["--rescore", "--keep", "year"], ["--rescore", "--csv"], in_parts, ["--requeue"]):
        status, output = run([*SCORE, *arguments, "--data-dir", str(trained.root)], home, PREFECT_LOGGING_LEVEL="DEBUG")
        assert (status, "no-header.csv" in output) == ((0, False) if "--requeue" in arguments else (1, True)), output
    status, output = run(["flows/verify.py", "--all", "--data-dir", str(trained.root)], home)
    assert (status, MARKER in output) == (0, False), output

    assert check_marker(trained, home, trained.csv, *trained.quarantine.glob("*-requeued.csv")) > 8


def test_text_of_reviews_that_shows_on_the_way_round(
    trained: Layout, two_models: tuple[str, str], tmp_path: Path
) -> None:
    """Scored, asked for, labelled, trained on, compared, released, looked back at; drift and faults among it."""
    texts = [f"{MARKER}{number} {MARKER} {text}" for number, text in enumerate(german.reviews(120))]
    labels.write(trained.inbox / "german.csv", [[text] for text in texts], ["review"])
    home, (current, other) = tmp_path / "home", two_models

    def run_it(*arguments: str, status: int = 0) -> str:
        ended, output = run([*arguments, "--data-dir", str(trained.root)], home, PREFECT_LOGGING_LEVEL="DEBUG")
        assert (ended, MARKER in output) == (status, False), output
        return output

    assert "unknown words in german.csv" in run_it(*SCORE, "--csv")
    run_it("flows/label.py", "--rows", "60")
    (asked,) = trained.labels.glob("to-label-*.csv")
    with asked.open(encoding="utf-8-sig", newline="") as file:
        rows = [[row["row_id"], row["review"], row["model_id"]] for row in csv.DictReader(file)]
    answers = ["pos", "neg", "", MARKER]  # one of four is no label
    labels.write(
        asked, [[*row, answers[at % 4]] for at, row in enumerate(rows)], ["row_id", "review", "model_id", "label"]
    )
    labels.write(trained.labels / "two-labels.csv", [[rows[0][1], "neg"], [texts[0], "1"]])
    output = run_it("flows/train.py", *SMALL, "--epochs", "2", "--device", "cpu")
    assert "15 unknown_label" in output
    assert "reviews have two labels" in output
    labels.write(trained.labels / "no-labels.csv", [[f"{MARKER} film", "1"]], ["review", "mark"])
    assert "no-labels.csv: no column" in run_it("flows/train.py", *SMALL, status=1)
    (trained.labels / "no-labels.csv").unlink()
    assert "rows drawn at random" in run_it("flows/release.py")
    table = next(trained.scores.glob("model=*/*.parquet"))
    for looked_at in (rows[0][0], str(table), current):
        assert f"model      {current}" in run_it("flows/release.py", "lineage", looked_at)
    preview = [*SCORE, "--model", current, "--preview", other]
    assert rows[0][0][:16] in run_it(*preview)
    assert rows[0][0][:16] in run_it(*preview, str(trained.inbox))
    run_it("flows/release.py", "compare", other, current)
    run_it("flows/report.py")
    alter(table, {"positive_probability": [0.25] * len(texts)})
    assert "1 table or model does not hold" in run_it("flows/verify.py", "--all", status=1)
    put_right(trained)
    assert f"{current}/german-" in run_it("flows/verify.py", "--all", status=1)
    check_marker(trained, home, trained.csv, trained.labels)


def check_marker(data: Layout, home: Path, *allowed: Path) -> int:
    """In how many tables the marker is; it is nowhere else but in the dumps and in what else may have it."""
    tables = [*data.scores.glob("model=*/*.parquet"), *data.quarantine.glob("*.parquet")]
    shown = [path for path in tables if any(MARKER in str(row) for row in pq.read_table(path).to_pylist())]
    assert shown, "the marker should be where reviews belong"
    places = [*tables, data.inbox, *allowed]
    everything = [path for folder in (data.root, home) for path in folder.rglob("*") if path.is_file()]
    searched = [path for path in everything if not any(path.is_relative_to(place) for place in places)]
    databases = [path for path in searched if path.name.startswith("prefect.db")]
    assert any(b".csv" in path.read_bytes() for path in databases), "what the run did should be found"
    assert any(path.suffix == ".png" for path in searched)
    assert [path for path in searched if MARKER.encode() in path.read_bytes()] == []
    return len(shown)
