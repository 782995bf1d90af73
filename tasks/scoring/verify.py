"""Published tables verified: which ones, those of each model, and what does not hold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from prefect import task

from tasks.lib import errors, scoring, verification
from tasks.lib.config import VerifyConfig
from tasks.lib.layout import Layout
from tasks.lib.scores import ledger, scored
from tasks.lib.verification import Verified
from tasks.running import environment, locks
from tasks.scoring.predict import no_text_in_errors

log = logging.getLogger(environment.LOGGER)


class Published:
    """Tables of one model, by their paths below the data folder. No list: Prefect would look through all of it."""

    def __init__(self, model_id: str, paths: Sequence[str]) -> None:
        self.model_id, self.paths = model_id, paths


def find_tables(data: Layout, places: Sequence[Path] | None, options: VerifyConfig, day: date) -> list[Published]:
    """The tables in the places, or all of them, by model; with `part`, those whose turn it is that day."""
    found = scored.find(data, places)
    if options.part:
        everything = len(found)
        found = [path for path in found if verification.in_part(path, options.part, day)]
        log.info("part %s: %s of %s tables", options.part, f"{len(found):,}", f"{everything:,}")
    return [Published(model_id, paths) for model_id, paths in verification.by_model(found).items()]


@task(name="verify", task_run_name="verify tables", persist_result=False)
def verify_tables(published: Published, options: VerifyConfig, data_dir: Path) -> Verified:
    """Verifies the tables of a model. A fault of the model is one of its own, and then no row is scored again."""
    data = Layout(data_dir)
    first = _look(data, published.model_id, published.paths, options)
    suspects = [path for path in published.paths if path in first.faults]
    if not suspects:
        return first
    # A run may have replaced or removed a table meanwhile: a fault is one that is there while none can.
    with locks.waiting(data.locks / locks.SCORING):
        again = [path for path in suspects if (data.root / path).exists()]
        for path in suspects:
            del first.faults[path]
        return first + _look(data, published.model_id, again, options)


def _look(data: Layout, model_id: str, paths: Sequence[str], options: VerifyConfig) -> Verified:
    sample = None if options.all else options.rows
    known = ledger.published(data, paths)
    with no_text_in_errors(model_id):
        try:
            model = scoring.Model.open(data.models, model_id)
            return verification.verify(data, model, paths, known, sample)
        except errors.ModelError as error:
            found = verification.verify(data, None, paths, known, sample)
            found.faults[f"model={model_id}"] = f"model={model_id}: no row of its tables was scored again: {error}"
            return found


def report_tables(verified: Sequence[Verified]) -> None:
    """Logs each fault and the totals. Raises `PipelineError` if there is a fault."""
    total = sum(verified, Verified())
    for fault in total.faults.values():
        log.error("%s", fault)
    without = f", {total.without_reviews:,} of them without reviews (--keep)" if total.without_reviews else ""
    hold = "1 table holds" if total.tables == 1 else f"{total.tables:,} tables hold"
    log.info(
        "%s%s: %s rows, %s quarantined, %s scored again",
        hold, without, f"{total.rows:,}", f"{total.quarantined:,}", f"{total.scored_again:,}",
    )  # fmt: skip
    if total.faults:
        count = len(total.faults)
        faults = "1 table or model does not hold" if count == 1 else f"{count:,} tables or models do not hold"
        raise errors.PipelineError(f"{faults}: see above.")
