"""What a model made of the test reviews: Parquet with one row per review, in the order in which Keras loads them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lib import arrow, errors


class Predictions(NamedTuple):
    """The label of each test review (0 or 1) and the probability that the model gave it."""

    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]


def write(path: Path, predictions: Predictions) -> None:
    """Writes the columns `label` (uint8) and `positive_probability` (float32), with a checksum on every page."""
    columns = {
        "label": arrow.numbers(predictions.labels, pa.uint8()),
        "positive_probability": arrow.numbers(predictions.probabilities, pa.float32()),
    }
    pq.write_table(pa.table(columns), path, write_page_checksum=True, write_statistics=False)


def read(path: Path) -> Predictions:
    """The predictions, with their page checksums verified. Raises `ModelError`."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
        return Predictions(table["label"].to_numpy(), table["positive_probability"].to_numpy())
    except (OSError, KeyError, pa.ArrowException) as error:
        raise errors.ModelError(
            f"{path}: cannot be read as predictions. Run the training again to repair it."
        ) from error
