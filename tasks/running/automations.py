"""The automations on the server. `make automations` creates them; running it again changes nothing.

    python -m tasks.running.automations [ADDRESS]

With the address of a webhook, each failed or crashed run of this project is posted there as one line of JSON, and so
is each kind of drift, at most once a day.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation, CallWebhook, ChangeFlowRunState, EventTrigger, Posture
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from pydantic import SecretStr

from tasks.running import events

RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.sentiment"}
ENDED = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
BEAT = "prefect.flow-run.heartbeat"
DRIFT_AS_JSON = '{"event": "{{ event.event }}", "drift": {{ event.payload | tojson }}}'
SILENCE = timedelta(seconds=90)  # three heartbeats, as prefect.yaml sets them


def dead_runs() -> Automation:
    """Marks a run as crashed that sends no heartbeats: if its worker was killed too, it would stay Running."""
    return Automation(
        name="sentiment: a run without a sign of life has crashed",
        description="Its process is gone. The next run completes the work.",
        trigger=EventTrigger(
            match=RUNS,
            match_related=OURS,
            for_each={"prefect.resource.id"},
            after={BEAT},
            expect={BEAT} | ENDED,
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat: its process is gone.")],
    )


def webhook(address: str) -> UUID:
    """Saves the address; gives the id of its block."""
    block = Webhook(method="POST", url=SecretStr(address))
    return block.save("sentiment-failures", overwrite=True, _sync=True)  # type: ignore[call-arg,return-value]


def notification(block: UUID) -> Automation:
    """Posts each failed or crashed run to a webhook."""
    return Automation(
        name="sentiment: tell of failed runs",
        trigger=EventTrigger(
            match=RUNS,
            match_related=OURS,
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            CallWebhook(
                block_document_id=block,
                payload='{"run": "{{ flow_run.name }}", "id": "{{ flow_run.id }}", "event": "{{ event.event }}"}',
            )
        ],
    )


def drift_notification(block: UUID) -> Automation:
    """Posts each kind of drift to a webhook: a run emits it at most once a day."""
    return Automation(
        name="sentiment: tell of drift",
        trigger=EventTrigger(
            match={"prefect.resource.id": "sentiment.model.*"},
            expect={events.DRIFT},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[CallWebhook(block_document_id=block, payload=DRIFT_AS_JSON)],
    )


def put(automation: Automation) -> None:
    """Creates the automation, in place of one with the same name."""
    with suppress(ValueError):  # there is none yet
        Automation.read(name=automation.name, _sync=True).delete(_sync=True)  # type: ignore[call-overload]
    automation.create(_sync=True)  # type: ignore[call-arg]
    print(f"automation: {automation.name}")


if __name__ == "__main__":
    put(dead_runs())
    if len(sys.argv) > 1:
        block = webhook(sys.argv[1])
        put(notification(block))
        put(drift_notification(block))
