"""What a model made of the test reviews: Parquet with one row per review, in the order in which Keras loads them.

Test reviews of one's own have a file by themselves, which says of each row which review it is: they grow in number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lib import arrow, errors
from tasks.lib.models.slices import Facts

REVIEW = "review"


class Predictions(NamedTuple):
    """The label of each test review (0 or 1), the probability that the model gave it, and its facts.

    The files of earlier versions have no facts.
    """

    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    facts: Facts | None = None


class OwnPredictions(NamedTuple):
    """The identity of each test review of one's own, its label, and the probability that the model gave it."""

    identities: npt.NDArray[np.str_]
    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]


def write(path: Path, predictions: Predictions | OwnPredictions) -> None:
    """Writes the columns `label` (uint8), `positive_probability` (float32), and the facts (int32) or `review` (string).

    Every page has a checksum.
    """
    columns = {
        "label": arrow.numbers(predictions.labels, pa.uint8()),
        "positive_probability": arrow.numbers(predictions.probabilities, pa.float32()),
    }
    if isinstance(predictions, OwnPredictions):
        columns |= {REVIEW: arrow.text(predictions.identities.tolist())}
    elif predictions.facts:
        columns |= {name: arrow.numbers(counts, pa.int32()) for name, counts in predictions.facts._asdict().items()}
    pq.write_table(pa.table(columns), path, write_page_checksum=True, write_statistics=False)


def read(path: Path) -> Predictions:
    """The predictions, with their page checksums verified. Raises `ModelError`."""
    with _columns(path) as columns:
        facts = Facts(*(columns[name] for name in Facts._fields)) if len(columns) > 2 else None
        return Predictions(columns["label"], columns["positive_probability"], facts)


def read_own(path: Path) -> OwnPredictions:
    """The predictions for reviews of one's own, in the same way."""
    with _columns(path) as columns:
        identities = np.array(columns[REVIEW], "U64")
        return OwnPredictions(identities, columns["label"], columns["positive_probability"])


@contextmanager
def _columns(path: Path) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The columns of the file; a `ModelError` if it, or one that the block asks for, cannot be read."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
        yield {name: table[name].to_numpy() for name in table.column_names}
    except (OSError, KeyError, pa.ArrowException) as error:
        raise errors.ModelError(
            f"{path}: cannot be read as predictions. Run the training again to repair it."
        ) from error
