"""Which of several trainings is best, on the validation reviews alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from prefect.artifacts import create_table_artifact

from tasks.lib.candidates import FIT, NETWORK
from tasks.running import environment
from tasks.running.progress import send
from tasks.training import caching
from tasks.training.artifacts import Fitted

log = logging.getLogger(environment.LOGGER)


def best_of(trials: Sequence[Fitted]) -> Fitted:
    """The one with the lowest validation loss; logs all of them, and sends their table to the UI, if there are several.

    If one is not known yet, nor is the best.
    """
    if len(trials) == 1:
        return trials[0]
    if caching.UNKNOWN in trials:
        return caching.UNKNOWN
    best = min(trials, key=_loss)
    rows = [_row(number, trial, trial is best) for number, trial in enumerate(trials, start=1)]
    for row in rows:
        log.info("%s", "  ".join(f"{name} {value}" for name, value in row.items() if value != ""))
    send(create_table_artifact, key="train-search", table=rows, description=f"{len(rows)} configurations tried")
    return best


def _loss(fitted: Fitted) -> float:
    return min(fitted.history["val_loss"])


def _row(number: int, fitted: Fitted, best: bool) -> dict[str, Any]:
    options = fitted.network.model_dump(include=set(NETWORK)) | fitted.config.model_dump(include=set(FIT))
    return {"trial": number, **options, "val_loss": round(_loss(fitted), 4), "": "best" if best else ""}
