"""The results of a training: lines in the log, and in Prefect's UI a report and the table of its epochs."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.lib import errors
from tasks.lib.labels import answers, asked
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.running import environment
from tasks.running.progress import picture, send
from tasks.training.artifacts import Bundle
from tasks.training.caching import Step

log = logging.getLogger(environment.LOGGER)

SYNTHETIC = "The sample corpus is synthetic: these numbers mean nothing."


def log_training(data: Layout, bundle: Bundle, before: str | None, verdict: dict[str, str]) -> None:
    """Logs the results and where they are. `before` is the model current until then."""
    folder = data.root / bundle.folder
    log.info("Test accuracy: %.2f%%", 100 * bundle.metrics["accuracy"])
    log.info("Test loss: %.4f", bundle.metrics["loss"])
    log.info("Baseline accuracy: %.2f%% (n-grams, logistic regression)", 100 * bundle.metrics["baseline_accuracy"])
    if own := bundle.metrics.get("own"):
        log.info("Own test reviews: %.2f%% of %s", 100 * own["accuracy"], f"{own['reviews']:,}")
    if said := _what_people_say(data, before or bundle.model_id):
        log.info(said)
    if bundle.corpus == "sample":
        log.info(SYNTHETIC)
    log.info("Verdict: %s (%s)", verdict["verdict"], verdict["reason"])
    log.info("Model: %s", folder)
    for path in _plots(data, bundle):
        log.info("%s plot: %s", path.stem.capitalize(), path)


def report_training(
    data: Layout, bundle: Bundle, before: str | None, verdict: dict[str, str], steps: Sequence[Step]
) -> None:
    """Sends the report with its plots, and the table of the epochs. `before` is the model current until then."""
    folder, new = data.root / bundle.folder, bundle.metrics
    old = _metrics(data.models, before) if before and before != bundle.model_id else {}
    said = _what_people_say(data, before or bundle.model_id)
    lines = [
        f"# {bundle.model_id}: {verdict['verdict']}",
        f"Reason: {verdict['reason']}. Trained on the {bundle.corpus} corpus, on {new['device']}, in "
        f"{new['seconds']:.1f} s: {new['epochs']} epochs, the best was number {new['best_epoch']}. "
        + (SYNTHETIC if bundle.corpus == "sample" else ""),
        *([f"{said}."] if said else []),
        *(f"{name} in data/labels is left out: {advice}." for name, advice in answers.refused(data.labels).items()),
        "",
        f"| test reviews | this model | {before if old else 'current model before'} | n-gram baseline |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {_number(new.get(name), form)} | {_number(old.get(name), form)} | {other} |"
            for name, form, other in (
                ("accuracy", ".2%", f"{new['baseline_accuracy']:.2%}"),
                ("loss", ".4f", ""),
                ("auc", ".4f", ""),
                ("calibration_error", ".4f", ""),
                ("seconds", ".1f", f"{bundle.baseline_seconds:.1f}"),
            )
        ),
        *_own_rows(new.get("own", {}), old.get("own", {})),
        "",
        *(line for path in _plots(data, bundle) for line in (picture(f"{path.stem.capitalize()} plot", path), "")),
        "| step | seconds | result |",
        "| --- | ---: | --- |",
        *(f"| {step.name} | {step.seconds:.1f} | {step.result} |" for step in steps),
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


def _what_people_say(data: Layout, model_id: str) -> str:
    """How good the model is on the rows that were drawn at random, if some are labelled; or ""."""
    drawn = asked.accuracies(data.labels).get(model_id)
    return f"What people say of the reviews that {model_id} scored: right on {drawn}" if drawn else ""


def _own_rows(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """The rows of one's own test reviews, if the new model has some."""
    forms = {"reviews": ",", "accuracy": ".2%", "loss": ".4f", "auc": ".4f", "calibration_error": ".4f"} if new else {}
    return [
        f"| own {name} | {_number(new.get(name), form)} | {_number(old.get(name), form)} | |"
        for name, form in forms.items()
    ]


def _plots(data: Layout, bundle: Bundle) -> list[Path]:
    return [data.root / name for name in bundle.made_files if name.endswith(".png")]


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
