"""The training command on two machines: one is killed, and both are started again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tasks.lib.layout import Layout
from tasks.lib.models import releases
from tests.support.commands import TRAIN, Command, check_one_line
from tests.support.machines import cluster

pytestmark = pytest.mark.slow
SHARED = [*TRAIN, "--strategy", "multi_worker"]


def start(folder: Path, *arguments: str) -> list[Command]:
    """The command on two machines, each with a data folder of its own."""
    return [
        Command([*SHARED, *arguments, "--data-dir", str(folder / str(task))], folder / f"home-{task}", where)
        for task, where in enumerate(cluster())
    ]


def test_a_killed_machine_after_which_the_training_does_not_resume(tmp_path: Path) -> None:
    chief, other = start(tmp_path)
    chief.wait_for("epoch 2 of 12")
    other.end(signal.SIGKILL)
    status, seconds = chief.end()
    assert status == 1, chief.output
    assert "expected all machines of TF_CONFIG to answer" in check_one_line(chief.output)
    assert seconds < 60

    chief, other = start(tmp_path)
    statuses = [command.end()[0] for command in (chief, other)]
    assert statuses == [0, 0], chief.output + other.output
    assert "epoch 1 of 12" not in chief.output
    assert "epoch 12 of 12" in chief.output
    assert releases.current_or_none(Layout(tmp_path / "0").models)
    assert not list(Layout(tmp_path / "1").models.glob("*"))
    assert not list(Layout(tmp_path / "1").work.glob("*"))
    assert [command.left_behind() for command in (chief, other)] == [[], []]


def test_machines_with_other_options_that_train_together(tmp_path: Path) -> None:
    where = cluster()
    commands = [
        Command([*SHARED, "--seed", str(task), "--data-dir", str(tmp_path / str(task))], tmp_path / f"home-{task}", env)
        for task, env in enumerate(where)
    ]
    for command in commands:
        assert command.end()[0] == 1, command.output
        assert "found others on task 1 of TF_CONFIG" in check_one_line(command.output)
