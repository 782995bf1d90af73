"""Files of labels in a bucket: which are copied, how often, and which copies stay."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tasks.lib import errors, files
from tasks.lib.labels import answers, copies
from tasks.lib.stores import Store
from tests.support import faulty
from tests.support.buckets import Bucket


def fetched(bucket: Bucket, folder: Path, endpoint: str = "") -> dict[str, bytes]:
    found = copies.fetch(Store(bucket.url("labels/"), endpoint or bucket.endpoint), folder)
    return {path.name: path.read_bytes() for path in found}


def test_a_file_that_counts_in_a_bucket_and_not_in_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("a.csv", "b, c.jsonl", ".hidden.csv", "notes.txt", "quarantine/a.csv"):
        bucket.put(f"labels/{name}", name.encode())
    assert fetched(bucket, tmp_path) == {"a.csv": b"a.csv", "b, c.jsonl": b"b, c.jsonl"}
    (folder, _) = (tmp_path / copies.FOLDER).iterdir()
    assert stat.S_IMODE(next(folder.iterdir()).stat().st_mode) == 0o600
    assert answers.paths(tmp_path) == []


def test_a_file_that_is_read_again_or_a_new_version_that_is_not(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("labels/a.csv", b"before")
    reads = lambda method, path, number: "busy" if method == "GET" and path.endswith("/a.csv") else ""  # noqa: E731
    assert fetched(bucket, tmp_path) == {"a.csv": b"before"}
    with faulty.between(bucket.endpoint, reads) as proxy:
        assert fetched(bucket, tmp_path, proxy.endpoint) == {"a.csv": b"before"}
        assert not proxy.done["busy"]
    bucket.put("labels/a.csv", b"behind")  # as large, within the same second
    assert fetched(bucket, tmp_path) == {"a.csv": b"behind"}


def test_a_file_that_changes_while_it_is_read(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("labels/a.csv", b"before")

    def replaced(method: str, path: str, number: int) -> str:
        if method == "GET" and path.endswith("/a.csv"):
            bucket.put("labels/a.csv", b"behind")
        return ""

    with faulty.between(bucket.endpoint, replaced) as proxy, pytest.raises(errors.InputError, match="changed while"):
        fetched(bucket, tmp_path, proxy.endpoint)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_copy_that_stays_for_ever_or_is_taken_from_another_training(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("labels/a.csv", b"a")
    fetched(bucket, tmp_path)
    bucket.delete("labels/a.csv")
    assert fetched(bucket, tmp_path) == {}
    (folder,) = (tmp_path / copies.FOLDER).iterdir()
    os.utime(folder, (0, 0))
    fetched(bucket, tmp_path)
    assert not folder.exists()


def test_a_copy_whose_age_is_not_that_of_the_object(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_bytes(b"old")
    os.utime(tmp_path / "old.csv", (0, 0))
    bucket.put("labels/b.csv", b"b")
    (tmp_path / "new.csv").write_bytes(b"new")
    os.utime(tmp_path / "new.csv", (1e10, 1e10))
    found = answers.find(tmp_path, "review", copies.fetch(Store(bucket.url("labels/"), bucket.endpoint), tmp_path))
    assert found
    assert [Path(one.name).name for one in found.files] == ["old.csv", "b.csv", "new.csv"]
    assert [one.sha256 for one in found.files] == [files.sha256(tmp_path / one.name) for one in found.files]
