"""Faults that a published table may have, each on a small table, and sound tables of every kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.lib import verification
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores import ledger, proofs, scored, tables
from tasks.lib.verification import Verified
from tests.support import dumps
from tests.support.known_dumps import CASES
from tests.support.tables import alter, flip, put_right, rewrite

ROWS, BAD = 300, 4


@pytest.fixture
def data(tmp_path: Path) -> Layout:
    """A data folder with one table and its quarantine."""
    dumps.score(dumps.write(tmp_path / "d.csv", ROWS, BAD), tmp_path / "data", ScoreConfig(threshold=0.25))
    return Layout(tmp_path / "data")


def table_of(data: Layout) -> Path:
    (path,) = scored.find(data)
    return data.root / path


def quarantine_of(data: Layout) -> Path:
    return data.quarantine / table_of(data).name


def verify(data: Layout, sample: int | None = None) -> Verified:
    paths = scored.find(data)
    return verification.verify(data, dumps.model(), paths, ledger.published(data, paths), sample)


def column(data: Layout, name: str) -> list[Any]:
    values: list[Any] = pq.read_table(table_of(data))[name].to_pylist()
    return values


def change(data: Layout, name: str, at: int, value: object) -> None:
    values = column(data, name)
    values[at] = value
    alter(table_of(data), {name: values})


def a_bit_in_a_page(data: Layout) -> None:
    flip(table_of(data), 40)


def a_bit_in_a_page_of_the_quarantine(data: Layout) -> None:
    flip(quarantine_of(data), 40)


def a_cut(data: Layout) -> None:
    table_of(data).write_bytes(table_of(data).read_bytes()[:-9])


def a_missing_quarantine(data: Layout) -> None:
    quarantine_of(data).unlink()


def a_quarantine_of_fewer_records(data: Layout) -> None:
    rewrite(quarantine_of(data), pq.read_table(quarantine_of(data)).slice(1))


def a_quarantine_of_another_dump(data: Layout) -> None:
    alter(quarantine_of(data), input_sha256="f" * 64)


def another_count_of_rows(data: Layout) -> None:
    alter(table_of(data), rows_in=ROWS + 1)


def a_lost_row(data: Layout) -> None:
    rewrite(table_of(data), pq.read_table(table_of(data)).slice(1))


def a_lost_row_that_the_footer_leaves_out(data: Layout) -> None:
    a_lost_row(data)
    alter(table_of(data), rows_in=ROWS - 1, rows_scored=ROWS - BAD - 1)


def another_count_of_positive_rows(data: Layout) -> None:
    alter(table_of(data), rows_positive=1)


def a_label_that_contradicts(data: Layout) -> None:
    change(data, "predicted_label", 7, {"positive": "negative"}.get(column(data, "predicted_label")[7], "positive"))


def another_threshold(data: Layout) -> None:
    alter(table_of(data), threshold=0.3)


def a_probability_out_of_bounds(data: Layout) -> None:
    change(data, "positive_probability", 7, float("nan"))


def swapped_row_ids(data: Layout) -> None:
    ids = column(data, "row_id")
    alter(table_of(data), {"row_id": [ids[1], ids[0], *ids[2:]]})


def row_ids_of_another_dump(data: Layout) -> None:
    alter(table_of(data), {"row_id": [f"{'0' * 16}{row_id[16:]}" for row_id in column(data, "row_id")]})


def a_line_beyond_the_end(data: Layout) -> None:
    change(data, "source_line", -1, 10_000)


def rows_of_another_model(data: Layout) -> None:
    change(data, "model_id", 7, "gru-000000000001")


def a_folder_of_another_model(data: Layout) -> None:
    table_of(data).parent.rename(tables.folder(data.scores, "gru-000000000001"))


def a_name_of_another_dump(data: Layout) -> None:
    table_of(data).rename(table_of(data).with_name(f"d-{'0' * 16}.parquet"))


def a_null(data: Layout) -> None:
    change(data, "id", 7, None)


def a_changed_probability(data: Layout) -> None:
    """Neither its label nor the histogram shows it."""
    change(data, "positive_probability", 7, column(data, "positive_probability")[7] + 2e-5)


def other_known_tokens(data: Layout) -> None:
    change(data, "known_tokens", 7, 99)


def a_changed_review(data: Layout) -> None:
    reviews = column(data, "review")
    first, *others = ({*review.split()[:-1]} for review in reviews)
    change(data, "review", 0, reviews[1 + next(at for at, words in enumerate(others) if words != first)])


FAULTS: dict[Callable[[Layout], None], str] = {
    a_bit_in_a_page: "damaged: a page or the footer",
    a_bit_in_a_page_of_the_quarantine: "damaged: a page or the footer",
    a_cut: "expected a score table, found a file that is not Parquet or is cut off",
    a_missing_quarantine: r"4 rows were quarantined: expected quarantine/d-\w+\.parquet, found no such file",
    a_quarantine_of_fewer_records: r"reasons in quarantine/d-\w+\.parquet: expected {'too_few_fields': 4}, found {'too",
    a_quarantine_of_another_dump: r"sha256 of the dump in quarantine/d-\w+\.parquet: expected \w+, found f{64}",
    another_count_of_rows: r"rows in = rows scored \+ rows quarantined: expected 301, found 300",
    a_lost_row: "rows: expected 296, found 295",
    a_lost_row_that_the_footer_leaves_out: "row 1: expected the row_id that its place in the dump gives",
    another_count_of_positive_rows: r"positive rows: expected 1, found \d+",
    a_label_that_contradicts: "row 8: expected the label that threshold 0.25 gives",
    another_threshold: r"row \d+: expected the label that threshold 0.3 gives",
    a_probability_out_of_bounds: "row 8: expected a probability from 0 to 1",
    swapped_row_ids: "row 1: expected the row_id that its place in the dump gives",
    row_ids_of_another_dump: "row 1: expected the row_id that its place in the dump gives",
    a_line_beyond_the_end: "row 296: expected a line of the dump's 301",
    rows_of_another_model: "row 8: expected the model_id of the footer",
    a_folder_of_another_model: "its folder: expected model=gru-000000000000, found model=gru-000000000001",
    a_name_of_another_dump: r"the last digits of its name: expected \w{16}, found 0{16}",
    a_null: "expected a value in every column of every row, found a null",
    a_changed_probability: r"1 of 296 rows scored again differ, first \w{16}-8: its model gives 0\.\d+",
    other_known_tokens: r"1 of 296 rows scored again differ, first \w{16}-8: .* with 99\. Remove",
    a_changed_review: r"1 of 296 rows scored again differ, first \w{16}-1: its model gives",
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_a_fault_that_its_own_checksum_hides(data: Layout, spoil: Callable[[Layout], None]) -> None:
    """Whoever altered the table has entered its new checksum in the ledger."""
    spoil(data)
    put_right(data)
    ((path, fault),) = verify(data).faults.items()
    assert fault.startswith(f"{path}: ")
    assert fault.endswith(". Remove it and run flows/score.py on its dump again.")
    assert "\n" not in fault
    assert re.search(FAULTS[spoil], fault), fault


@pytest.mark.parametrize("of", [table_of, quarantine_of])
def test_another_file_than_the_published_one(data: Layout, of: Callable[[Layout], Path]) -> None:
    alter(of(data), note="nobody else would see this")
    (fault,) = verify(data).faults.values()
    assert "as it was published: expected" in fault
    data.ledger.unlink()
    assert verify(data).faults == {}  # nor can anybody, once nothing knows better


def test_a_checksum_that_only_a_report_knows(data: Layout) -> None:
    path = data.relative(table_of(data))
    data.ledger.unlink()
    data.reports.mkdir()
    (data.reports / "1.json").write_text(f'{{"files": [{{"table": "{path}", "table_sha256": "{"a" * 64}"}}]}}')
    (fault,) = verify(data).faults.values()
    assert f"expected {'a' * 64}, found" in fault


def test_a_sound_table_at_fault(data: Layout) -> None:
    everything = verify(data)
    assert everything == Verified(tables=1, rows=ROWS - BAD, quarantined=BAD, scored_again=ROWS - BAD)
    assert verify(data, sample=10).scored_again == 10


@pytest.mark.parametrize("name", CASES)
def test_a_kind_of_dump_whose_table_is_at_fault(tmp_path: Path, name: str) -> None:
    header, parts = CASES[name]
    dump = tmp_path / "reviews.csv"
    dump.write_bytes(header + b"".join(raw for raw, _ in parts))
    dumps.score(dump, tmp_path)
    found = verify(Layout(tmp_path))
    assert (found.faults, found.tables, found.without_reviews) == ({}, 1, 0)


def test_a_table_of_several_batches_at_fault(tmp_path: Path) -> None:
    dumps.score(dumps.write(tmp_path / "d.csv", 20_000, 30), tmp_path)
    assert verify(Layout(tmp_path)) == Verified(tables=1, rows=19_970, quarantined=30, scored_again=19_970)


def test_a_fault_that_is_laid_at_another_tables_door(tmp_path: Path) -> None:
    """Tables of a few rows are scored again together."""
    data = Layout(tmp_path)
    for number in range(40):
        dumps.score(dumps.write(tmp_path / f"{number}.csv", 5, 1, seed=number), tmp_path)
    path = next(path for path in scored.find(data) if Path(path).name.startswith("23-"))
    shown = pq.read_table(tmp_path / path)["known_tokens"].to_pylist()
    alter(tmp_path / path, {"known_tokens": [*shown[:-1], shown[-1] + 1]})
    put_right(data)
    found = verify(data)
    assert list(found.faults) == [path]
    assert (found.tables, found.rows) == (39, 39 * 4)


def sampled(data: Layout, sample: int) -> list[str]:
    (path,) = scored.find(data)
    return [row_id for rows in proofs.check(data, path, {}, sample) for row_id in rows.row_ids]


def test_a_sample_that_is_another_one_each_time(data: Layout) -> None:
    first = sampled(data, 50)
    assert len(set(first)) == 50
    assert sampled(data, 50) == first
    assert set(first) <= set(column(data, "row_id"))
    alter(table_of(data), note="another sha256")
    assert sampled(data, 50) != first


def test_a_changed_probability_in_the_sample_that_is_not_found(data: Layout) -> None:
    """The sample depends on the bytes, so the row is changed until it is in it."""
    probabilities = np.array(column(data, "positive_probability"), np.float32)
    found = []
    for at in range(20):
        changed = probabilities.copy()
        changed[at] += np.float32(2e-5)
        alter(table_of(data), {"positive_probability": changed.tolist()})
        put_right(data)
        chosen = column(data, "row_id")[at] in sampled(data, 100)
        assert bool(verify(data, sample=100).faults) == chosen
        found.append(chosen)
    assert any(found)
    assert not all(found)


def test_a_last_bit_taken_for_a_fault(data: Layout) -> None:
    probabilities = np.array(column(data, "positive_probability"), np.float32)
    alter(table_of(data), {"positive_probability": np.nextafter(probabilities, np.float32(0.5)).tolist()})
    put_right(data)
    assert verify(data).faults == {}


class Company(dumps.Fake):
    """A network whose scores depend on all rows that are scored together."""

    def __call__(self, ids: npt.NDArray[np.int32], ngram_ids: None) -> npt.NDArray[np.float32]:
        return super().__call__(ids, ngram_ids) + np.float32(2e-6 * (ids.sum() % 13))


@pytest.mark.parametrize("sample", [100, None])
def test_a_row_that_depends_on_its_company_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: int | None
) -> None:
    """Blocks of the dump have quarantined records among them, so they are not those in which a table is read."""
    monkeypatch.setattr(dumps, "Fake", Company)
    dumps.score(dumps.write(tmp_path / "d.csv", 7_000, 90), tmp_path)
    data = Layout(tmp_path)
    assert verify(data, sample).faults == {}
    change(data, "positive_probability", 5_000, column(data, "positive_probability")[5_000] + 2e-5)
    put_right(data)
    assert len(verify(data, sample).faults) == 1


def test_a_table_without_reviews_at_fault(tmp_path: Path) -> None:
    dumps.score(dumps.write(tmp_path / "d.csv", ROWS, BAD), tmp_path, ScoreConfig(keep=("id",)))
    data = Layout(tmp_path)
    assert verify(data) == Verified(tables=1, rows=ROWS - BAD, quarantined=BAD, without_reviews=1)
    a_label_that_contradicts(data)
    put_right(data)
    assert len(verify(data).faults) == 1


def test_a_part_that_leaves_out_a_table_or_takes_it_twice() -> None:
    paths = [f"scores/model=gru-000000000000/d-{number:016x}.parquet" for number in range(1000)]
    taken = [path for part in range(1, 31) for path in paths if verification.in_part(path, f"{part}/30", date.today())]
    assert sorted(taken) == paths
    days = [date(2024, 2, 20) + timedelta(days) for days in range(30)]
    nights = [[path for path in paths if verification.in_part(path, "today/30", day)] for day in days]
    assert sorted(chain.from_iterable(nights)) == paths
    assert max(map(len, nights)) < 70


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_sound_table_of_a_dump_without_a_header_line(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"d.{form}"
    reviews = ["good film", "", *(f"bad film {row}" for row in range(3_000))]
    if form == "jsonl":
        path.write_text("".join(f'{{"review": "{review}"}}\n' for review in reviews))
    else:
        pq.write_table(pa.table({"review": reviews}), path)
    dumps.score(path, tmp_path / "data")
    data = Layout(tmp_path / "data")
    found = verify(data)
    assert (found.faults, found.rows, found.quarantined, found.scored_again) == ({}, 3_001, 1, 3_001)
    alter(table_of(data), {"source_line": [0, *column(data, "source_line")[1:]]})
    put_right(data)
    assert "a line after that of the row before it" in next(iter(verify(data).faults.values()))
