"""List the models, compare two, show what a score comes from, make a model current, or go back to the previous one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python flows/release.py` puts only flows/ there

from tasks.running import environment

environment.prepare(command_line=__name__ == "__main__")

import logging

from cyclopts import App

from tasks.lib import errors
from tasks.lib.labels import asked
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, comparison, releases
from tasks.lib.scores import flips, lineage, scored
from tasks.running import command_line, locks

log = logging.getLogger(environment.LOGGER)

app = App(name="release.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def list_models(*, data_dir: command_line.DataDir = command_line.DEFAULT_DATA) -> None:
    """List all models with their test accuracy, and what your labels say; an asterisk marks the current one."""
    data = Layout(data_dir.resolve())
    models, measured = data.models, asked.accuracies(data.labels)
    current = releases.read_current(models)
    known = bundles.model_ids(models)
    if not known:
        log.info("No models in %s. Train one with `python flows/train.py`.", models)
    for model_id in known:
        mark = "*" if current and current.model_id == model_id else " "
        own = f"  own reviews {measured[model_id]}" if model_id in measured else ""
        log.info("%s %-24s %s%s", mark, model_id, _facts(models, model_id), own)


def _facts(models: Path, model_id: str) -> str:
    try:
        manifest = bundles.read_bundle(models, model_id)
    except errors.ModelError as error:
        return f"damaged: {error}"
    measured = bundles.read_metrics(models, model_id)
    own = measured.get("own")
    tested = f"  own test reviews {own['accuracy']:.2%} of {own['reviews']:,}" if own else ""
    return (
        f"corpus {manifest['corpus']:<7} test accuracy {measured['accuracy']:.2%}  epochs {measured['epochs']}{tested}"
    )


@app.command
def compare(first: str, second: str, /, *, data_dir: command_line.DataDir = command_line.DEFAULT_DATA) -> None:
    """Compare two models on the test reviews and on what both scored; the difference is the first minus the second."""
    data = Layout(data_dir.resolve())
    new, old = comparison.read(data.models, first), comparison.read(data.models, second)
    own = comparison.compare_own(new, old)
    found: comparison.Comparison | None = None
    try:
        found = comparison.compare(new, old)
    except errors.ModelError as error:
        if own is None:
            raise
        problem = error  # the test reviews of a corpus of one's own change with every label
    log.info("%-12s %24s %24s", "", first, second)
    for name, form in (("accuracy", ".2%"), ("loss", ".4f"), ("auc", ".4f")):
        log.info("%-12s %24s %24s", name, _number(new.metrics[name], form), _number(old.metrics[name], form))
    if found:
        _log_difference(found, "test reviews")
    else:
        log.info("%-12s none: %s", "difference", problem)
    if own:
        log.info("%-12s %24s %24s", "own accuracy", _number(own.accuracy, ".2%"), _number(own.other, ".2%"))
        _log_difference(own.difference, "own test reviews")
    if found:
        _log_slices(new, old)
    _log_flips(flips.count(data.scores, first, second), first, second)


def _log_difference(found: comparison.Comparison, reviews: str) -> None:
    log.info("%-12s %s", "difference", found)
    log.info("%-12s on %s of %s %s", "disagreement", f"{found.disagreements:,}", f"{found.reviews:,}", reviews)


def _log_slices(new: comparison.Tested, old: comparison.Tested) -> None:
    try:
        slices = comparison.compare_slices(new, old)
    except errors.ModelError as error:
        log.info("%-12s none: %s", "slices", error)
        return
    log.info("%-20s %8s %8s %8s %8s %8s", "slice", "reviews", "better", "worse", "points", "p")
    for one in slices:
        figures = f"{one.reviews:>8,} {one.better:>8,} {one.worse:>8,} {one.points:>+z8.2f} {one.p:>8.2g}"
        log.info("%-20s %s%s", one.name, figures, "  significantly worse" if one.is_worse else "")


def _log_flips(found: flips.Flips, first: str, second: str) -> None:
    if found.rows:
        log.info("%-12s %s", "flips", found)
        return
    log.info("%-12s unknown: both scored no row in common. Score the same dumps with each:", "flips")
    for model_id in (first, second):
        log.info("%-12s python flows/score.py --model %s", "", model_id)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


@app.command(name="lineage")
def show_lineage(wanted: str, /, *, data_dir: command_line.DataDir = command_line.DEFAULT_DATA) -> None:
    """Show what a row, a table or a model comes from: its row_id, the path of the score table, or the model's id."""
    data = Layout(data_dir.resolve())
    if lineage.ROW_ID.fullmatch(wanted):
        for path, row in lineage.of_row(data, wanted).items():
            scores = f"{row.probability:.6f}, {row.label}, {row.known_tokens:,} known tokens"
            log.info("%-10s %s: %s, line %s of its dump", "row", wanted, scores, f"{row.line:,}")
            _log_table(data, path)
    elif wanted.endswith(".parquet"):
        (path,) = scored.find(data, [Path(wanted)])
        _log_table(data, path)
    else:
        _log_model(data, wanted)


