"""Reading the corpus: the same ids as Keras gives, and no code from a crafted archive."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.lib import errors, tokens
from tasks.lib.corpus import imdb


def write_archive(path: Path, **arrays: Any) -> Path:
    whole = {
        "x_train": reviews([1, 2, 3], [4], []),
        "y_train": np.array([1, 0, 1]),
        "x_test": reviews([5, 6]),
        "y_test": np.array([1]),
    } | arrays
    np.savez(path, **{name: array for name, array in whole.items() if array is not None})
    return path


def reviews(*rows: list[int]) -> Any:
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


def keras_ids(archive: Path, monkeypatch: pytest.MonkeyPatch, num_words: int, maxlen: int) -> list[Any]:
    """Token ids and labels of both splits by Keras itself."""
    import keras
    from keras.src.datasets import imdb as keras_imdb

    monkeypatch.setattr(keras_imdb, "get_file", lambda *args, **kwargs: str(archive))
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=num_words)
    pad = keras.utils.pad_sequences
    return [pad(x_train, maxlen=maxlen), y_train, pad(x_test, maxlen=maxlen), y_test]


@pytest.mark.parametrize(("num_words", "maxlen"), [(10_000, 200), (50, 5), (4, 1)])
def test_ids_that_differ_from_keras(sample: Path, monkeypatch: pytest.MonkeyPatch, num_words: int, maxlen: int) -> None:
    train, test = imdb.load(sample / "corpus.npz")
    ours = [
        tokens.padded(train.ranks, num_words, maxlen),
        train.labels,
        tokens.padded(test.ranks, num_words, maxlen),
        test.labels,
    ]
    theirs = keras_ids(sample / "corpus.npz", monkeypatch, num_words, maxlen)
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_real_ids_that_differ_from_keras(imdb_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = imdb.load(imdb_dir / "imdb.npz")
    x_train, y_train, x_test, y_test = keras_ids(imdb_dir / "imdb.npz", monkeypatch, 10_000, 200)
    np.testing.assert_array_equal(tokens.padded(train.ranks, 10_000, 200), x_train)
    np.testing.assert_array_equal(tokens.padded(test.ranks, 10_000, 200), x_test)
    np.testing.assert_array_equal(train.labels, y_train)
    np.testing.assert_array_equal(test.labels, y_test)


class Crafted:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_an_archive_that_runs_code(tmp_path: Path) -> None:
    array = np.empty(1, object)
    array[0] = Crafted(tmp_path / "owned")
    archive = write_archive(tmp_path / "imdb.npz", x_train=array, y_train=np.array([0]))
    with pytest.raises(errors.InputError, match="not an archive of reviews"):
        imdb.load(archive)
    assert not (tmp_path / "owned").exists()


def test_the_crafted_archive_would_run_code(tmp_path: Path) -> None:
    """Without this, the test above could pass because the archive is harmless."""
    pickle.loads(pickle.dumps(Crafted(tmp_path / "owned")))
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        {"x_test": None},
        {"y_test": np.array([1, 0])},
        {"y_test": np.array([7])},
        {"x_test": np.array([[1, 2]])},
        {"x_test": np.array([3])},
    ],
    ids=["an array is missing", "labels without reviews", "labels of other values", "a matrix", "numbers"],
)
def test_an_archive_of_another_form(tmp_path: Path, arrays: dict[str, Any]) -> None:
    with pytest.raises(errors.InputError, match=r"imdb\.npz: not an archive of reviews"):
        imdb.load(write_archive(tmp_path / "imdb.npz", **arrays))


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_an_archive_cut_short(tmp_path: Path, sample: Path, keep: float) -> None:
    content = (sample / "corpus.npz").read_bytes()
    (tmp_path / "imdb.npz").write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(errors.InputError, match="not an archive of reviews"):
        imdb.load(tmp_path / "imdb.npz")


def test_flipped_bits_in_an_archive_that_load(tmp_path: Path, sample: Path) -> None:
    good = (sample / "corpus.npz").read_bytes()
    with zipfile.ZipFile(sample / "corpus.npz") as archive:
        starts = [entry.header_offset + 200 for entry in archive.infolist()]
    for start in starts:
        bad = bytearray(good)
        bad[start] ^= 4
        (tmp_path / "imdb.npz").write_bytes(bad)
        with pytest.raises(errors.InputError):
            imdb.load(tmp_path / "imdb.npz")
