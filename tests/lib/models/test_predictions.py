"""The file of predictions: what is written is read, and what is damaged is not."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.lib import errors
from tasks.lib.models import predictions
from tasks.lib.models.slices import Facts

LABELS = np.random.default_rng(0).integers(0, 2, 1000, np.uint8)
PROBABILITIES = np.random.default_rng(1).random(1000, np.float32)
FACTS = Facts(*np.random.default_rng(2).integers(0, 3000, (3, 1000), np.int32))


def written(folder: Path) -> Path:
    path = folder / "predictions.parquet"
    predictions.write(path, predictions.Predictions(LABELS, PROBABILITIES, FACTS))
    return path


def test_predictions_that_are_read_other_than_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path)
    labels, probabilities, facts = predictions.read(path)
    assert labels.dtype == np.uint8
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(probabilities, PROBABILITIES)
    assert facts is not None
    np.testing.assert_array_equal(facts, FACTS)
    schema = pq.read_schema(path)
    assert schema.names == ["label", "positive_probability", "words", "known_words", "negations"]
    assert schema.types == [pa.uint8(), pa.float32(), *[pa.int32()] * 3]


def test_a_file_of_an_earlier_version_that_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    predictions.write(path, predictions.Predictions(LABELS, PROBABILITIES))
    assert pq.read_schema(path).names == ["label", "positive_probability"]
    assert predictions.read(path).facts is None


def test_reviews_of_ones_own_that_come_back_as_others(tmp_path: Path) -> None:
    path = tmp_path / "predictions-own.parquet"
    identities = np.array([f"{number:064x}" for number in range(1000)])
    predictions.write(path, predictions.OwnPredictions(identities, LABELS, PROBABILITIES))
    assert pq.read_schema(path).names == ["label", "positive_probability", "review"]
    found = predictions.read_own(path)
    np.testing.assert_array_equal(found.identities, identities)
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_array_equal(found.probabilities, PROBABILITIES)
    with pytest.raises(errors.ModelError, match="cannot be read as predictions"):
        predictions.read_own(written(tmp_path))


def test_a_flipped_bit_in_a_page_that_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    row_group = pq.read_metadata(path).row_group(0)
    chance = random.Random(3)
    for column in map(row_group.column, range(row_group.num_columns)):
        end = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size
        for _ in range(20):
            content = bytearray(whole)
            content[end - 1 - chance.randrange(40)] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
            with pytest.raises(errors.ModelError, match=r"predictions\.parquet: cannot be read as predictions"):
                predictions.read(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"label,positive_probability\n1,0.5\n"])
def test_another_file_that_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "predictions.parquet").write_bytes(content)
    with pytest.raises(errors.ModelError, match="cannot be read as predictions"):
        predictions.read(tmp_path / "predictions.parquet")


@pytest.mark.parametrize("names", [["label"], ["label", "positive_probability", "words"], ["label", "words"]])
def test_a_table_without_the_columns_that_is_read(tmp_path: Path, names: list[str]) -> None:
    pq.write_table(pq.read_table(written(tmp_path)).select(names), tmp_path / "predictions.parquet")
    with pytest.raises(errors.ModelError, match="cannot be read as predictions"):
        predictions.read(tmp_path / "predictions.parquet")