def _log_table(data: Layout, path: str) -> None:
    found = lineage.of_table(data, path)
    rows = f"{found.scored:,} rows scored, {found.rows_quarantined:,} quarantined, threshold {found.threshold:g}"
    log.info("%-10s %s: %s", "table", path, rows)
    log.info("%-10s %s: sha256 %s", "dump", found.file, found.sha256)
    _log_model(data, found.model_id)


def _log_model(data: Layout, model_id: str) -> None:
    """What a model was made of, as its manifest says, and what it has made."""
    made = lineage.of_model(data, model_id)
    manifest = bundles.read_bundle(data.models, model_id)
    made_of = manifest["made_of"]
    current = " (current)" if releases.current_or_none(data.models) == model_id else ""
    log.info("%-10s %s%s", "model", model_id, current)
    rows = f"{made.rows:,} rows scored, {made.quarantined:,} quarantined"
    log.info("%-10s %s table%s: %s", "made", f"{made.tables:,}", "" if made.tables == 1 else "s", rows)
    facts = {
        "corpus": f"{manifest['corpus']}, {made_of.get('corpus')}",
        "code": manifest.get("code"),
        "weights": made_of.get("weights"),
        "shards": made_of.get("shard_config"),
        "network": made_of.get("network"),
        "fit": made_of.get("fit"),
        "versions": manifest.get("libraries"),
    }
    for name, fact in facts.items():
        if fact is not None:
            log.info("%-10s %s", name, _words(fact))


def _words(fact: Any) -> str:
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in fact.items()) if isinstance(fact, dict) else fact


@app.command
def promote(model_id: str, *, data_dir: command_line.DataDir = command_line.DEFAULT_DATA) -> None:
    """Make the model with this id the current one, whatever its accuracy."""
    _release(data_dir, lambda models: releases.promote(models, model_id))


@app.command
def rollback(rejected: str | None = None, /, *, data_dir: command_line.DataDir = command_line.DEFAULT_DATA) -> None:
    """Make the previous model current.

    With the id of the model to roll back, running it again changes nothing.
    """
    _release(data_dir, lambda models: releases.roll_back(models, rejected))


def _release(data_dir: Path, change: Callable[[Path], releases.Current]) -> None:
    data = Layout(data_dir.resolve())
    with locks.waiting(data.locks / locks.RELEASE):
        before = releases.current_or_none(data.models)
        current = change(data.models)
    log.info("Current model: %s (%s, %s)", current.model_id, current.verdict, current.reason)
    if environment.names_a_server():
        from tasks.running import events  # it loads Prefect, which takes seconds

        events.announce(data.models, before)


if __name__ == "__main__":
    command_line.run(app)
