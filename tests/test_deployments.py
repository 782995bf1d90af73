"""prefect.yaml as a server will read it, without a server."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect import Flow, settings
from prefect.automations import CallWebhook, EventTrigger
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import DeploymentEventTrigger, DeploymentTriggerTypes, Resource
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.server.utilities.user_templates import render_user_template_sync
from prefect.utilities.callables import parameter_schema
from prefect.utilities.importtools import import_object
from prefect.utilities.schema_tools.validation import validate
from prefect.workers.process import ProcessVariables
from pydantic import TypeAdapter

from tasks.running import automations, events

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "prefect.yaml").read_text()
CONFIG = yaml.safe_load(TEXT)
MAKEFILE = (ROOT / "Makefile").read_text()
PRODUCTION = (ROOT / "docs" / "production.md").read_text()
DEPLOYMENTS: list[dict[str, Any]] = CONFIG["deployments"]

each = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])


def load(deployment: dict[str, Any]) -> Flow[..., Any]:
    return load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))


def test_a_deployment_that_is_missing() -> None:
    assert [f"{load(entry).name}/{entry['name']}" for entry in DEPLOYMENTS] == [
        "train/weekly",
        "score/every-15-minutes",
        "score/backfill",
        "verify/nightly",
        "report/nightly",
    ]


def test_a_key_that_prefect_does_not_know() -> None:
    known = PrefectYamlModel.model_validate(CONFIG).model_dump(exclude_unset=True)
    for given, kept in zip(DEPLOYMENTS, known["deployments"], strict=True):
        assert set(given) <= set(kept)
        assert set(given["concurrency_limit"]) <= set(kept["concurrency_limit"])


def test_an_absolute_path_or_a_home_folder() -> None:
    assert not re.findall(r"(?:^|[\s\"'=:])(?:/[\w.]+|~)", TEXT.replace("*/15", ""))
    assert str(ROOT) not in TEXT


@each
def test_a_schedule_that_never_comes_or_is_not_stated(deployment: dict[str, Any]) -> None:
    for schedule in deployment["schedules"]:
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        assert schedule["active"] is True
        assert schedule["slug"]  # without one, a changed schedule is a second schedule


@each
def test_a_deployment_without_a_version_a_description_or_a_tag(deployment: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert deployment["version"] == project["version"]
    assert deployment["description"].strip()
    assert "sentiment" in deployment["tags"]  # the automations go by it
    assert deployment["concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_limit"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW")


@each
def test_parameters_that_the_flow_refuses(deployment: dict[str, Any]) -> None:
    load(deployment).validate_parameters(deployment["parameters"])
    for schedule in deployment["schedules"]:
        load(deployment).validate_parameters(deployment["parameters"] | schedule.get("parameters", {}))


@each
def test_a_trigger_that_never_fires_or_whose_run_is_refused(deployment: dict[str, Any]) -> None:
    for entry in deployment["triggers"]:
        assert entry["enabled"] is True
        trigger = TypeAdapter(DeploymentTriggerTypes).validate_python(entry)
        assert isinstance(trigger, DeploymentEventTrigger)
        assert set(entry) - {"type"} <= set(type(trigger).model_fields)
        assert trigger.expect == {events.PROMOTED}
        promoted = Resource({"prefect.resource.id": "sentiment.model.gru-0123456789ab"})
        assert ResourceSpecification.model_validate(entry["match"]).matches(promoted)
        load(deployment).validate_parameters(deployment["parameters"] | entry["parameters"])


@each
def test_a_pool_or_a_job_variable_that_is_not_there(deployment: dict[str, Any]) -> None:
    pool = deployment["work_pool"]
    assert f"work-pool create {pool['name']} --type process" in MAKEFILE
    assert f"worker start --pool {pool['name']}" in MAKEFILE
    assert set(pool["job_variables"]) <= set(ProcessVariables.model_fields)
    for name, value in pool["job_variables"]["env"].items():
        assert isinstance(value, str)  # a number would be refused by the worker, not by the server
        assert not name.startswith("PREFECT_") or hasattr(settings, name)


def test_a_pull_step_that_cannot_be_taken() -> None:
    ((path, arguments),) = (step for entry in CONFIG["pull"] for step in entry.items())
    inspect.signature(import_object(path)).bind(**arguments)


def test_a_live_run_taken_for_dead() -> None:
    beats = {
        float(entry["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) for entry in DEPLOYMENTS
    }
    assert {3 * beat for beat in beats} == {automations.SILENCE.total_seconds()}


def test_a_drift_that_no_automation_posts_or_not_as_json() -> None:
    """A file may be called anything."""
    automation = automations.drift_notification(UUID(int=0))
    (action,), trigger = automation.actions, automation.trigger
    assert isinstance(trigger, EventTrigger)
    assert isinstance(action, CallWebhook)
    found = {"kind": "length", "place": 'a "b" {{ c }}.csv', "model_id": "gru-0123456789ab", "value": 0.5, "limit": 0.1}
    event = events.drift_event(found, "2026-05-20")
    assert trigger.expect == {event.event}
    assert all(ResourceSpecification.model_validate(match).matches(event.resource) for match in [trigger.match])
    posted = json.loads(render_user_template_sync(action.payload, {"event": event}))
    assert posted == {"event": "sentiment.drift", "drift": found | {"date": "2026-05-20"}}


def test_a_setting_that_prefect_does_not_know_or_the_units_lack() -> None:
    server = set(re.findall(r"\bPREFECT_\w+", MAKEFILE))
    units = set(re.findall(r"^(PREFECT_\w+)=", PRODUCTION, flags=re.MULTILINE))
    assert all(hasattr(settings, name) for name in server | units)
    assert server <= units
    for name, value in re.findall(r"(PREFECT_SERVER_\w+)=([\w.]+)", MAKEFILE):
        assert f"\n{name}={value}\n" in PRODUCTION


@each
def test_a_form_without_words(deployment: dict[str, Any]) -> None:
    schema = parameter_schema(load(deployment)).model_dump_for_openapi()
    stages = [stage for name, stage in schema["definitions"].items() if name.endswith("Config")]
    assert stages
    assert all(field.get("description") for stage in stages for field in stage["properties"].values())
    for field in schema["properties"].values():
        assert field.get("description") or "$ref" in field  # a stage has a description of its own
    assert all(stage.get("description") for stage in stages)


@each
def test_a_default_that_holds_only_on_this_machine(deployment: dict[str, Any]) -> None:
    assert str(ROOT) not in str(parameter_schema(load(deployment)).model_dump_for_openapi())


@pytest.mark.parametrize(
    "wrong",
    [
        {"fit": {"epochs": 0}},
        {"fit": {"epochs": "many"}},
        {"fit": {"epoch": 3}},
        {"network": {"cell": "transformer"}},
        {"corpus": {"corpus": "imdb", "archive_sha256": "abc"}},
        {"shards": {"validation_split": 1}},
    ],
    ids=str,
)
def test_a_wrong_value_that_the_server_lets_through(wrong: dict[str, Any]) -> None:
    flow = load(DEPLOYMENTS[0])
    schema = parameter_schema(flow).model_dump_for_openapi()
    assert not validate({}, schema)
    assert validate(wrong, schema)
    with pytest.raises(ParameterTypeError):
        flow.validate_parameters(wrong)


def test_a_url_of_a_bucket_that_is_refused_or_loses_a_slash() -> None:
    flow = load(DEPLOYMENTS[1])
    urls = {"inbox": "s3://bucket/in", "output": "gs://bucket/out"}
    given = {"paths": ["s3://bucket/a.csv", "inbox"], "options": urls}
    assert not validate(given, parameter_schema(flow).model_dump_for_openapi())
    taken = flow.validate_parameters(given)
    assert list(taken["paths"]) == given["paths"]
    assert {name: getattr(taken["options"], name) for name in urls} == urls


def test_a_flow_that_loads_only_in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for deployment in DEPLOYMENTS:
        assert load(deployment).name
    assert not list(tmp_path.iterdir())


def test_a_lock_that_allows_a_server_that_schedules_nothing() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = re.search(r"^sqlalchemy==(\d+)\.(\d+)", lock, re.MULTILINE)
    assert pinned
    assert (int(pinned[1]), int(pinned[2])) < (2, 1)
