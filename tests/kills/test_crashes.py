"""Killed at every call that changes the disk, and run again: the result is that of an undisturbed run."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from tasks.lib import files, scoring
from tasks.lib.config import ScoreConfig, ShardConfig
from tasks.lib.corpus import imdb, shards
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.lib.network.encoder import Encoder
from tasks.lib.scores import inbox, tables
from tasks.lib.scores.ledger import Ledger
from tests.support import crash
from tests.support.found import new

MODEL_ID = "gru-000000000000"
STRIDE, RANDOM_KILLS = 7, 5  # `tests/slow` kills at each call


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", crash.no_fsync)


class Fake:
    """Stands for a network: a probability that depends on the ids alone."""

    def __call__(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        return ((ids.sum(axis=1) % 97) / 97).astype(np.float32)


def model() -> scoring.Model:
    encoder = Encoder({"good": 1, "bad": 2, "film": 3}, num_words=10, maxlen=8)
    return scoring.Model(MODEL_ID, encoder, Fake(), 0.5)  # type: ignore[arg-type]


def dump(path: Path, rows: int, bad: int, seed: int = 0) -> Path:
    """A dump of which every row shows where it came from; `bad` rows lack a field."""
    chance = random.Random(seed)
    broken = set(chance.sample(range(rows), bad))
    words = ("good", "bad", "film", "unknown")
    lines = [
        f"{row}" if row in broken else f"{row},{' '.join(chance.choices(words, k=6))} {row}" for row in range(rows)
    ]
    path.write_text("\n".join(["id,review", *lines, ""]))
    return path


def score(path: Path, root: Path, config: ScoreConfig = ScoreConfig(), sha256: str = "") -> None:
    """What a run does with one dump; with its `sha256`, without looking for it first."""
    data = Layout(root)
    with Ledger.open(data) as ledger:
        if sha256:
            found = new(path, f"scores/model={MODEL_ID}/{tables.table_name(path.name, sha256)}", sha256=sha256)
        else:
            (found,) = inbox.find([path], ledger, ledger.look([MODEL_ID]), config, MODEL_ID)
        if found.status == "new":
            ledger.enter_tables([scoring.score(found, model(), config, data)])


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder but the ledger, hidden ones included, with the sha256 of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("ledger.sqlite")
    }


def visible(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in contents(folder).items() if not name.rpartition("/")[2].startswith(".")}


def killed_everywhere(
    tmp_path: Path, work: Callable[..., None], *args: Any, prepare: Callable[[Path], None] = lambda folder: None
) -> Iterator[tuple[int, Path]]:
    """For each call that `work(folder, *args)` makes: a folder in which it was killed there."""
    (tmp_path / "count").mkdir()
    prepare(tmp_path / "count")
    count = crash.at_every_call(work, tmp_path / "count", *args)
    for number in range(1, count + 1, STRIDE):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        prepare(folder)
        assert crash.run(work, folder, *args, fatal=number) == -1
        yield number, folder


def score_into(folder: Path, path: Path, config: ScoreConfig = ScoreConfig()) -> None:
    score(path, folder, config)


def test_a_kill_in_scoring_that_loses_doubles_or_halves_anything(tmp_path: Path) -> None:
    path = dump(tmp_path / "d.csv", rows=5_000, bad=7)
    score(path, tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    assert len(expected) == 2
    kills = 0
    for number, folder in killed_everywhere(tmp_path, score_into, path):
        for name, digest in visible(folder).items():
            assert digest == expected[name], f"kill {number}: {name} is not the whole one"
        if any(name.startswith("scores") for name in visible(folder)):
            assert visible(folder) == expected, f"kill {number}: a table without its quarantine"
        score(path, folder)
        files.sweep(folder / "scores")
        files.sweep(folder / "quarantine")
        assert contents(folder) == expected, f"kill {number}"
        kills += 1
    assert kills * STRIDE > 30


def test_a_kill_in_scoring_anew_that_parts_a_table_from_its_quarantine(tmp_path: Path) -> None:
    """The second scoring reads with another encoding, so that other rows are quarantined."""
    path = tmp_path / "d.csv"
    path.write_bytes(b"id,review\n" + b"".join(b"%d,caf\xe9 good\n" % row for row in range(50)) + b"50,bad\n")
    anew = ScoreConfig(encoding="cp1252", rescore=True)
    score(path, tmp_path / "before")
    score(path, tmp_path / "after", anew)
    before, after = contents(tmp_path / "before"), contents(tmp_path / "after")
    assert (len(before), len(after)) == (2, 1)

    def prepare(folder: Path) -> None:
        score(path, folder)

    for number, folder in killed_everywhere(tmp_path, score_into, path, anew, prepare=prepare):
        found = visible(folder)
        if any(name.startswith("scores") for name in found):
            assert found in (before, after), f"kill {number}: a table beside the quarantine of another scoring"
        score(path, folder)  # without `rescore`: as the next scheduled run does it
        files.sweep(folder / "scores")
        files.sweep(folder / "quarantine")
        assert contents(folder) in (before, after), f"kill {number}"


def requeue(folder: Path) -> None:
    score(folder / f"d-{'0' * 16}-requeued.csv", folder, ScoreConfig(requeue=True))


def test_a_kill_in_requeueing_that_leaves_rows_twice(tmp_path: Path) -> None:
    """The repaired dump was scored before, then mended again: its new tables take the place of the old ones."""

    def prepare(folder: Path) -> None:
        for rows in (20, 30):
            dump(folder / f"d-{'0' * 16}-requeued.csv", rows=rows, bad=2)
            if rows == 20:
                requeue(folder)

    (tmp_path / "undisturbed").mkdir()
    prepare(tmp_path / "undisturbed")
    requeue(tmp_path / "undisturbed")
    expected = visible(tmp_path / "undisturbed")
    assert len(expected) == 3  # the repaired dump and its two tables
    for number, folder in killed_everywhere(tmp_path, requeue, prepare=prepare):
        assert len(list(folder.glob("scores/*/[!.]*"))) <= 1, f"kill {number}: rows stand twice"
        requeue(folder)
        assert visible(folder) == expected, f"kill {number}"


def write_shards(folder: Path) -> None:
    ranks = np.empty(40, object)
    ranks[:] = [[number % 9 + 1] * (number % 5) for number in range(40)]
    split = imdb.Split(ranks, np.array([number % 2 for number in range(40)], np.uint8))
    config = ShardConfig(num_words=10, maxlen=4)
    with files.new_folder(folder / "shards") as temporary:
        shards.write(temporary, shards.splits(split, split, 0.2), config)


def write_bundle(folder: Path) -> None:
    contents = {bundles.METRICS: files.json_bytes({"accuracy": 0.8}), bundles.MODEL: b"weights" * 1000}
    made_of = {"number": 1}
    name = bundles.model_id("gru", made_of)
    facts = {"model_id": name, "cell": "gru", "corpus": "imdb", "made_of": made_of}
    bundles.write_bundle(folder / name, contents, facts)


@pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing a damaged one"])
@pytest.mark.parametrize("work", [write_shards, write_bundle])
def test_a_kill_that_leaves_a_folder_half_written(
    tmp_path: Path, work: Callable[[Path], None], replacing: bool
) -> None:
    work(tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    damaged: dict[str, str] = {}

    def prepare(folder: Path) -> None:
        if replacing:
            work(folder)
            next(path for path in folder.rglob("*") if path.is_file()).write_bytes(b"damaged")
            damaged.update(contents(folder))

    for number, folder in killed_everywhere(tmp_path, work, prepare=prepare):
        found = {name: digest for name, digest in visible(folder).items() if "/." not in f"/{name}"}
        assert found in ({}, expected, damaged), f"kill {number}: half a folder"
        work(folder)
        files.sweep(folder)
        assert contents(folder) == expected, f"kill {number}"


def release_next(folder: Path) -> None:
    """Releases the newer of two models, as a training does at its end."""
    newest = bundles.model_ids(folder)[-1]
    releases.release(folder, newest)


def add_models(folder: Path, count: int) -> list[str]:
    """Writes that many bundles; returns their ids."""
    ids = []
    for number in range(count):
        made_of = {"number": number}
        ids.append(bundles.model_id("gru", made_of))
        facts = {"model_id": ids[-1], "cell": "gru", "corpus": "imdb", "made_of": made_of}
        bundles.write_bundle(folder / ids[-1], {bundles.METRICS: files.json_bytes({"accuracy": 0.8})}, facts)
    return ids


def verdicts(folder: Path) -> list[tuple[str, str]]:
    notes = [json.loads(line) for line in (folder / releases.RELEASES).read_text().splitlines()]
    return [(note["model_id"], note["verdict"]) for note in notes]


def promote_first(folder: Path) -> None:
    releases.promote(folder, bundles.model_ids(folder)[0])


def roll_back(folder: Path) -> None:
    releases.roll_back(folder)


@pytest.mark.parametrize(("work", "place", "verdict"), [(promote_first, 0, "forced"), (roll_back, 1, "rolled back")])
def test_a_kill_in_changing_the_model_that_changes_it_twice(
    tmp_path: Path, work: Callable[[Path], None], place: int, verdict: str
) -> None:
    """The same command again ends with one change, in the state as in the record."""

    def prepare(folder: Path) -> None:
        for model_id in sorted(add_models(folder, 3)):
            releases.release(folder, model_id)

    for number, folder in killed_everywhere(tmp_path, work, prepare=prepare):
        if len(verdicts(folder)) == 3:  # it had not come to its end
            work(folder)
        files.sweep(folder)
        expected = bundles.model_ids(folder)[place]
        assert releases.current_id(folder) == expected, f"kill {number}"
        assert verdicts(folder)[3:] == [(expected, verdict)], f"kill {number}"


def test_a_kill_in_rolling_back_that_the_next_promotion_leaves_out_of_the_record(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        for model_id in sorted(add_models(folder, 3)):
            releases.release(folder, model_id)

    for number, folder in killed_everywhere(tmp_path, roll_back, prepare=prepare):
        first, second, _ = bundles.model_ids(folder)
        rolled_back = releases.current_id(folder) == second
        promote_first(folder)
        assert verdicts(folder)[3:] == [(second, "rolled back")] * rolled_back + [(first, "forced")], f"kill {number}"


def test_a_kill_in_releasing_that_forgets_or_repeats_a_verdict(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        releases.release(folder, min(add_models(folder, 2)))

    for number, folder in killed_everywhere(tmp_path, release_next, prepare=prepare):
        current = releases.current_id(folder)  # readable at any moment
        assert current in bundles.model_ids(folder)
        release_next(folder)
        files.sweep(folder)
        assert [verdict for _, verdict in verdicts(folder)] == ["first", "promoted"], f"kill {number}"
        assert releases.current_id(folder) == bundles.model_ids(folder)[-1]
        assert not [name for name in contents(folder) if "partial" in name]


def test_kills_at_random_moments_of_scoring(tmp_path: Path) -> None:
    path = dump(tmp_path / "d.csv", rows=20_000, bad=40)
    score(path, tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    chance = random.Random(4)
    folder = tmp_path / "killed"
    kills = 0
    for _ in range(RANDOM_KILLS):
        kills += crash.run(score_into, folder, path, seconds=chance.uniform(0.0, 0.3)) == -1
        assert all(digest == expected[name] for name, digest in visible(folder).items())
    assert kills > 0
    score(path, folder)
    files.sweep(folder / "scores")
    files.sweep(folder / "quarantine")
    assert contents(folder) == expected
    (table,) = (folder / "scores").rglob("*.parquet")
    assert pq.read_metadata(table).num_rows == 20_000 - 40
