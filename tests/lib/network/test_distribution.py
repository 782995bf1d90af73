"""One training on several devices: the losses of one, the same weights everywhere, and machines that are lost."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tasks.lib import errors
from tasks.lib.network import distribution
from tests.support.machines import NETWORKS, train, train_together

LOSSES = ("loss", "val_loss", "accuracy", "val_accuracy")
WORKERS = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_shares_that_lose_a_row_or_count_one_twice(devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for rows in range(1, 8):
        ids, counted = np.arange(rows), np.zeros(rows)
        for device in range(devices):
            context = SimpleNamespace(replica_id_in_sync_group=device, num_replicas_in_sync=devices)
            monkeypatch.setattr(tf.distribute, "get_replica_context", lambda context=context: context)
            (found, labels), counts = distribution._share((ids, ids + 1))
            assert (labels == found + 1).numpy().all()
            np.add.at(counted, found, counts)
        np.testing.assert_allclose(counted, 1 / rows, rtol=1e-6)


def test_a_mirrored_training_with_other_losses(tmp_path: Path) -> None:
    alone, mirrored = (train(tmp_path / strategy, "article", strategy) for strategy in ("none", "mirrored"))
    for name in LOSSES:
        np.testing.assert_allclose(mirrored[name], alone[name], atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        None,
        "not JSON",
        {},
        {"cluster": WORKERS},
        {"cluster": WORKERS, "task": {"type": "worker", "index": 2}},
        {"cluster": WORKERS | {"ps": ["127.0.0.1:3"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"chief": ["127.0.0.1:1"], **WORKERS}, "task": {"type": "chief", "index": 0}},
    ],
)
def test_a_cluster_that_is_not_one_of_workers(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(errors.InputError, match="expected the environment variable TF_CONFIG to name"):
        distribution.group("multi_worker")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What two machines make of all networks that nothing disturbs."""
    (status, first, error), (other_status, second, other_error) = train_together(
        tmp_path_factory.mktemp("together"), *NETWORKS
    )
    assert (status, other_status) == (0, 0), error + other_error
    return first, second


@pytest.mark.slow
@pytest.mark.parametrize("name", ["article", "pooled"])
def test_two_machines_with_other_losses_than_one(
    together: tuple[dict[str, Any], dict[str, Any]], name: str, tmp_path: Path
) -> None:
    alone = train(tmp_path, name, "none")
    for losses in LOSSES:
        np.testing.assert_allclose(together[0][name][losses], alone[losses], atol=1e-4)


@pytest.mark.slow
def test_two_machines_with_different_weights(together: tuple[dict[str, Any], dict[str, Any]]) -> None:
    first, second = together
    assert [first[name]["weights"] for name in NETWORKS] == [second[name]["weights"] for name in NETWORKS]


@pytest.mark.slow
@pytest.mark.parametrize("task", [0, 1])
def test_a_lost_machine_that_hangs_the_others_or_changes_the_weights(
    together: tuple[dict[str, Any], dict[str, Any]], task: int, tmp_path: Path
) -> None:
    started = time.monotonic()
    lost = train_together(tmp_path, "dropout", kill=f"{task} 2")
    assert time.monotonic() - started < 120
    status, _, error = lost[1 - task]
    assert status == 1
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert "expected all machines of TF_CONFIG to answer" in line
    assert "Traceback" not in error
    resumed = train_together(tmp_path, "dropout")
    assert [status for status, _, _ in resumed] == [0, 0]
    assert {made["dropout"]["weights"] for _, made, _ in resumed} == {together[0]["dropout"]["weights"]}
