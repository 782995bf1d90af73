"""Records: what a task returns. A few facts, its configuration, and its files with their sha256."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.lib import files, pruning
from tasks.lib.config import FitConfig, NetworkConfig, ShardConfig
from tasks.lib.layout import Layout
from tasks.lib.profiles import Profile


class Record(BaseModel):
    """The base of all records.

    `identity` is the digest of what was made and of its configuration: a step that takes this record runs again only
    when it changes. `made_files` maps paths relative to the data folder to the sha256 of their bytes. `seal` is the
    digest of all other fields, so that a record altered on disk does not count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    made_files: dict[str, str] = Field(default_factory=dict)
    seal: str = ""

    @model_validator(mode="after")
    def _check_seal(self) -> Self:
        expected = files.digest(self.model_dump(mode="json", exclude={"seal"}))
        if not self.seal:
            object.__setattr__(self, "seal", expected)
        elif self.seal != expected:
            raise ValueError("the record does not match its seal")
        return self

    def damage(self, root: Path) -> str | None:
        """What is wrong with the record's files below `root`, or None if every one has its sha256."""
        for name, expected in self.made_files.items():
            path = root / name
            if not path.is_file():
                return f"{name} is missing"
            try:
                found = files.sha256(path)
            except OSError as error:
                return f"{name} cannot be read ({error.strerror or error})"
            if found != expected:
                return f"{name} is damaged (its sha256 is not the recorded one)"
        return None


class Corpus(Record):
    """A labelled corpus and its word index, as downloaded."""

    corpus: str
    archive: str
    word_index: str


class Shards(Record):
    """Parquet shards of padded token ids; `manifest` is the sha256 of theirs."""

    corpus: str
    config: ShardConfig
    folder: str
    manifest: str


class Fitted(Record):
    """A trained network; `weights` is their digest."""

    corpus: str
    network: NetworkConfig
    config: FitConfig
    weights: str
    model: str
    history: dict[str, list[float]]
    best_epoch: int
    stopped_early: bool
    seconds: float
    device: str
    cudnn: bool
    parameters: int


class Unlabelled(Record):
    """Reviews without labels, as ranks of words."""

    path: str


class Labels(Record):
    """Labelled reviews of one's own, as ranks of words.

    `learned` of them are for training or validation, the others only test; `conflicts` had two labels.
    """

    path: str
    reviews: int
    learned: int
    conflicts: int


class Start(Record):
    """What a training starts from: the weights of the network's first layers."""

    path: str

    def weights(self, root: Path) -> list[npt.NDArray[np.float32]]:
        """The arrays of the .npz, in the order of the layers."""
        with np.load(root / self.path, allow_pickle=False) as arrays:
            return [arrays[name] for name in arrays.files]


class Pretrained(Start):
    """The network's first layers after it learned to predict words; `history` has the loss of each epoch."""

    history: dict[str, list[float]]


class Baseline(Record):
    """The n-gram baseline, and how well it does on the test reviews."""

    vocabulary: str
    weights: str
    accuracy: float
    seconds: float


class Calibrated(Record):
    """The network that is published: calibrated, with its n-grams if it has some.

    `weights` is the digest of its weights, `ngrams` the file of its n-grams or "". Its logits are those of the fitted
    network over `temperature`, plus `ngram_scale` times those of the baseline. `reference` is the profile of the
    validation reviews.
    """

    model: str
    weights: str
    ngrams: str
    temperature: float
    ngram_scale: float
    reference: Profile


class Evaluation(Record):
    """Metrics on the test reviews, the file of their predictions, and the curves that the evaluation plot shows.

    `own_predictions` is the file of those of one's own test reviews, or "".
    """

    predictions: str
    own_predictions: str
    metrics: dict[str, Any]
    curves: dict[str, list[float]]


class Plots(Record):
    """The rendered plots: the files that were made."""


class Bundle(Record):
    """A published model bundle, with what its metrics.json says."""

    model_id: str
    folder: str
    corpus: str
    metrics: dict[str, Any]
    baseline_seconds: float


def unused_results(data: Layout, used: set[str]) -> list[Path]:
    """Prefect's results of steps whose record names a file that is not in use, or cannot be read as one.

    Raises `InputError` if the disk does not give them.
    """
    results = [path for path in sorted(data.cache.glob("[!.]*")) if path.is_file()]
    return [
        path
        for path in results
        if not all(data.is_label(name) or pruning.is_used(name, used) for name in _made_files(path))
    ]


def _made_files(result: Path) -> list[str]:
    """The files of the record that Prefect stored; "" if it is damaged, which no used path starts with."""
    try:
        with files.input_errors(result):
            return list(json.loads(json.loads(result.read_bytes())["result"])["data"]["made_files"])
    except (ValueError, KeyError, TypeError):
        return [""]
