"""Reviews without labels: the archive that IMDB's come in, and their words in a file."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.lib import errors, files

# The Large Movie Review Dataset v1.0 of Maas et al. (ACL 2011), 84 MB: Keras's files hold its labelled reviews alone.
ARCHIVE_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
ARCHIVE_SHA256 = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
MEMBERS = re.compile(r"(\./)?aclImdb/train/unsup/[^/]+\.txt")
BROKEN = (tarfile.TarError, EOFError, OSError)  # what tarfile and the unpackers behind it raise on damaged files


class Texts(NamedTuple):
    """Reviews as word ranks (1 = most frequent), one after the other, and the number of words of each."""

    ranks: npt.NDArray[np.integer[Any]]
    lengths: npt.NDArray[np.int64]

    def without(self, others: Texts) -> Texts:
        """These reviews without those that are among the others, word for word."""
        kept = ~self.among(others)
        return Texts(self.ranks[np.repeat(kept, self.lengths)], self.lengths[kept])

    def among(self, others: Texts) -> npt.NDArray[np.bool_]:
        """Which of these reviews are among the others, word for word."""
        known = set(others._reviews())
        return np.array([review in known for review in self._reviews()], bool)

    def _reviews(self) -> Iterator[bytes]:
        words = self.ranks.astype(np.int32)
        ends = np.cumsum(self.lengths)
        return (words[end - size : end].tobytes() for end, size in zip(ends, self.lengths, strict=True))


def joined(*parts: Texts) -> Texts:
    """All reviews of the parts, in their order."""
    return Texts(np.concatenate([part.ranks for part in parts]), np.concatenate([part.lengths for part in parts]))


def is_archive(path: Path) -> bool:
    """Whether the file is a tar archive, packed or not."""
    return tarfile.is_tarfile(path)


def members(path: Path) -> Iterator[str]:
    """The texts of the unlabelled reviews in the official archive, in its order, without unpacking it to disk.

    Raises `InputError` if it is damaged or has none.
    """
    found = 0
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                content: Any = archive.extractfile(member) if MEMBERS.fullmatch(member.name) else None
                if content is not None:
                    found += 1
                    yield content.read().decode(errors="replace")
    except BROKEN as error:
        raise errors.InputError(f"{path.name}: damaged archive ({error}). Get it again.") from error
    if not found:
        raise errors.InputError(
            f"{path.name}: no unlabelled reviews. Expected the members aclImdb/train/unsup/*.txt, as in "
            "aclImdb_v1.tar.gz, or a dump with a review column."
        )


def save(path: Path, texts: Texts) -> None:
    """Writes the texts as .npz."""
    with path.open("wb") as file:
        np.savez(file, **texts._asdict())


def load(path: Path) -> Texts:
    """The texts of an .npz. Raises `InputError` if it cannot be read."""
    try:
        with files.input_errors(path), np.load(path, allow_pickle=False) as arrays:
            return Texts(arrays["ranks"], arrays["lengths"])
    except (ValueError, LookupError) as error:
        raise errors.InputError(f"{path}: damaged. Run the training again to repair it.") from error
