"""The corpus in the form of Keras's imdb.npz: its addresses, a reader that runs no code from it, Keras's order."""

from __future__ import annotations

import gc
import io
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tasks.lib import errors, files

# Addresses and checksums of the files behind `keras.datasets.imdb`.
ARCHIVE_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb.npz"
ARCHIVE_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
WORD_INDEX_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb_word_index.json"
WORD_INDEX_SHA256 = "027313fe9a320280f3bf0fac5baf58c4a683cf39a7ed9c3d3d3912bde4284cf6"

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
SHUFFLE_SEED = 113  # of keras.datasets.imdb.load_data

# What zipfile, zlib and pickle raise on corrupt input.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Split:
    """Reviews as object array of lists of word ranks (1 = most frequent), and their labels (0 or 1, uint8).

    `weights` is how much each counts in training, None if all count the same.
    """

    ranks: npt.NDArray[np.object_]
    labels: npt.NDArray[np.uint8]
    weights: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ranks)

    def __getitem__(self, rows: Any) -> Split:
        return Split(self.ranks[rows], self.labels[rows], None if self.weights is None else self.weights[rows])


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles object arrays of lists of integers; a pickle that names anything else is refused."""

    ALLOWED = frozenset(
        (module, name)
        for core in ("numpy.core.multiarray", "numpy._core.multiarray")
        for module, name in ((core, "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"))
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load(archive: Path) -> tuple[Split, Split]:
    """The training and the test split of an imdb.npz, in Keras's order (`keras.datasets.imdb.load_data`).

    Unlike `np.load(allow_pickle=True)`, reading runs no code from the file. Raises `InputError` if the archive is
    damaged, has other arrays, or holds a pickle that names anything but NumPy arrays.
    """
    try:
        with (
            files.input_errors(archive),
            zipfile.ZipFile(archive) as file,
            ThreadPoolExecutor(1) as unpacking,
            _garbage_collection_off(),
        ):
            contents = unpacking.map(lambda name: file.read(f"{name}.npy"), ARRAYS)  # unpacked one ahead
            x_train, y_train, x_test, y_test = map(_array, contents)
        train, test = _split(x_train, y_train), _split(x_test, y_test)
    except BROKEN as error:
        cause = str(error).strip("'\"") or type(error).__name__
        raise errors.InputError(
            f"{archive.name}: not an archive of reviews in the form of imdb.npz ({cause}). "
            "Expected x_train, y_train, x_test, y_test: lists of word ranks and labels 0 or 1. "
            "Get the official file again, or name another with --archive."
        ) from error
    order = np.random.RandomState(SHUFFLE_SEED)
    return _shuffled(train, order), _shuffled(test, order)


def check(archive: Path) -> None:
    """Raises `InputError` unless the file is a complete archive with the four arrays; their contents are not read."""
    try:
        with zipfile.ZipFile(archive) as file:
            missing = {f"{name}.npy" for name in ARRAYS}.difference(file.namelist())
            damaged = file.testzip()
    except (OSError, *BROKEN) as error:
        raise errors.InputError(f"{archive.name}: not an archive ({error}).") from error
    if missing or damaged:
        raise errors.InputError(f"{archive.name}: {damaged or min(missing)} is damaged or missing.")


@contextmanager
def _garbage_collection_off() -> Iterator[None]:
    """Turns it off for the block: it would walk 50,000 new lists again and again, half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _array(content: bytes) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(stream)
    if dtype.hasobject:
        return cast(npt.NDArray[Any], _ArrayUnpickler(stream).load())
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _split(ranks: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Split:
    if ranks.ndim != 1 or ranks.shape != labels.shape or not len(ranks):
        raise ValueError(f"shapes {ranks.shape} and {labels.shape} instead of one label for each review")
    if not all(type(review) is list for review in ranks):
        raise ValueError("reviews are not lists of word ranks")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels other than 0 and 1")
    return Split(ranks, labels.astype(np.uint8))


def _shuffled(split: Split, order: np.random.RandomState) -> Split:
    indices = np.arange(len(split))
    order.shuffle(indices)
    return split[indices]
