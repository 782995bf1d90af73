"""Presets: defaults for a purpose, where those of `config` reproduce the text-book example."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from tasks.lib.config import CorpusConfig, FitConfig, NetworkConfig, ShardConfig, StageConfig

Preset = Literal["article", "fast", "best"]
Config = TypeVar("Config", bound=StageConfig)
Settings = dict[type[StageConfig], dict[str, Any]]
FAST: Settings = {
    ShardConfig: {"num_words": 30_000, "maxlen": 400, "validation_split": 0.1},
    NetworkConfig: {
        "cell": "gru",
        "bidirectional": True,
        "embedding_dim": 128,
        "units": 32,
        "pooling": "max_mean",
        "word_dropout": 0.2,
        "vector_dropout": 0.4,
        "head_dropout": 0.5,
        "vectors": True,
        "ngrams": True,
    },
    FitConfig: {
        "epochs": 4,
        "batch_size": 64,
        "batches": "like_length",
        "learning_rate": 0.002,
        "schedule": "cosine",
        "weight_decay": 0.004,
        "gradient_norm": 1.0,
    },
}
PRESETS: dict[str, Settings] = {
    "article": {},
    "fast": FAST,
    "best": {
        CorpusConfig: {"unlabelled": "official"},
        ShardConfig: FAST[ShardConfig],
        NetworkConfig: FAST[NetworkConfig]
        | {"units": 96, "word_dropout": 0.1, "vector_dropout": 0.3, "pretrain_epochs": 3},
        FitConfig: FAST[FitConfig] | {"epochs": 5, "batch_size": 50},
    },
}


def with_preset(
    preset: str, corpus: CorpusConfig, shards: ShardConfig, network: NetworkConfig, fit: FitConfig
) -> tuple[CorpusConfig, ShardConfig, NetworkConfig, FitConfig]:
    """The configurations with the defaults of the preset; what was set stays."""
    return _filled(preset, corpus), _filled(preset, shards), _filled(preset, network), _filled(preset, fit)


def _filled(preset: str, config: Config) -> Config:
    return type(config)(**PRESETS[preset].get(type(config), {}) | config.model_dump(include=config.model_fields_set))
