"""Objects through a bad network and a busy store: whole or not at all, and a reason in bounded time."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from tasks.lib import errors, stores
from tasks.lib.stores import Store
from tests.support import faulty, misbehaving
from tests.support.buckets import Bucket

CONTENT = random.Random(0).randbytes(300_000)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PIECE", 100_000)
    monkeypatch.setattr(stores, "ATTEMPTS", 3)
    monkeypatch.setattr(stores, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 3.0)


def at_first(fault: str, method: str) -> faulty.Fault:
    """Something befalls every third request of this kind."""
    return lambda asked, path, number: fault if asked == method and number % 3 == 0 else ""


def always(fault: str, method: str) -> faulty.Fault:
    return lambda asked, path, number: fault if asked == method else ""


@pytest.mark.parametrize(
    ("method", "fault"),
    [("GET", "busy"), ("GET", "cut"), ("GET", "short"), ("GET", "0.3"), ("HEAD", "busy"), ("HEAD", "dropped")],
)
def test_an_object_that_a_bad_network_loses_or_cuts(bucket: Bucket, tmp_path: Path, method: str, fault: str) -> None:
    bucket.put("a.csv", CONTENT)
    with faulty.between(bucket.endpoint, at_first(fault, method)) as proxy:
        store = Store(bucket.url("a.csv"), proxy.endpoint)
        (listed,) = store.objects()
        fetched = store.fetch(listed.size, tmp_path / "a.csv")
    assert proxy.done[fault]
    assert (tmp_path / "a.csv").read_bytes() == CONTENT
    assert fetched.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert fetched.version == f'"{hashlib.md5(CONTENT).hexdigest()}"'


@pytest.mark.parametrize(
    ("method", "fault"),
    [("GET", "short"), ("GET", "busy"), ("HEAD", "dropped"), pytest.param("GET", "30", marks=pytest.mark.slow)],
)
def test_a_store_that_is_down_and_ends_in_no_line(bucket: Bucket, tmp_path: Path, method: str, fault: str) -> None:
    bucket.put("a.csv", CONTENT)
    with faulty.between(bucket.endpoint, always(fault, method)) as proxy:
        started = time.monotonic()
        with pytest.raises(errors.StoreError, match=r"a\.csv: cannot be read: (slow down|network|the store)") as e:
            Store(bucket.url("a.csv"), proxy.endpoint).fetch(len(CONTENT), tmp_path / "a.csv")
    assert time.monotonic() - started < 3 * 3 + 3 + 5
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("use", "done"),
    [
        (lambda store, path: store.objects(), "listed"),
        (lambda store, path: store.check(), "reached"),
        (lambda store, path: store.put(path, store), "written"),
        (lambda store, path: store.versions(store.objects()), "listed"),
        (lambda store, path: store.tail(10), "read"),
        (lambda store, path: store.remove(), "read"),
    ],
)
def test_a_store_that_is_not_there_and_ends_in_a_traceback(
    bucket: Bucket, tmp_path: Path, use: Callable[[Store, Path], object], done: str
) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    with pytest.raises(errors.StoreError, match=f"cannot be {done}: network connection. Mend that and run"):
        use(Store(bucket.url("a.csv"), f"http://127.0.0.1:{misbehaving.closed_port()}"), tmp_path / "a.csv")


def test_an_object_that_is_replaced_while_it_is_read(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.csv", CONTENT)

    def replaced(method: str, path: str, number: int) -> str:
        if method == "GET" and number == 1:  # the first piece was read
            bucket.put("a.csv", CONTENT[::-1])
        return ""

    with (
        faulty.between(bucket.endpoint, replaced) as proxy,
        pytest.raises(errors.InputError, match="changed while it was read"),
    ):
        Store(bucket.url("a.csv"), proxy.endpoint).fetch(len(CONTENT), tmp_path / "a.csv")


def test_an_object_of_another_length_than_was_listed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.csv", CONTENT)
    with pytest.raises(errors.InputError, match=r"changed while it was read \(300,000 of 300,001 bytes\)"):
        Store(bucket.url("a.csv"), bucket.endpoint).fetch(len(CONTENT) + 1, tmp_path / "a.csv")


def test_a_packed_object_that_arrives_unpacked(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.csv.gz", b"\x1f\x8b no gzip")
    Store(bucket.url("a.csv.gz"), bucket.endpoint).fetch(10, tmp_path / "a.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == b"\x1f\x8b no gzip"


@pytest.mark.parametrize(
    ("size", "fault"),
    [(0, "busy"), (10, "dropped"), (10, "unheard"), pytest.param(12_000_000, "unheard", marks=pytest.mark.slow)],
)
def test_an_object_that_is_not_written_whole(bucket: Bucket, tmp_path: Path, size: int, fault: str) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "t").write_bytes(content)
    with faulty.between(bucket.endpoint, at_first(fault, "PUT")) as proxy:
        store = Store(bucket.url(), proxy.endpoint)
        store.child("t").put(tmp_path / "t", store.child("aside"))
    assert proxy.done[fault]
    assert bucket.get("t") == content
    assert bucket.keys() == ["t"]


@pytest.mark.parametrize("size", [10, pytest.param(12_000_000, marks=pytest.mark.slow)])
def test_an_object_that_stands_half_written(bucket: Bucket, tmp_path: Path, size: int) -> None:
    bucket.put("t", b"before")
    (tmp_path / "t").write_bytes(random.Random(size).randbytes(size))
    last = lambda method, path, number: "busy" if method == "PUT" and "partNumber=1" not in path else ""  # noqa: E731
    with (
        faulty.between(bucket.endpoint, last) as proxy,
        pytest.raises(errors.StoreError, match="t: cannot be written"),
    ):
        Store(bucket.url("t"), proxy.endpoint).put(tmp_path / "t", Store(bucket.url("aside"), proxy.endpoint))
    assert bucket.get("t") == b"before"


def test_an_interrupt_that_leaves_half_an_object(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyarrow ends an object with what it got before."""
    monkeypatch.setattr(stores, "DIRECT_BYTES", 100_000)
    (tmp_path / "t").write_bytes(CONTENT)
    store, original = Store(bucket.url(), bucket.endpoint), chain

    def interrupted(*parts: Iterable[bytes]) -> Iterator[bytes]:
        for number, piece in enumerate(original(*parts)):
            if number == 2:
                raise KeyboardInterrupt
            yield piece

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stores, "chain", interrupted)
        store.child("t").put(tmp_path / "t", store.child("aside"))
    assert bucket.keys() == ["aside"]
    store.child("t").put(tmp_path / "t", store.child("aside"))
    assert bucket.get("t") == CONTENT
    assert bucket.keys() == ["t"]


