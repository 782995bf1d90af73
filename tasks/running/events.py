"""What operators learn from the server: how to resume after a failure, what was promoted, and what drifts."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import Event, RelatedResource, Resource
from prefect.logging.loggers import flow_run_logger
from prefect.runtime import flow_run as this_run
from prefect.settings import PREFECT_API_URL

from tasks.lib import urls
from tasks.lib.models import bundles, releases
from tasks.running import environment

log = logging.getLogger(environment.LOGGER)

PROMOTED = "sentiment.model.promoted"
DRIFT = "sentiment.drift"


def explain_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Logs in one line what failed and how to resume. Prefect calls it when a run failed or crashed.

    Nothing on the command line, where the error itself says so.
    """
    if flow_run.deployment_id is None:
        return
    reason = (state.message or "its process ended without a message").splitlines()[0]
    reason = reason.removeprefix("Flow run encountered an exception: ")
    given = urls.masked(json.dumps(flow_run.parameters, default=str))
    flow_run_logger(flow_run, flow).error(
        "%s %s: %s Completed work is kept. Resume with: prefect deployment run --id %s%s",
        flow_run.name,
        state.name.lower() if state.name else "failed",
        reason if reason.endswith((".", "!", "?")) else f"{reason}.",
        flow_run.deployment_id,
        f" --params {shlex.quote(given)}" if flow_run.parameters else "",
    )


def announce(models: Path, before: str | None) -> None:
    """Emits `sentiment.model.promoted` if another model than `before` is current now: a trigger scores the inbox.

    The event is sent at once, not in the background, so that a server that cannot be reached is one line in the log.
    """
    current = releases.read_current(models)
    if current is None or current.model_id == before or not PREFECT_API_URL.value():
        return
    payload = {
        "replaces": before,
        "verdict": current.verdict,
        "reason": current.reason,
        "corpus": bundles.read_bundle(models, current.model_id)["corpus"],
        "accuracy": bundles.read_metrics(models, current.model_id)["accuracy"],
    }
    try:
        _send([_event(PROMOTED, current.model_id, payload)])
    except Exception as error:  # noqa: BLE001  whatever is wrong with the server, the model is released
        log.warning(
            "Could not send the promotion to %s (%s). The next scheduled run scores with %s.",
            PREFECT_API_URL.value(), type(error).__name__, current.model_id,
        )  # fmt: skip


def announce_drift(found: Sequence[Mapping[str, Any]], day: str) -> None:
    """Emits `sentiment.drift` for each of these: their kind, place, model_id, value and limit. At once, as above."""
    if not found or not PREFECT_API_URL.value():
        return
    try:
        _send([drift_event(entry, day) for entry in found])
    except Exception as error:  # noqa: BLE001  whatever is wrong with the server, the dumps are scored
        log.warning("Could not send the drift to %s (%s).", PREFECT_API_URL.value(), type(error).__name__)


def drift_event(found: Mapping[str, Any], day: str) -> Event:
    """The event of one kind of drift."""
    return _event(DRIFT, found["model_id"], {**found, "date": day})


def _event(name: str, model_id: str, payload: dict[str, Any]) -> Event:
    run = {"prefect.resource.id": f"prefect.flow-run.{this_run.id}", "prefect.resource.role": "flow-run"}
    resource = {"prefect.resource.id": f"sentiment.model.{model_id}", "prefect.resource.name": model_id}
    related = [RelatedResource(run)] if this_run.id else []
    return Event(event=name, resource=Resource(resource), related=related, payload=payload)


def _send(found: Sequence[Event]) -> None:
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json") for event in found])
