"""Killed at every call that changes the disk, and run again: the result is that of an undisturbed run."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.lib import files
from tasks.lib.config import ScoreConfig
from tasks.lib.models import bundles, releases
from tests.support import crash, dumps, models
from tests.support.crash import killed_everywhere
from tests.support.folders import contents, visible, write_bundle, write_shards


def score_into(folder: Path, path: Path, config: ScoreConfig = ScoreConfig()) -> None:
    dumps.score(path, folder, config)


def test_a_kill_in_scoring_that_loses_doubles_or_halves_anything(tmp_path: Path, stride: int) -> None:
    path = dumps.write(tmp_path / "d.csv", rows=5_000, bad=7)
    dumps.score(path, tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    assert len(expected) == 2
    kills = 0
    for number, folder in killed_everywhere(tmp_path, stride, score_into, path):
        for name, digest in visible(folder).items():
            assert digest == expected[name], f"kill {number}: {name} is not the whole one"
        if any(name.startswith("scores") for name in visible(folder)):
            assert visible(folder) == expected, f"kill {number}: a table without its quarantine"
        dumps.score(path, folder)
        files.sweep(folder / "scores")
        files.sweep(folder / "quarantine")
        assert contents(folder) == expected, f"kill {number}"
        kills += 1
    assert kills * stride > 30


def test_a_kill_in_scoring_anew_that_parts_a_table_from_its_quarantine(tmp_path: Path, stride: int) -> None:
    """The second scoring reads with another encoding, so that other rows are quarantined."""
    path = tmp_path / "d.csv"
    path.write_bytes(b"id,review\n" + b"".join(b"%d,caf\xe9 good\n" % row for row in range(50)) + b"50,bad\n")
    anew = ScoreConfig(encoding="cp1252", rescore=True)
    dumps.score(path, tmp_path / "before")
    dumps.score(path, tmp_path / "after", anew)
    before, after = contents(tmp_path / "before"), contents(tmp_path / "after")
    assert (len(before), len(after)) == (2, 1)

    def prepare(folder: Path) -> None:
        dumps.score(path, folder)

    for number, folder in killed_everywhere(tmp_path, stride, score_into, path, anew, prepare=prepare):
        found = visible(folder)
        if any(name.startswith("scores") for name in found):
            assert found in (before, after), f"kill {number}: a table beside the quarantine of another scoring"
        dumps.score(path, folder)  # without `rescore`: as the next scheduled run does it
        files.sweep(folder / "scores")
        files.sweep(folder / "quarantine")
        assert contents(folder) in (before, after), f"kill {number}"


def requeue(folder: Path) -> None:
    dumps.score(folder / f"d-{'0' * 16}-requeued.csv", folder, ScoreConfig(requeue=True))


def test_a_kill_in_requeueing_that_leaves_rows_twice(tmp_path: Path, stride: int) -> None:
    """The repaired dump was scored before, then mended again: its new tables take the place of the old ones."""

    def prepare(folder: Path) -> None:
        for rows in (20, 30):
            dumps.write(folder / f"d-{'0' * 16}-requeued.csv", rows=rows, bad=2)
            if rows == 20:
                requeue(folder)

    (tmp_path / "undisturbed").mkdir()
    prepare(tmp_path / "undisturbed")
    requeue(tmp_path / "undisturbed")
    expected = visible(tmp_path / "undisturbed")
    assert len(expected) == 3  # the repaired dump and its two tables
    for number, folder in killed_everywhere(tmp_path, stride, requeue, prepare=prepare):
        assert len(list(folder.glob("scores/*/[!.]*"))) <= 1, f"kill {number}: rows stand twice"
        requeue(folder)
        assert visible(folder) == expected, f"kill {number}"


@pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing a damaged one"])
@pytest.mark.parametrize("work", [write_shards, write_bundle])
def test_a_kill_that_leaves_a_folder_half_written(
    tmp_path: Path, stride: int, work: Callable[[Path], None], replacing: bool
) -> None:
    work(tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    damaged: dict[str, str] = {}

    def prepare(folder: Path) -> None:
        if replacing:
            work(folder)
            next(path for path in folder.rglob("*") if path.is_file()).write_bytes(b"damaged")
            damaged.update(contents(folder))

    for number, folder in killed_everywhere(tmp_path, stride, work, prepare=prepare):
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
    return [models.add(folder, number, accuracy=0.8) for number in range(count)]


def verdicts(folder: Path) -> list[tuple[str, str]]:
    notes = [json.loads(line) for line in (folder / releases.RELEASES).read_text().splitlines()]
    return [(note["model_id"], note["verdict"]) for note in notes]


def promote_first(folder: Path) -> None:
    releases.promote(folder, bundles.model_ids(folder)[0])


def roll_back(folder: Path) -> None:
    releases.roll_back(folder)


@pytest.mark.parametrize(("work", "place", "verdict"), [(promote_first, 0, "forced"), (roll_back, 1, "rolled back")])
def test_a_kill_in_changing_the_model_that_changes_it_twice(
    tmp_path: Path, stride: int, work: Callable[[Path], None], place: int, verdict: str
) -> None:
    """The same command again ends with one change, in the state as in the record."""

    def prepare(folder: Path) -> None:
        for model_id in sorted(add_models(folder, 3)):
            releases.release(folder, model_id)

    for number, folder in killed_everywhere(tmp_path, stride, work, prepare=prepare):
        if len(verdicts(folder)) == 3:  # it had not come to its end
            work(folder)
        files.sweep(folder)
        expected = bundles.model_ids(folder)[place]
        assert releases.current_id(folder) == expected, f"kill {number}"
        assert verdicts(folder)[3:] == [(expected, verdict)], f"kill {number}"


def test_a_kill_in_rolling_back_that_the_next_promotion_leaves_out_of_the_record(tmp_path: Path, stride: int) -> None:
    def prepare(folder: Path) -> None:
        for model_id in sorted(add_models(folder, 3)):
            releases.release(folder, model_id)

    for number, folder in killed_everywhere(tmp_path, stride, roll_back, prepare=prepare):
        first, second, _ = bundles.model_ids(folder)
        rolled_back = releases.current_id(folder) == second
        promote_first(folder)
        assert verdicts(folder)[3:] == [(second, "rolled back")] * rolled_back + [(first, "forced")], f"kill {number}"


def test_a_kill_in_releasing_that_forgets_or_repeats_a_verdict(tmp_path: Path, stride: int) -> None:
    def prepare(folder: Path) -> None:
        releases.release(folder, min(add_models(folder, 2)))

    for number, folder in killed_everywhere(tmp_path, stride, release_next, prepare=prepare):
        current = releases.current_id(folder)  # readable at any moment
        assert current in bundles.model_ids(folder)
        release_next(folder)
        files.sweep(folder)
        assert [verdict for _, verdict in verdicts(folder)] == ["first", "promoted"], f"kill {number}"
        assert releases.current_id(folder) == bundles.model_ids(folder)[-1]
        assert not [name for name in contents(folder) if "partial" in name]


@pytest.mark.parametrize("tries", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_a_kill_at_a_random_moment_that_loses_doubles_or_halves_anything(tmp_path: Path, tries: int) -> None:
    path = dumps.write(tmp_path / "d.csv", rows=20_000, bad=40)
    dumps.score(path, tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    chance = random.Random(4)
    folder = tmp_path / "killed"
    kills = 0
    for _ in range(tries):
        kills += crash.run(score_into, folder, path, seconds=chance.uniform(0.0, 0.3)) == -1
        assert all(digest == expected[name] for name, digest in visible(folder).items())
    assert kills > 0
    dumps.score(path, folder)
    files.sweep(folder / "scores")
    files.sweep(folder / "quarantine")
    assert contents(folder) == expected
    (table,) = (folder / "scores").rglob("*.parquet")
    assert pq.read_metadata(table).num_rows == 20_000 - 40
