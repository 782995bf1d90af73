"""Which objects of a bucket are read again, and what finding that out asks of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores import inbox
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.ledger import Ledger
from tasks.lib.scores.shelves import Bucket as Shelf
from tasks.lib.stores import Store
from tests.support import faulty
from tests.support.buckets import Bucket
from tests.support.faulty import Proxy

MODEL = "gru-000000000000"


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    """The store, with a count of what it is asked for."""
    with faulty.between(bucket.endpoint, lambda method, path, number: "") as proxy:
        yield proxy


def find(
    proxy: Proxy, bucket: Bucket, root: Path, *, place: str = "in", read: bool = True, **options: float
) -> list[Dump]:
    """What there is in the bucket; new objects are read, as a run reads them."""
    with Ledger.open(Layout(root)) as ledger:
        looked = inbox.Looked(ledger, ledger.look([MODEL]), ScoreConfig(**options), MODEL)
        found = list(inbox.find([Store(bucket.url(place), proxy.endpoint)], looked))
        for dump in found:
            if read and dump.status == "new" and not dump.sha256:
                inbox.enter([(dump, Store(dump.path, proxy.endpoint).fetch(dump.size, root / "spooled"))], looked)
        return found


def unread(found: list[Dump]) -> list[str]:
    return [dump.name for dump in found if dump.status == "new" and not dump.sha256]


def test_what_is_listed_and_scored_though_it_is_hidden_or_no_dump(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> None:
    for key in (
        "in/a.csv",
        "in/sub/b.TSV.gz",
        "in/.c.csv",
        "in/.sub/d.csv",
        "in/notes.txt",
        "other/e.csv",
        "in/x?y.csv",
    ):
        bucket.put(key, key.encode())
    bucket.put("in/folder/", b"")
    assert {dump.name: dump.status for dump in find(proxy, bucket, tmp_path)} == {
        "a.csv": "new",
        "notes.txt": "not a dump",
        "sub/b.TSV.gz": "new",
        "x?y.csv": "new",
    }
    assert [dump.status for dump in find(proxy, bucket, tmp_path, place="in/notes.txt")] == ["unreadable"]
    assert [dump.name for dump in find(proxy, bucket, tmp_path, place="in/a.csv")] == ["a.csv"]


def test_a_table_in_the_bucket_that_is_scored(bucket: Bucket, tmp_path: Path) -> None:
    for key in ("a.csv", "out/scores/_csv/a.csv", "out/quarantine/a-requeued.csv", "out/b.csv", "scores/c.csv"):
        bucket.put(key, key.encode())
    data = Layout(tmp_path, bucket.url("out"))
    with Ledger.open(data, Shelf(data, Store(bucket.url("out/"), bucket.endpoint))) as ledger:
        looked = inbox.Looked(ledger, ledger.look([MODEL]), ScoreConfig(), MODEL)
        whole, named = (
            {dump.name for dump in inbox.find([Store(bucket.url(place), bucket.endpoint)], looked)}
            for place in ("", "out/quarantine")
        )
    assert whole == {"a.csv", "out/b.csv", "scores/c.csv"}
    assert named == {"a-requeued.csv"}


def test_an_object_that_is_read_twice(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> None:
    bucket.put("in/a.csv", b"review\nfine\n")
    assert unread(find(proxy, bucket, tmp_path)) == ["a.csv"]
    assert unread(find(proxy, bucket, tmp_path)) == []


def test_an_object_replaced_within_the_second_that_is_taken_for_the_one_before(
    bucket: Bucket, proxy: Proxy, tmp_path: Path
) -> None:
    bucket.put("in/a.csv", b"review\nfine\n")
    find(proxy, bucket, tmp_path)
    bucket.put("in/a.csv", b"review\nevil\n")
    assert unread(find(proxy, bucket, tmp_path)) == ["a.csv"]


def test_an_object_that_has_settled_and_costs_a_request_each_run(
    bucket: Bucket, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in/a.csv", b"review\nfine\n")
    find(proxy, bucket, tmp_path)
    monkeypatch.setattr("tasks.lib.stores.SETTLED_SECONDS", -100)
    asked = []
    for _ in range(2):
        proxy.done.clear()
        assert unread(find(proxy, bucket, tmp_path)) == []
        asked.append(proxy.done.total())
    assert asked[1] == asked[0] - 1


def test_an_object_that_is_gone_and_stays_in_the_ledger(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> None:
    bucket.put("in/a.csv", b"review\nfine\n")
    find(proxy, bucket, tmp_path)
    bucket.delete("in/a.csv")
    find(proxy, bucket, tmp_path, place="in/")
    with Ledger.open(Layout(tmp_path)) as ledger:
        assert not list(ledger.known_files(bucket.url("in").encode()))


def test_an_object_that_is_too_new(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> None:
    bucket.put("in/a.csv", b"review\nfine\n")
    (dump,) = find(proxy, bucket, tmp_path, min_age=60)
    assert dump.status == "too new"
