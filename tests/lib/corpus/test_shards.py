"""Shards: their names, types, checksums and splits."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.lib import errors
from tasks.lib.corpus import shards
from tests.support.corpora import reviews, stored


def test_shards_with_other_names_types_or_checksums(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "manifest.json", "test-00000-of-00001.parquet", "train-00000-of-00001.parquet",
        "validation-00000-of-00001.parquet",
    ]  # fmt: skip
    schema = pq.read_schema(folder / names[1])
    assert str(schema.field("token_ids").type) == "fixed_size_list<element: int32>[12]"
    assert str(schema.field("label").type) == "uint8"


def test_a_flipped_bit_in_a_page_that_is_read(folder: Path, tmp_path: Path) -> None:
    (path,) = shards.paths(folder, "test")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    bad = tmp_path / path.name
    bad.write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        stored([bad])


@pytest.mark.parametrize("share", [0.99, 0.9999])
def test_a_split_without_a_review(share: float) -> None:
    with pytest.raises(errors.InputError, match="--validation-split"):
        shards.splits(reviews(20), reviews(5), share)
