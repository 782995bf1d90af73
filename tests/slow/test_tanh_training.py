"""Stacked and bidirectional networks with tanh train as by plain Keras; Keras takes seconds to build each."""

from __future__ import annotations

import pytest

from tests.lib.network.test_unrolled import KINDS, assert_same_training, small_chunks  # noqa: F401  a fixture


@pytest.mark.parametrize(("layers", "bidirectional"), [kind for kind in KINDS if kind != (1, False)])
def test_training_with_tanh_goes_another_way_than_by_plain_keras(layers: int, bidirectional: bool) -> None:
    assert_same_training(layers, bidirectional, "tanh")
