"""Reviews without labels: from the official archive, and never one of the test reviews."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tasks.lib import errors
from tasks.lib.corpus import unlabelled
from tasks.lib.corpus.unlabelled import Texts


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


def texts(*reviews: list[int]) -> Texts:
    words = [word for review in reviews for word in review]
    return Texts(np.array(words, np.int64), np.array([len(review) for review in reviews]))


def test_a_labelled_or_a_test_review_of_the_archive(tmp_path: Path) -> None:
    members = {
        "aclImdb/test/pos/0_10.txt": b"test",
        "aclImdb/train/neg/0_1.txt": b"labelled",
        "aclImdb/train/unsup/1_0.txt": "né".encode(),
        "aclImdb/train/unsup/0_0.txt": b"bad \xe9 byte",
        "aclImdb/train/unsup/urls.csv": b"no review",
    }
    path = archive(tmp_path / "a.tar.gz", members)
    assert unlabelled.is_archive(path)
    assert list(unlabelled.members(path)) == ["né", "bad \ufffd byte"]


@pytest.mark.parametrize("cut", [60, 200])
def test_an_archive_that_is_cut_and_read_as_complete(tmp_path: Path, cut: int) -> None:
    members = {f"aclImdb/train/unsup/{n}_0.txt": np.random.default_rng(n).bytes(300) for n in range(9)}
    path = archive(tmp_path / "a.tar.gz", members)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(errors.InputError, match=r"a\.tar\.gz: damaged archive"):
        list(unlabelled.members(path))


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", {"readme.txt": b""})
    with pytest.raises(errors.InputError, match="--unlabelled|aclImdb_v1"):
        list(unlabelled.members(path))


def test_a_test_review_among_the_unlabelled_ones() -> None:
    found = texts([1, 2], [3], [1, 2, 3], []).without(texts([1, 2, 3], [2], [3]))
    assert found.ranks.tolist() == [1, 2]
    assert found.lengths.tolist() == [2, 0]


def test_texts_that_change_on_disk(tmp_path: Path) -> None:
    written = texts([5, 6], [], [7])
    unlabelled.save(tmp_path / "a.npz", written)
    read = unlabelled.load(tmp_path / "a.npz")
    assert read.ranks.tolist() == [5, 6, 7]
    assert read.lengths.tolist() == [2, 0, 1]
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(errors.InputError, match="Run the training again"):
        unlabelled.load(tmp_path / "a.npz")
