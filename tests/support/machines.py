"""A training by several processes, each a machine of its own with one CPU.

As a program it trains `NETWORKS[name]` in its folder and prints what came of it; a task may end itself after an epoch.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.lib import errors, files
from tasks.lib.config import FitConfig, NetworkConfig
from tasks.lib.corpus import dataset, shards
from tasks.lib.network.checkpoint import Checkpoint
from tasks.running import environment
from tests.support.corpora import CONFIG, reviews

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300
# Of 320 reviews, so that the last batch is smaller, and odd.
NETWORKS = {
    "article": (NetworkConfig(embedding_dim=4, units=3), FitConfig(epochs=3, batch_size=63)),
    "pooled": (
        NetworkConfig(cell="gru", bidirectional=True, embedding_dim=4, units=3, pooling="max_mean"),
        FitConfig(epochs=2, batch_size=63, batches="like_length", schedule="cosine", weight_decay=0.01,
                  gradient_norm=0.1, learning_rate=0.01),
    ),
    "dropout": (NetworkConfig(embedding_dim=4, units=3, head_dropout=0.3), FitConfig(epochs=3, batch_size=63)),
}  # fmt: skip


def cluster(count: int = 2) -> list[dict[str, str]]:
    """The environment of each machine, on free ports of 127.0.0.1."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    workers = ["{}:{}".format(*server.getsockname()) for server in sockets]
    for server in sockets:
        server.close()
    return [
        {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": number}})}
        for number in range(count)
    ]


def train_together(folder: Path, *names: str, kill: str = "none") -> list[tuple[int, dict[str, Any], str]]:
    """Trains these networks on two machines: of each its exit status, what it printed, and its errors.

    `kill` is "1 2" if task 1 ends after its second epoch.
    """
    running = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder / str(number)), kill, *names],
            cwd=ROOT, env=os.environ | where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number, where in enumerate(cluster())
    ]  # fmt: skip
    ended = []
    for process in running:
        output, error = process.communicate(timeout=SECONDS)
        ended.append((process.returncode, json.loads(output or "{}"), error))
    return ended


def train(folder: Path, name: str, strategy: str, kill: str = "none") -> dict[str, Any]:
    """Trains a network of `NETWORKS` in this process: the history, and the digest of the weights."""
    from tasks.lib.network import distribution, model

    network, config = NETWORKS[name]
    whole = folder / "shards"
    if not whole.exists():
        whole.mkdir(parents=True)
        shards.write(whole, shards.splits(reviews(400), reviews(100), 0.2), CONFIG)
    group = distribution.group(strategy)
    model.set_seed(config.seed if group is None or group.chief else 99)  # the chief says where all start from
    with distribution.scope(group):
        built = model.build(network, CONFIG.num_words, CONFIG.maxlen, training=True)

    def datasets(first_epoch: int) -> Any:
        options: dict[str, Any] = {"shuffle_seed": config.seed, "first_epoch": first_epoch}
        options["like_length"] = config.batches == "like_length"
        training = dataset.batches(whole, "train", config.batch_size, **options)
        return training, dataset.batches(whole, "validation", config.batch_size)

    def end_itself(epoch: int, logs: model.Logs) -> None:
        if f"{json.loads(os.environ.get('TF_CONFIG', 'null'))['task']['index']} {epoch}" == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    run = model.fit(
        built, datasets, config, Checkpoint(folder / f"{name}.npz"), group=group,
        on_epoch=end_itself if kill != "none" else lambda epoch, logs: None,
    )  # fmt: skip
    return run.history | {"weights": files.arrays_digest(built.get_weights())}


if __name__ == "__main__":
    environment.prepare(command_line=False)
    try:
        made = {name: train(Path(sys.argv[1]), name, "multi_worker", sys.argv[2]) for name in sys.argv[3:]}
    except errors.PipelineError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(made))
