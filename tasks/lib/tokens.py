"""Token ids as Keras has them for IMDB: special ids, the word index, padding."""

from __future__ import annotations

import json
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.lib import errors, files

PADDING_ID, START_ID, UNKNOWN_ID, INDEX_FROM = 0, 1, 2, 3

Ids = npt.NDArray[np.int32]
Labels = npt.NDArray[np.uint8]


def padded(ranks: npt.NDArray[np.object_], num_words: int, maxlen: int) -> Ids:
    """Token ids (rows, maxlen), int32: what `load_data(num_words)` and `pad_sequences(maxlen)` give.

    rank + 3, id 1 in front, ids of `num_words` and above become 2; the last `maxlen` ids, zeros on the left.
    """
    tails = array("i")  # takes a list of integers in a third of NumPy's time
    for review in ranks:
        tails.fromlist(review[-maxlen:])
    lengths = np.minimum(np.fromiter(map(len, ranks), np.int64, len(ranks)), maxlen)
    flat = np.array(tails, np.int32)
    flat += INDEX_FROM
    flat[(flat >= num_words) | (flat < INDEX_FROM)] = UNKNOWN_ID
    ids = np.zeros((len(ranks), maxlen), np.int32)
    positions = np.arange(maxlen)
    ids[positions >= maxlen - lengths[:, None]] = flat
    starts = maxlen - 1 - lengths
    ids[np.flatnonzero(starts >= 0), starts[starts >= 0]] = START_ID if num_words > START_ID else UNKNOWN_ID
    return ids


def read_word_index(path: Path) -> dict[str, int]:
    """The word index: word -> rank, 1 = most frequent. Raises `InputError` if it is anything else."""
    try:
        with files.input_errors(path):
            content = path.read_bytes()
        index = json.loads(content)
        if not isinstance(index, dict) or not index:
            raise ValueError("no object of words and ranks")
        if not all(type(rank) is int and rank > 0 for rank in index.values()):
            raise ValueError("ranks that are not positive integers")
    except ValueError as error:
        cause = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
        raise errors.InputError(
            f"{path.name}: not a word index ({cause}). Expected a JSON object of words and their ranks, as in "
            "imdb_word_index.json. Name another with --word-index."
        ) from error
    return index
