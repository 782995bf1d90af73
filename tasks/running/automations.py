"""The automations on the server. `make automations` creates them; running it again changes nothing.

    python -m tasks.running.automations [ADDRESS]

With the address of a webhook, each failed or crashed run of this project is posted there as one line of JSON.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta

from prefect.automations import Automation, CallWebhook, ChangeFlowRunState, EventTrigger, Posture
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from pydantic import SecretStr

RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.sentiment"}
ENDED = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
BEAT = "prefect.flow-run.heartbeat"
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


def notification(address: str) -> Automation:
    """Posts each failed or crashed run to a webhook."""
    webhook = Webhook(method="POST", url=SecretStr(address))
    block = webhook.save("sentiment-failures", overwrite=True, _sync=True)  # type: ignore[call-arg]
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


def put(automation: Automation) -> None:
    """Creates the automation, in place of one with the same name."""
    with suppress(ValueError):  # there is none yet
        Automation.read(name=automation.name, _sync=True).delete(_sync=True)  # type: ignore[call-overload]
    automation.create(_sync=True)  # type: ignore[call-arg]
    print(f"automation: {automation.name}")


if __name__ == "__main__":
    put(dead_runs())
    if len(sys.argv) > 1:
        put(notification(sys.argv[1]))