@pytest.mark.parametrize("store_address", ["moto"], indirect=True)  # a request that is altered has no valid signature
def test_a_listing_that_ends_with_its_first_page(bucket: Bucket) -> None:
    for number in range(5):
        bucket.put(f"in/{number}.csv", b"")
    with faulty.between(bucket.endpoint, always("paged", "GET")) as proxy:
        store = Store(bucket.url("in"), proxy.endpoint)
        assert [store.name(one) for one in store.objects()] == [f"{number}.csv" for number in range(5)]
    assert proxy.done["paged"] >= 3


ODD = ["a b.csv", "a+b&c=d.csv", "100%25.csv", "x?y#z.csv", 'it\'s "so".csv', "ümlaut, 日本.csv", "~sub dir/[1].csv"]


def test_a_name_that_another_object_answers_to_or_none(bucket: Bucket, tmp_path: Path) -> None:
    for name in ODD:
        bucket.put(f"in box/{name}", name.encode())
    store = Store(bucket.url("in box/"), bucket.endpoint)
    assert {store.name(one) for one in store.objects()} == set(ODD)
    for one in store.objects():
        name = store.name(one)
        Store(store.url_of(one), bucket.endpoint).fetch(one.size, tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes() == name.encode()
        store.child(f"copy of {name}").put(tmp_path / "fetched", store.child("aside"))
        assert bucket.get(f"in box/copy of {name}") == name.encode()


@pytest.mark.slow
def test_a_listing_of_more_than_a_page(bucket: Bucket) -> None:
    names = [f"{number:04}.csv" for number in range(1_001)]
    for name in names:
        bucket.put(f"in/{name}", b"")
    store = Store(bucket.url("in/"), bucket.endpoint)
    assert [store.name(one) for one in store.objects()] == names


def test_a_missing_object_or_bucket_that_is_nothing_new(bucket: Bucket) -> None:
    with pytest.raises(errors.InputError, match="no such object, and none below it"):
        Store(bucket.url("nowhere"), bucket.endpoint).objects()
    assert Store(bucket.url("empty/"), bucket.endpoint).objects() == []
    for url in ("s3://no-such-bucket/in/", "s3://no-such-bucket", "s3://no-such-bucket/a.csv"):
        with pytest.raises(errors.PipelineError, match="no-such-bucket"):
            Store(url, bucket.endpoint).objects()
