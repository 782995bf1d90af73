"""Tables in a bucket: what stands there decides, whatever befell the run or the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.lib import errors, files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores import inbox, tables
from tasks.lib.scores.ledger import Ledger
from tasks.lib.scores.shelves import Bucket as Shelf
from tasks.lib.stores import Store
from tests.support import dumps, faulty
from tests.support.buckets import Bucket

URL = "out/put"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.lib.stores.ATTEMPTS", 2)


@pytest.fixture
def data(tmp_path: Path) -> Layout:
    dumps.write(tmp_path / "d.csv", rows=300, bad=7)
    return Layout(tmp_path / "data", URL)


def shelf(data: Layout, bucket: Bucket, endpoint: str = "") -> Shelf:
    return Shelf(data, Store(bucket.url(f"{URL}/"), endpoint or bucket.endpoint))


@contextmanager
def ledger(data: Layout, bucket: Bucket) -> Iterator[Ledger]:
    with Ledger.open(data, shelf(data, bucket)) as opened:
        yield opened


def look(data: Layout, bucket: Bucket) -> inbox.Dump:
    """What the next run would do with the dump."""
    with ledger(data, bucket) as opened:
        looked = inbox.Looked(opened, opened.look([dumps.MODEL_ID]), ScoreConfig(), dumps.MODEL_ID)
        (found,) = inbox.find([data.root.parent / "d.csv"], looked)
        return found


def publish(data: Layout, bucket: Bucket, endpoint: str = "", *, enter: bool = True) -> str:
    """Scores the dump into the bucket; returns the path of its table."""
    found = look(data, bucket)
    with shelf(data, bucket, endpoint).making(found.table) as room:
        report = scoring.score(found, dumps.model(), ScoreConfig(), room)
    if enter:
        with ledger(data, bucket) as opened:
            opened.enter_tables([report])
    return found.table


def test_tables_in_a_bucket_that_are_not_those_of_a_folder(data: Layout, bucket: Bucket, tmp_path: Path) -> None:
    table = publish(data, bucket)
    dumps.score(tmp_path / "d.csv", tmp_path / "folder")
    expected = Layout(tmp_path / "folder")
    assert bucket.get(f"{URL}/{table}") == (expected.root / table).read_bytes()
    quarantine = f"quarantine/{Path(table).name}"
    assert bucket.get(f"{URL}/{quarantine}") == (expected.root / quarantine).read_bytes()
    assert not list(data.scores.rglob("*.parquet"))
    assert list(data.spool.iterdir()) == []
    assert look(data, bucket).status == "scored"


@pytest.mark.parametrize("enter", [True, False], ids=["a lost ledger", "a kill before the ledger"])
def test_a_table_that_is_made_again_after(data: Layout, bucket: Bucket, enter: bool) -> None:
    table = publish(data, bucket, enter=enter)
    files.remove(data.ledger)
    assert look(data, bucket).status == "scored"
    with ledger(data, bucket) as opened:
        (late,) = opened.unreported()
    assert (late.table, late.rows, late.rows_quarantined) == (table, 300, 7)


def test_a_table_that_is_gone_or_altered_and_counts_as_scored(data: Layout, bucket: Bucket) -> None:
    table = publish(data, bucket)
    whole = bucket.get(f"{URL}/{table}")
    bucket.put(f"{URL}/{table}", whole[:-1])
    assert look(data, bucket).reason.startswith("its table is made again: checksum mismatch")
    bucket.put(f"{URL}/{table}", whole)
    assert look(data, bucket).status == "scored"
    bucket.delete(f"{URL}/quarantine/{Path(table).name}")
    assert "its quarantine" in look(data, bucket).reason
    bucket.delete(f"{URL}/{table}")
    assert (look(data, bucket).status, look(data, bucket).reason) == ("new", "")


def test_no_parquet_in_the_place_of_a_table(data: Layout, bucket: Bucket) -> None:
    table = publish(data, bucket)
    files.remove(data.ledger)
    for content in (b"", b"PAR1", b"no parquet" * 20_000):
        bucket.put(f"{URL}/{table}", content)
        assert "not readable as a score table" in look(data, bucket).reason


def test_a_footer_longer_than_what_is_read_first(data: Layout, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(data, bucket, enter=False)
    monkeypatch.setattr("tasks.lib.scores.shelves.TAIL", 100)
    assert look(data, bucket).status == "scored"


@pytest.mark.parametrize("fault", ["busy", "unheard"])
def test_a_busy_store_that_gets_half_a_table(data: Layout, bucket: Bucket, fault: str) -> None:
    with faulty.between(bucket.endpoint, lambda method, path, number: fault if number == 0 else "") as proxy:
        table = publish(data, bucket, proxy.endpoint)
    assert proxy.done[fault] > 2
    assert look(data, bucket).status == "scored"
    assert len(bucket.keys(f"{URL}/scores/model={dumps.MODEL_ID}/")) == 1
    assert tables.footer(bucket.get(f"{URL}/{table}"))[1] == 293


def test_a_store_that_fails_between_quarantine_and_table(data: Layout, bucket: Bucket) -> None:
    lost = lambda method, path, number: "busy" if method == "PUT" and "/scores/" in path else ""  # noqa: E731
    with (
        faulty.between(bucket.endpoint, lost) as proxy,
        pytest.raises(errors.StoreError, match="cannot be written: slow down"),
    ):
        publish(data, bucket, proxy.endpoint)
    assert bucket.keys(f"{URL}/scores/model") == []
    assert list(data.spool.iterdir()) == []
    assert look(data, bucket).status == "new"
    publish(data, bucket)
    assert look(data, bucket).status == "scored"


def test_what_a_killed_run_wrote_aside_and_stays(data: Layout, bucket: Bucket) -> None:
    bucket.put(f"{URL}/.partial/0123456789abcdef", b"half")
    assert len(shelf(data, bucket).sweep()) == 1
    assert [key for key in bucket.keys(f"{URL}/") if not key.endswith("/")] == []


def test_reports_that_are_on_one_side_alone(data: Layout, bucket: Bucket) -> None:
    files.write(data.reports / "20260101T000000.000000Z.json", b"{}")
    bucket.put(f"{URL}/scores/_reports/20260102T000000.000000Z.json", b"[]")
    for _ in range(2):
        shelf(data, bucket).sync_reports()
        assert {path.name[:8]: path.read_bytes() for path in data.reports.iterdir()} == {
            "20260101": b"{}",
            "20260102": b"[]",
        }
        assert len(bucket.keys(f"{URL}/scores/_reports/")) == 2


def test_a_report_that_costs_a_listing_of_all_reports(data: Layout, bucket: Bucket) -> None:
    report = data.reports / "20260101T000000.000000Z.json"
    for path in (report, report.with_suffix(".png")):
        files.write(path, path.name.encode())
    with faulty.between(bucket.endpoint, lambda method, path, number: "") as proxy:
        shelf(data, bucket, proxy.endpoint).put_report(report)
    assert {method for method, _ in proxy.asked} == {"HEAD", "PUT"}
    found = {key.rpartition("/")[2]: bucket.get(key) for key in bucket.keys(f"{URL}/scores/_reports/")}
    assert found == {path.name: path.read_bytes() for path in data.reports.iterdir()}
