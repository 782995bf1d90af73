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
from tasks.lib import errors, files, pruning
from tasks.lib.config import (
    CorpusConfig,
    FitConfig,
    NetworkConfig,
    ShardConfig,
    check_reading,
)
from tasks.lib.corpus import sources, unlabelled
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.lib.presets import PRESETS, with_preset
from tasks.training import caching
from tasks.training.download import download_corpus
from tasks.training.unlabelled import read_unlabelled
from tests.support.training import SMALL, train_small

SMALLER: dict[str, Any] = {
    "corpus": CorpusConfig(corpus="sample"),
    "shards": ShardConfig(num_words=500, maxlen=30),
    "network": NetworkConfig(embedding_dim=4, units=4, pretrain_epochs=1),
    "fit": FitConfig(epochs=1, device="cpu"),
}


@pytest.fixture(scope="module")
def best_once(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    data = Layout(tmp_path_factory.mktemp("best"))
    train(**SMALLER, preset="best", data_dir=data.root)
    return data


@pytest.fixture
def best(best_once: Layout, tmp_path: Path) -> Layout:
    return Layout(shutil.copytree(best_once.root, tmp_path / "data"))


def manifest(data: Layout) -> dict[str, Any]:
    return bundles.read_bundle(data.models, releases.current_id(data.models))


def test_an_option_that_the_preset_overrules_or_a_default_that_it_does_not_set(best: Layout) -> None:
    made_of = manifest(best)["made_of"]
    given = {"units": 4, "embedding_dim": 4, "pretrain_epochs": 1}
    preset = PRESETS["best"][NetworkConfig]
    assert {name: made_of["network"][name] for name in preset} == preset | given
    assert made_of["fit"]["batches"] == "like_length"
    assert made_of["fit"]["epochs"] == 1
    assert made_of["shard_config"]["validation_split"] == PRESETS["best"][ShardConfig]["validation_split"]


def test_the_article_that_differs_from_the_defaults() -> None:
    defaults = CorpusConfig(), ShardConfig(), NetworkConfig(), FitConfig()
    assert with_preset("article", *defaults) == defaults


def test_scores_that_differ_from_those_of_the_evaluation(best: Layout, sample: Path) -> None:
    score(paths=[sample / "reviews-test.csv.gz"], data_dir=best.root)
    (path,) = best.scores.glob("model=*/*.parquet")
    table = pd.read_parquet(path)
    metrics = bundles.read_metrics(best.models, releases.current_id(best.models))
    assert (table["predicted_label"] == table["sentiment"]).mean() == pytest.approx(metrics["accuracy"], abs=1e-9)
    assert metrics["keras_difference"] < 1e-5
    assert metrics["short_reviews"]["words"] == 20


def test_another_file_of_ngrams_that_is_taken_for_the_models(best: Layout) -> None:
    bundle = best.models / releases.current_id(best.models)
    path, about = bundle / bundles.NGRAMS, bundle / bundles.MANIFEST
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(errors.ModelError, match=r"ngrams\.npz"):
        manifest(best)
    changed = json.loads(about.read_bytes())
    del changed["sha256"][bundles.NGRAMS]
    changed["seal"] = files.digest({name: value for name, value in changed.items() if name != "seal"})
    about.write_text(json.dumps(changed))
    with pytest.raises(errors.ModelError, match="other n-grams"):
        manifest(best)


def test_a_step_of_the_preset_that_runs_again(best: Layout) -> None:
    explanation = caching.Explanation(best)
    pipeline(explanation, *with_preset("best", *SMALLER.values()))
    assert [step.name for step in explanation.done if step.reason] == []
    assert {"unlabelled", "vectors", "pretrain"} < {step.name for step in explanation.done}


def test_a_model_that_does_not_say_what_it_was_made_from(best: Layout) -> None:
    about = manifest(best)
    assert {"unlabelled", "vectors", "pretrained", "ngrams"} < about["made_of"].keys()
    kept = pruning.used(best, set())
    assert [path.name for path in pruning.unused(best, kept)] == []
    assert (best.models / about["model_id"] / "pretraining.png").is_file()


@pytest.mark.parametrize(
    ("corpus", "network", "says"),
    [
        ({"unlabelled": "official"}, {}, "--unlabelled: expected --vectors"),
        ({}, {"pretrain_epochs": 1, "layers": 2}, "--pretrain-epochs 1: expected --layers 1, found 2"),
    ],
)
def test_reviews_that_nothing_learns_from(corpus: dict[str, Any], network: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.InputError, match=says):
        check_reading(CorpusConfig(**corpus), NetworkConfig(**network))


def test_test_reviews_that_anything_learns_from(tmp_path: Path, sample: Path) -> None:
    corpus = CorpusConfig(corpus="sample", unlabelled=str(sample / "reviews-test.csv.gz"))
    labelled = download_corpus.fn(sources.sources(corpus), tmp_path)
    made = read_unlabelled.fn(labelled, None, sources.unlabelled_source(corpus), tmp_path)
    assert len(unlabelled.load(tmp_path / made.path).lengths) == 0
    others = corpus.model_copy(update={"unlabelled": str(sample / "reviews-damaged.csv")})
    made = read_unlabelled.fn(labelled, None, sources.unlabelled_source(others), tmp_path)
    assert len(unlabelled.load(tmp_path / made.path).lengths) == 115  # of 120, five are damaged


def test_batches_of_like_length_for_a_network_that_reads_the_padding(tmp_path: Path, prefect: None) -> None:
    with pytest.raises(errors.InputError, match="--pooling max"):
        train_small(tmp_path, fit=SMALL["fit"].model_copy(update={"batches": "like_length"}))
