"""Rows that two models scored, against what pandas finds by their row ids."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.lib import errors
from tasks.lib.scores import flips, tables

FIRST, SECOND = "gru-000000000001", "gru-000000000002"


def write(scores: Path, model_id: str, dump: int, ordinals: list[int], group: int = 1000, name: str = "d") -> Path:
    """A score table of made-up labels for these rows of a dump."""
    chance = random.Random(f"{model_id} {dump}")
    sha = f"{dump:016x}"
    columns = {
        "row_id": [f"{sha}-{ordinal}" for ordinal in ordinals],
        "predicted_label": [chance.choice(["positive", "negative"]) for _ in ordinals],
        "review": ["" for _ in ordinals],
    }
    path = tables.folder(scores, model_id) / f"{name}-{sha}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def expected(*paths: Path) -> tuple[int, int]:
    first, second = (pd.read_parquet(path) for path in paths)
    both = first.merge(second, on="row_id")
    return len(both), int((both["predicted_label_x"] != both["predicted_label_y"]).sum())


@pytest.mark.parametrize("seed", range(20))
def test_flips_that_are_counted_wrongly(tmp_path: Path, seed: int) -> None:
    """Either table lacks other rows, which are in quarantine, and they are stored in pieces of other sizes."""
    chance = random.Random(seed)
    rows = sorted(chance.sample(range(1, 10_000), 3000))
    paths = [
        write(tmp_path, model_id, 7, [row for row in rows if chance.random() < share], chance.randrange(1, 900))
        for model_id, share in ((FIRST, chance.random()), (SECOND, 0.9))
    ]
    assert flips.count(tmp_path, FIRST, SECOND) == (1, *expected(*paths))


def test_a_table_in_large_pieces_whose_rest_is_lost(tmp_path: Path) -> None:
    rows = list(range(1, 200_001))
    paths = [write(tmp_path, FIRST, 7, rows, 200_000), write(tmp_path, SECOND, 7, rows, 70_000)]
    found = flips.count(tmp_path, FIRST, SECOND)
    assert found == (1, *expected(*paths))
    assert found.rows == 200_000


def test_rows_of_one_dump_that_are_compared_with_those_of_another(tmp_path: Path) -> None:
    write(tmp_path, FIRST, 1, [1, 2, 3])
    write(tmp_path, SECOND, 2, [1, 2, 3])
    (tables.folder(tmp_path, FIRST) / ".hidden-0000000000000002.parquet").write_bytes(b"half written")
    assert flips.count(tmp_path, FIRST, SECOND) == (0, 0, 0)
    assert flips.count(tmp_path, FIRST, "gru-000000000003") == (0, 0, 0)


def test_a_dump_under_another_name_that_is_passed_over(tmp_path: Path) -> None:
    paths = [write(tmp_path, FIRST, 1, [1, 2, 5]), write(tmp_path, SECOND, 1, [2, 3, 5], name="renamed")]
    more = [write(tmp_path, FIRST, 2, []), write(tmp_path, SECOND, 2, [1])]
    assert expected(*more) == (0, 0)
    assert flips.count(tmp_path, FIRST, SECOND) == (2, *expected(*paths))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"row_id,predicted_label\n"])
def test_a_damaged_table_that_is_counted(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, FIRST, 1, [1, 2])
    write(tmp_path, SECOND, 1, [1, 2]).write_bytes(content)
    with pytest.raises(errors.InputError, match=r"d-0{15}1\.parquet: missing or damaged\. Score its dump again"):
        flips.count(tmp_path, FIRST, SECOND)


def test_moves_that_depend_on_the_pieces_they_come_in() -> None:
    generator = np.random.default_rng(0)
    before, after = (generator.random(10_000, np.float32) for _ in range(2))
    ids = [f"{number}" for number in range(10_000)]
    flipped = (before >= 0.5) != (after >= 0.5)
    moves = flips.Moves()
    for start, end in ((0, 0), (0, 7), (7, 9_000), (9_000, 10_000)):
        moves.add(ids[start:end], before[start:end], after[start:end], flipped[start:end])
    distances = np.abs(after.astype(float) - before)
    farthest = np.argsort(-distances)[:20]
    assert moves.flips == (0, 10_000, flipped.sum())
    assert moves.mean == pytest.approx(distances.mean())
    for share in (0.5, 0.95, 1.0):
        expected = np.percentile(distances, 100 * share, method="inverted_cdf")
        assert moves.percentile(share) == pytest.approx(expected, abs=1e-5)
    assert [row.row_id for row in moves.most] == [ids[at] for at in farthest]


def test_moves_of_no_row_that_are_no_numbers() -> None:
    moves = flips.Moves()
    assert (moves.mean, moves.percentile(0.95), moves.most, str(moves.flips)) == (
        0.0, 0.0, [], "0 of 0 rows that both scored, in 0 dumps",
    )  # fmt: skip
