"""The baseline stage: what it must not learn from, and what is said of a model below it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.lib import errors
from tasks.lib.config import SplitConfig
from tasks.lib.corpus import imdb
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.training import report
from tasks.training.artifacts import Corpus
from tasks.training.baseline import evaluate_baseline
from tests.support.training import train_small

COUNT = 40
HALF = SplitConfig(validation_split=0.5)
CORPUS = Corpus(identity="0", corpus="imdb", archive="corpus.npz", word_index="")


def shuffled(rows: list[Any], order: np.random.RandomState) -> Any:
    """An array that gives the rows in their order once the corpus is shuffled as Keras does."""
    places = np.arange(len(rows))
    order.shuffle(places)
    array = np.empty(len(rows), object)
    for place, row in zip(places, rows, strict=True):
        array[place] = row
    return array


@pytest.mark.parametrize("held_back", ["validation", "test"])
def test_reviews_that_are_learned_from_although_held_back(tmp_path: Path, held_back: str) -> None:
    """Each test review has a word of its own, which one training review of its label has, once.

    It counts from two occurrences on, and then it decides: so must those of the held-back reviews not be counted.
    """
    labels = [number % 2 for number in range(COUNT)]
    test = [[1, 10 + number % 20, 10 + number % 20] for number in range(COUNT)]
    validation = test[20:] if held_back == "validation" else [[1]] * 20
    train = [[1, 10 + number] for number in range(20)] + validation
    order = np.random.RandomState(imdb.SHUFFLE_SEED)
    rows = {"x_train": train, "x_test": test}
    places = np.random.RandomState(imdb.SHUFFLE_SEED)
    arrays = {name: shuffled(split, order) for name, split in rows.items()}
    arrays |= {name.replace("x", "y", 1): shuffled(labels, places).astype(int) for name in rows}
    np.savez(tmp_path / CORPUS.archive, **arrays)
    loaded, _ = imdb.load(tmp_path / CORPUS.archive)
    assert (list(loaded.ranks), list(loaded.labels)) == (train, labels)
    assert evaluate_baseline.fn(CORPUS, None, HALF, tmp_path).accuracy == 0.5


def test_a_damaged_archive_without_a_word_of_help(tmp_path: Path) -> None:
    (tmp_path / CORPUS.archive).write_bytes(b"PK")
    with pytest.raises(errors.InputError, match=r"corpus\.npz: not an archive of reviews.*--archive"):
        evaluate_baseline.fn(CORPUS, None, HALF, tmp_path)


def test_a_model_below_the_baseline_whose_report_does_not_say_so(
    trained: Layout, model_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sentiment")
    sent: dict[str, str] = {}
    monkeypatch.setattr(report, "send", lambda _, key, **content: sent.update({key: content.get("markdown", "")}))
    train_small(trained.root)
    metrics = bundles.read_metrics(trained.models, model_id)
    baseline = f"{metrics['baseline_accuracy']:.2%}"
    assert metrics["accuracy"] < metrics["baseline_accuracy"]
    said = f"below the n-gram baseline of {baseline}"
    current = releases.read_current(trained.models)
    assert current is not None
    assert said in current.reason
    assert said in sent["train-report"]
    assert f"| accuracy | {metrics['accuracy']:.2%} |  | {baseline} |" in sent["train-report"]
    lines = [record.getMessage() for record in caplog.records]
    assert f"Baseline accuracy: {baseline} (n-grams, logistic regression)" in lines
    assert f"Verdict: first (there was no current model; {said})" in lines
