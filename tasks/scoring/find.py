"""Stage 1 of scoring: which review dumps are new to the model."""

from __future__ import annotations

import logging
from pathlib import Path

from prefect import task

from tasks.lib import files
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.models import releases
from tasks.lib.scores import inbox
from tasks.running import environment, locks

log = logging.getLogger(environment.LOGGER)


@task(name="find", task_run_name="find new dumps", persist_result=False)
def find_dumps(places: list[Path], config: ScoreConfig, data_dir: Path) -> list[inbox.Dump]:
    """Every file in the places, and what is to be done with it. Reads the dumps once, for their sha256."""
    data = Layout(data_dir)
    model_id = config.model or releases.current_id(data.models)
    found = inbox.find(places, data.scores, model_id, config)
    with locks.waiting(data.locks / "names.lock"):
        files.sweep(data.names)
        inbox.remember_names(data.names, found)
    counts = [f"{_count(found, status)} {status}" for status in ("new", "scored", "same content")]
    if young := _count(found, "too new"):
        counts.append(f"{young} too new")
    if foreign := _count(found, "not a dump"):
        counts.append(f"{foreign} not dumps")
    log.info("model %s: %s", model_id, ", ".join(counts))
    for dump in found:
        if dump.status == "new" and dump.reason:
            log.warning("%s: %s", dump.name, dump.reason)
    return found


def _count(dumps: list[inbox.Dump], status: str) -> int:
    return sum(dump.status == status for dump in dumps)
