"""Scoring one dump: inputs that change while they are read, and networks that give no numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tasks.lib import errors, files, scoring, tables
from tasks.lib.config import ScoreConfig
from tests.lib.test_crashes import MODEL_ID, contents, dump, model

Change = Callable[[Path], None]


def score(path: Path, root: Path, *, at_block: int = 0, change: Change = lambda path: None) -> scoring.Scored:
    """Scores the dump, and lets `change` happen to it after a number of blocks."""
    sha256 = files.sha256(path)
    table = tables.table_path(root / "scores", MODEL_ID, tables.table_name(path.name, sha256))
    blocks = 0

    def on_rows(rows: int) -> None:
        nonlocal blocks
        blocks += 1
        if blocks == at_block:
            change(path)

    return scoring.score(
        path, path.name, sha256, model(), ScoreConfig(), table, root / "quarantine" / table.name, on_rows=on_rows
    )


def grow(path: Path) -> None:
    with path.open("a") as file:
        file.write("999999,one more\n")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(path.read_text().replace("good", "fine"))
    other.replace(path)


def replace_by_the_same(path: Path) -> None:
    """By a file of the same bytes and times: nothing has changed that could matter, but who could tell."""
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def rewrite(path: Path) -> None:
    """In place, with the same size, and the time set back."""
    before = path.stat()
    path.write_text(path.read_text().replace("good", "gaad"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def vanish(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("at_block", [1, 2, 10], ids=["at the start", "on the way", "at the end"])
@pytest.mark.parametrize("change", [grow, shrink, replace, replace_by_the_same, vanish])
def test_an_input_that_changes_while_it_is_read(tmp_path: Path, change: Change, at_block: int) -> None:
    path = dump(tmp_path / "d.csv", rows=20_000, bad=5)
    with pytest.raises(errors.InputError, match=r"d\.csv: changed while it was read"):
        score(path, tmp_path / "data", at_block=at_block, change=change)
    assert contents(tmp_path / "data") == {}
    if path.exists():
        taken_up = score(path, tmp_path / "data")
        assert taken_up.rows == len(path.read_text().splitlines()) - 1


def test_an_input_that_is_rewritten_before_it_is_read(tmp_path: Path) -> None:
    """Its sha256 was taken, then the bytes changed; neither size nor time shows it."""
    path = dump(tmp_path / "d.csv", rows=100, bad=1)
    sha256 = files.sha256(path)
    rewrite(path)
    table = tmp_path / "scores" / "t.parquet"
    with pytest.raises(errors.InputError, match="changed while it was read"):
        scoring.score(path, path.name, sha256, model(), ScoreConfig(), table, tmp_path / "quarantine" / table.name)
    assert not table.exists()


class Sick:
    """A network whose weights have become so large that it gives no number."""

    def __call__(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        return np.full(len(ids), np.nan, np.float32)


def test_a_probability_that_is_no_number(tmp_path: Path) -> None:
    path = dump(tmp_path / "d.csv", rows=10, bad=1)
    table = tmp_path / "scores" / "t.parquet"
    sick = scoring.Model(MODEL_ID, model().encoder, Sick(), 0.5)  # type: ignore[arg-type]
    with pytest.raises(errors.ModelError, match="no numbers"):
        scoring.score(path, path.name, files.sha256(path), sick, ScoreConfig(), table, tmp_path / "q" / table.name)
    assert not list(tmp_path.rglob("*.parquet*"))
