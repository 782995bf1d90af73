"""Padded token ids and the word index; that the ids are Keras's, tests/lib/corpus/test_imdb.py shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.lib import errors, tokens


def test_an_empty_review_without_a_start_id() -> None:
    np.testing.assert_array_equal(tokens.padded(np.array([[], [7]], object), 100, 3), [[0, 0, 1], [0, 1, 10]])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"a": "b"}', '{"a": 0}', "<html></html>"])
def test_a_word_index_of_another_form(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(errors.InputError, match=r"index\.json: not a word index"):
        tokens.read_word_index(tmp_path / "index.json")


def test_a_word_index_read_otherwise_than_json(sample: Path) -> None:
    path = sample / "word_index.json"
    assert tokens.read_word_index(path) == json.loads(path.read_bytes())
