"""A search: several networks trained, the best one published."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from flows.train import pipeline
from tasks.lib import candidates
from tasks.lib.config import FitConfig, SearchConfig
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.training import caching
from tests.support.training import SMALL, train_small


def steps(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    """Why each step of this name ran, or that it came from the cache."""
    return [line.partition(" ")[2].strip() for line in caplog.messages if line.startswith(f"{name} ")]


def history(data: Layout, model_id: str) -> list[float]:
    """The validation loss of each epoch of a model's training."""
    with (data.models / model_id / "history.csv").open(newline="") as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file)]


def test_a_search_that_looks_at_the_test_reviews_or_forgets_what_it_tried(
    trained: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sentiment")
    fit = FitConfig(epochs=2, device="cpu", batch_size=64)
    train_small(trained.root, fit=fit, search=SearchConfig(search=2))
    assert len(steps(caplog, "fit")) == 2
    assert len(steps(caplog, "evaluate")) == 1
    rows = [line for line in caplog.messages if line.startswith("trial ")]
    losses = [float(line.split("val_loss ")[1].split()[0]) for line in rows]
    assert [line.endswith("best") for line in rows] == [loss == min(losses) for loss in losses]
    assert all("batch_size 64" in line for line in rows)  # a given option stays
    published = {min(history(trained, model_id)) for model_id in bundles.model_ids(trained.models)}
    assert min(losses) in {round(loss, 4) for loss in published}

    caplog.clear()
    train_small(trained.root, fit=fit, search=SearchConfig(search=2))
    assert steps(caplog, "fit") == ["from the cache"] * 2


def test_a_search_that_is_explained_as_if_its_best_were_known(tmp_path: Path) -> None:
    explanation = caching.Explanation(Layout(tmp_path))
    others = candidates.draw(1, SMALL["network"], SMALL["fit"])
    assert pipeline(explanation, **SMALL, others=others) is caching.UNKNOWN
    assert [step.name for step in explanation.done].count("fit") == 2
