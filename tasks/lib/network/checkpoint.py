"""The state of a training after its last complete epoch, from which a killed training resumes."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks.lib import files

DIGEST_BYTES = 32
Network = Any  # a compiled keras.Model


@dataclass
class Progress:
    """The state of a training besides weights and optimizer."""

    history: dict[str, list[float]] = field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0
    wait: int = 0
    stopped: bool = False

    @property
    def epochs(self) -> int:
        """The number of completed epochs."""
        return len(self.history.get("loss", []))


class Checkpoint:
    """A file that is replaced in one step after each epoch.

    It is an .npz followed by its sha256: the checksums of an .npz do not cover its directory, where a flipped bit hides
    an array or names an unknown compression.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, model: Network, best_weights: list[Any] | None, progress: Progress) -> None:
        """Writes weights, optimizer variables, the state of dropout, the best weights so far, and `progress`."""
        arrays = {f"weights/{n}": value for n, value in enumerate(model.get_weights())}
        arrays |= {f"optimizer/{n}": np.asarray(v) for n, v in enumerate(model.optimizer.variables)}
        arrays |= {f"seeds/{n}": np.asarray(v) for n, v in enumerate(_seeds(model))}
        arrays |= {f"best/{n}": np.asarray(value) for n, value in enumerate(best_weights or [])}
        arrays["progress"] = np.frombuffer(json.dumps(vars(progress)).encode(), np.uint8)
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        content = stream.getvalue()
        files.write(self.path, content + hashlib.sha256(content).digest())

    def restore(self, model: Network) -> tuple[list[Any] | None, Progress]:
        """Restores weights and optimizer; returns the best weights and the progress.

        A missing or damaged checkpoint gives (None, empty progress) and does not change the model.
        """
        content = self._content()
        if content is None:
            return None, Progress()
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            progress = Progress(**json.loads(arrays["progress"].tobytes()))
            weights, optimizer, seeds, best = (
                [arrays[f"{group}/{n}"] for n in range(_count(arrays, group))]
                for group in ("weights", "optimizer", "seeds", "best")
            )
        model.set_weights(weights)
        for variable, value in zip([*model.optimizer.variables, *_seeds(model)], [*optimizer, *seeds], strict=True):
            variable.assign(value)
        return best or None, progress

    def is_damaged(self) -> bool:
        """Whether there is a checkpoint that cannot be used, so that the training starts from its first epoch."""
        return self.path.exists() and self._content() is None

    def _content(self) -> bytes | None:
        """The bytes of the archive, or None if it is missing or damaged."""
        try:
            stored = self.path.read_bytes()
        except OSError:
            return None
        content, digest = stored[:-DIGEST_BYTES], stored[-DIGEST_BYTES:]
        return content if hashlib.sha256(content).digest() == digest else None


def _seeds(model: Network) -> list[Any]:
    """The states of the random generators of dropout layers, which are no weights."""
    return [variable for variable in model.non_trainable_variables if "seed_generator" in variable.path]


def _count(arrays: Any, group: str) -> int:
    return sum(name.startswith(f"{group}/") for name in arrays.files)
