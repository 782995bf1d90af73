"""Checkpoints: a damaged one is never used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.lib import files
from tasks.lib.config import NetworkConfig
from tasks.lib.network import model
from tasks.lib.network.checkpoint import Checkpoint, Progress


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Checkpoint, Any]:
    """The checkpoint of a network after an epoch, and the same network with other weights."""
    network = model.build(NetworkConfig(embedding_dim=1, units=1), num_words=4, maxlen=2)
    network.compile(optimizer="adam", loss="binary_crossentropy")
    network.optimizer.build(network.trainable_variables)
    checkpoint = Checkpoint(tmp_path / "a.npz")
    checkpoint.save(network, network.get_weights(), Progress({"loss": [0.5]}, best=0.5))
    network.set_weights([weights + 1 for weights in network.get_weights()])
    return checkpoint, network


def test_a_flipped_bit_in_a_checkpoint_that_ends_the_training_or_changes_it(tiny: tuple[Checkpoint, Any]) -> None:
    """Wherever it is: in an array, in a name, or in what the archive says of itself."""
    checkpoint, network = tiny
    whole = checkpoint.path.read_bytes()
    before = files.arrays_digest(network.get_weights())
    for offset in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << offset % 8
        checkpoint.path.write_bytes(flipped)
        assert checkpoint.restore(network) == (None, Progress()), f"byte {offset}"
    assert checkpoint.is_damaged()
    assert files.arrays_digest(network.get_weights()) == before


def test_a_checkpoint_that_is_missing_or_whole_and_called_damaged(tiny: tuple[Checkpoint, Any]) -> None:
    checkpoint, network = tiny
    assert not checkpoint.is_damaged()
    best, progress = checkpoint.restore(network)
    assert progress == Progress({"loss": [0.5]}, best=0.5)
    assert files.arrays_digest(network.get_weights()) == files.arrays_digest(best or [])
    files.remove(checkpoint.path)
    assert not checkpoint.is_damaged()
