"""Killed at every call that changes the disk, what writes single files: each stands as before, or whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.lib import files
from tasks.lib.corpus import sources
from tasks.lib.layout import SAMPLE
from tasks.lib.network.checkpoint import Checkpoint, Progress
from tasks.lib.scores import exports, quarantine
from tests.support import crash, dumps
from tests.support.crash import killed_everywhere
from tests.support.folders import contents, visible


def scored(folder: Path) -> None:
    dumps.score(dumps.write(folder / "d.csv", rows=300, bad=7), folder)


def export(folder: Path) -> None:
    (table,) = (folder / "scores").glob("model=*/*.parquet")
    exports.write(table, folder / "csv" / "d.csv")


def put_back(folder: Path) -> None:
    quarantine.exported(folder / "quarantine")


def provided(folder: Path) -> None:
    shutil.copyfile(SAMPLE / "word_index.json", folder / sources.WORD_INDEX)


def fetch(folder: Path) -> None:
    path = folder / sources.WORD_INDEX
    source = sources.Source(name=path.name, location=str(path), sha256=files.sha256(path))
    sources.fetch(source, folder / "raw")


@pytest.mark.parametrize(
    ("work", "prepare"),
    [(export, scored), (put_back, scored), (fetch, provided)],
    ids=["export", "requeue", "download"],
)
def test_a_kill_that_leaves_half_a_file(
    tmp_path: Path, work: Callable[[Path], None], prepare: Callable[[Path], None]
) -> None:
    (tmp_path / "undisturbed").mkdir()
    prepare(tmp_path / "undisturbed")
    before = contents(tmp_path / "undisturbed")
    work(tmp_path / "undisturbed")
    after = contents(tmp_path / "undisturbed")
    kills = 0
    for number, folder in killed_everywhere(tmp_path, 1, work, prepare=prepare):
        for name, digest in visible(folder).items():
            hidden = "/." in f"/{name}"
            assert hidden or digest in (before.get(name), after.get(name)), f"kill {number}: {name} is half-written"
        work(folder)
        for place in folder.iterdir():
            files.sweep(place)
        assert contents(folder) == after, f"kill {number}"
        kills += 1
    assert kills > 5


class Network:
    """Stands for a network in what a checkpoint asks of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.optimizer = SimpleNamespace(variables=[np.full(2, number)])
        self.non_trainable_variables: list[Any] = []

    def get_weights(self) -> list[Any]:
        return [np.full(3, self.number)]


def save(path: Path, number: int) -> None:
    progress = Progress(history={"loss": [0.5] * number})
    Checkpoint(path).save(Network(number), [np.full(3, number)], progress)


def forked(work: Callable[..., None], *args: Any, fatal: int = 0) -> int:
    """As `crash.run`, from this very process: it has loaded Keras, which would take seconds in each new one."""
    counted = crash.context.Value("i", -1)
    if not (child := os.fork()):
        try:
            crash._run(work, args, fatal, counted)
        except BaseException:  # noqa: BLE001  pytest must not go on in the child
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1:
        raise RuntimeError("it failed otherwise than by the kill")
    return int(counted.value)


def test_a_kill_in_saving_a_checkpoint_that_loses_the_epoch_before(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path / f"{number}.npz", number)
    epochs = [(tmp_path / f"{number}.npz").read_bytes() for number in (1, 2)]
    path = tmp_path / "work" / "fit.checkpoint.npz"
    save(path, 1)
    found = []
    for fatal in range(1, forked(save, tmp_path / "count.npz", 2) + 1):
        path.write_bytes(epochs[0])
        assert forked(save, path, 2, fatal=fatal) == -1
        found.append(path.read_bytes())
        save(path, 2)
        assert path.read_bytes() == epochs[1]
    assert set(found) == set(epochs)
