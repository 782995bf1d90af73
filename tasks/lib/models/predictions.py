"""What a model made of the test reviews: Parquet with one row per review, in the order in which Keras loads them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lib import arrow, errors
from tasks.lib.models.slices import Facts


class Predictions(NamedTuple):
    """The label of each test review (0 or 1), the probability that the model gave it, and its facts.

    The files of earlier versions have no facts.
    """

    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    facts: Facts | None = None


def write(path: Path, predictions: Predictions) -> None:
    """Writes the columns `label` (uint8), `positive_probability` (float32) and the facts (int32).

    Every page has a checksum.
    """
    columns = {
        "label": arrow.numbers(predictions.labels, pa.uint8()),
        "positive_probability": arrow.numbers(predictions.probabilities, pa.float32()),
    }
    if predictions.facts:
        columns |= {name: arrow.numbers(counts, pa.int32()) for name, counts in predictions.facts._asdict().items()}
    pq.write_table(pa.table(columns), path, write_page_checksum=True, write_statistics=False)


def read(path: Path) -> Predictions:
    """The predictions, with their page checksums verified. Raises `ModelError`."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        facts = Facts(*(columns[name] for name in Facts._fields)) if len(columns) > 2 else None
        return Predictions(columns["label"], columns["positive_probability"], facts)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise errors.ModelError(
            f"{path}: cannot be read as predictions. Run the training again to repair it."
        ) from error
