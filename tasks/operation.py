"""What the one who operates the pipeline is told: how to go on after a failure, and that a model was promoted."""

from __future__ import annotations

import logging
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event
from prefect.logging.loggers import flow_run_logger

from tasks import environment
from tasks.lib.artifacts import Bundle

log = logging.getLogger(environment.LOGGER)

PROMOTED = "sentiment.model.promoted"


def explain_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """One line: what failed, and how to go on. Prefect calls it when a run failed or crashed.

    On the command line the error itself says so; there this keeps quiet.
    """
    if flow_run.deployment_id is None:
        return
    reason = (state.message or "its process ended without a word").splitlines()[0]
    flow_run_logger(flow_run, flow).error(
        "%s %s: %s What is done is kept; go on with: prefect deployment run --id %s",
        flow_run.name,
        state.name.lower() if state.name else "failed",
        reason if reason.endswith((".", "!", "?")) else f"{reason}.",
        flow_run.deployment_id,
    )


def announce(bundle: Bundle, before: str | None, verdict: dict[str, str]) -> None:
    """Emits `sentiment.model.promoted` if this run made the model the current one."""
    if verdict["verdict"] == "held" or before == bundle.model_id:
        return
    emit_event(
        event=PROMOTED,
        resource={
            "prefect.resource.id": f"sentiment.model.{bundle.model_id}",
            "prefect.resource.name": bundle.model_id,
        },
        payload={"replaces": before, "corpus": bundle.corpus, "accuracy": bundle.accuracy, **verdict},
    )
