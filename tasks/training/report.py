"""What Prefect's UI shows of a training: a report with its plots, and the table of its epochs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.lib import errors
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.running.progress import picture, send
from tasks.training.artifacts import Baseline, Bundle
from tasks.training.caching import Step


def report_training(
    data: Layout,
    bundle: Bundle,
    baseline: Baseline,
    before: str | None,
    verdict: dict[str, str],
    steps: Sequence[Step],
) -> None:
    """The report of a training with its plots, and the table of its epochs. `before` is the model current till then."""
    folder = data.root / bundle.folder
    new = bundles.read_metrics(data.models, bundle.model_id)
    old = _metrics(data.models, before) if before and before != bundle.model_id else {}
    lines = [
        f"# {bundle.model_id}: {verdict['verdict']}",
        f"Why: {verdict['reason']}. Trained on the {bundle.corpus} corpus, on {new['device']}, in "
        f"{new['seconds']:.1f} s: {new['epochs']} epochs, the best was number {new['best_epoch']}. "
        + ("The sample corpus is synthetic: these numbers mean nothing." if bundle.corpus == "sample" else ""),
        "",
        f"| test reviews | this model | {before if old else 'current model before'} | bag of words |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {_number(new.get(name), form)} | {_number(old.get(name), form)} | {other} |"
            for name, form, other in (
                ("accuracy", ".2%", f"{baseline.accuracy:.2%}"),
                ("loss", ".4f", ""),
                ("auc", ".4f", ""),
                ("seconds", ".1f", f"{baseline.seconds:.1f}"),
            )
        ),
        "",
        picture("Loss per epoch", folder / "loss.png"),
        "",
        picture("Evaluation on the test reviews", folder / "evaluation.png"),
        "",
        "| step | result | seconds | why |",
        "| --- | --- | ---: | --- |",
        *(
            f"| {step.name} | {'from the cache' if step.cached else 'made'} | {step.seconds:.1f} | {step.reason} |"
            for step in steps
        ),
    ]
    send(
        create_markdown_artifact,
        key="train-report",
        markdown="\n".join(lines),
        description=f"{bundle.model_id}: test accuracy {new['accuracy']:.2%}, {verdict['verdict']}",
    )
    send(
        create_table_artifact,
        key="train-history",
        table=_rows(folder / "history.csv"),
        description=f"The epochs of {bundle.model_id}",
    )


def _metrics(models: Path, model_id: str) -> dict[str, Any]:
    try:
        return bundles.read_metrics(models, model_id)
    except (OSError, ValueError, errors.PipelineError):
        return {}  # a model that is gone or damaged has no figures to show


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return [
            {name: int(value) if name == "epoch" else round(float(value), 4) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
