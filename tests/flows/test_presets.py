"""The presets: what they set, and a network with n-grams from its training to its scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.score import score
from flows.train import pipeline, train
from tasks.lib import errors, files
from tasks.lib.config import PRESETS, CorpusConfig, FitConfig, NetworkConfig, ShardConfig, with_preset
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.training import caching
from tests.support.training import SMALL, train_small

SMALLER: dict[str, Any] = {
    "corpus": CorpusConfig(corpus="sample"),
    "shards": ShardConfig(num_words=500, maxlen=30),
    "network": NetworkConfig(embedding_dim=4, units=4),
    "fit": FitConfig(epochs=1, device="cpu"),
}


@pytest.fixture(scope="module")
def fast_once(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    data = Layout(tmp_path_factory.mktemp("fast"))
    train(**SMALLER, preset="fast", data_dir=data.root)
    return data


@pytest.fixture
def fast(fast_once: Layout, tmp_path: Path) -> Layout:
    return Layout(shutil.copytree(fast_once.root, tmp_path / "data"))


def manifest(data: Layout) -> dict[str, Any]:
    return bundles.read_bundle(data.models, releases.current_id(data.models))


def test_an_option_that_the_preset_overrules_or_a_default_that_it_does_not_set(fast: Layout) -> None:
    made_of = manifest(fast)["made_of"]
    assert made_of["network"] | {"units": 4, "embedding_dim": 4} == made_of["network"]
    preset = PRESETS["fast"][NetworkConfig]
    assert {name: made_of["network"][name] for name in preset} == preset | {"units": 4, "embedding_dim": 4}
    assert made_of["fit"]["batches"] == "like_length"
    assert made_of["fit"]["epochs"] == 1
    assert made_of["shard_config"]["validation_split"] == PRESETS["fast"][ShardConfig]["validation_split"]


def test_the_article_that_differs_from_the_defaults() -> None:
    defaults = ShardConfig(), NetworkConfig(), FitConfig()
    assert with_preset("article", *defaults) == defaults


def test_scores_that_differ_from_those_of_the_evaluation(fast: Layout, sample: Path) -> None:
    score(paths=[sample / "reviews-test.csv.gz"], data_dir=fast.root)
    (path,) = fast.scores.glob("model=*/*.parquet")
    table = pd.read_parquet(path)
    metrics = bundles.read_metrics(fast.models, releases.current_id(fast.models))
    assert (table["predicted_label"] == table["sentiment"]).mean() == pytest.approx(metrics["accuracy"], abs=1e-9)
    assert metrics["keras_difference"] < 1e-5
    assert metrics["short_reviews"]["words"] == 20


def test_another_file_of_ngrams_that_is_taken_for_the_models(fast: Layout) -> None:
    bundle = fast.models / releases.current_id(fast.models)
    path, about = bundle / bundles.NGRAMS, bundle / bundles.MANIFEST
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(errors.ModelError, match=r"ngrams\.npz"):
        manifest(fast)
    changed = json.loads(about.read_bytes())
    del changed["sha256"][bundles.NGRAMS]
    changed["seal"] = files.digest({name: value for name, value in changed.items() if name != "seal"})
    about.write_text(json.dumps(changed))
    with pytest.raises(errors.ModelError, match="other n-grams"):
        manifest(fast)


def test_a_step_of_the_preset_that_runs_again(fast: Layout) -> None:
    explanation = caching.Explanation(fast)
    pipeline(explanation, SMALLER["corpus"], *with_preset("fast", *list(SMALLER.values())[1:]))
    assert [step.name for step in explanation.done if step.reason] == []
    assert "vectors" in [step.name for step in explanation.done]


def test_batches_of_like_length_for_a_network_that_reads_the_padding(tmp_path: Path, prefect: None) -> None:
    with pytest.raises(errors.InputError, match="--pooling max"):
        train_small(tmp_path, fit=SMALL["fit"].model_copy(update={"batches": "like_length"}))
