"""Configurations drawn at random, for a search.

Random draws beat a grid where few options matter: Bergstra and Bengio, "Random Search for Hyper-Parameter
Optimization" (JMLR 2012).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tasks.lib.config import FitConfig, NetworkConfig, StageConfig

Config = TypeVar("Config", bound=StageConfig)
Draw = Callable[[np.random.Generator], Any]


class Candidate(NamedTuple):
    """A configuration to try."""

    network: NetworkConfig
    fit: FitConfig


def _between(low: float, high: float) -> Draw:
    return lambda random: round(float(random.uniform(low, high)), 2)


def _one_of(*values: Any) -> Draw:
    return lambda random: values[random.integers(len(values))]


def _learning_rate(random: np.random.Generator) -> float:
    return float(f"{np.exp(random.uniform(np.log(5e-4), np.log(5e-3))):.2g}")  # even on a logarithmic scale


NETWORK: dict[str, Draw] = {
    "units": _one_of(16, 32, 64, 96),
    "word_dropout": _between(0, 0.3),
    "vector_dropout": _between(0, 0.5),
    "head_dropout": _between(0, 0.6),
}
FIT: dict[str, Draw] = {
    "learning_rate": _learning_rate,
    "batch_size": _one_of(32, 64, 128),
    "weight_decay": _one_of(0.0, 0.004, 0.02),
}


def draw(count: int, network: NetworkConfig, fit: FitConfig, given: Collection[str] = ()) -> list[Candidate]:
    """So many candidates around a configuration, the same ones each time.

    The options named in `given` stay as they are, and so do the units of a network that is pre-trained, which would
    have to be pre-trained again for each.
    """
    fixed = {*given} | ({"units"} if network.pretrain_epochs else set())
    found = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        drawn = {name: value(random) for name, value in (NETWORK | FIT).items()}  # all: what is given shifts no other
        changes = {name: value for name, value in drawn.items() if name not in fixed}
        found.append(Candidate(_changed(network, changes), _changed(fit, changes)))
    return found


def _changed(config: Config, changes: dict[str, Any]) -> Config:
    return config.model_copy(update={name: changes[name] for name in type(config).model_fields if name in changes})
