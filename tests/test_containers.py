"""Containerfile and compose.yaml as an engine will read them, without an engine."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from prefect import Flow, settings
from prefect.cli._app import _app as prefect_commands
from prefect.flows import load_flow_from_entrypoint

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
PAGE = (ROOT / "docs" / "containers.md").read_text()
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rest>[^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|AUTH|DATABASE_CONNECTION_URL")

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))


def containerfile() -> list[tuple[str, str]]:
    """Its instructions in order, each with its arguments on one line."""
    text = re.sub(r"^#.*\n|\\\n", "", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE)
    return [(words[0], words[2]) for line in text.splitlines() if (words := line.partition(" "))[0]]


INSTRUCTIONS = containerfile()
VALUES = dict(part.split("=", 1) for name, rest in INSTRUCTIONS if name in ("ARG", "ENV") for part in shlex.split(rest))


def argument(instruction: str) -> str:
    """The arguments of the last instruction of this name: the one that counts."""
    return [rest for name, rest in INSTRUCTIONS if name == instruction][-1]


def environments() -> list[tuple[str, str, str]]:
    """Each variable that compose.yaml gives to a service: whose, its name, its value as it is written."""
    return [(name, *entry) for name, service in SERVICES.items() for entry in service.get("environment", {}).items()]


def deploy_script() -> str:
    """What the service `deploy` has its shell run."""
    shell, options, script = SERVICES["deploy"]["command"]
    assert (shell, options) == ("sh", "-euc")
    return str(script).replace("$$", "$")


def commands() -> list[list[str]]:
    """Every command of our image: its own, those of the services, and those in the script of `deploy`."""
    given = [service["command"] for name, service in OURS.items() if name != "deploy"]
    script = re.sub(r" \d?>\S+", "", deploy_script())  # without where their output goes
    pieces = [shlex.split(piece, comments=True) for line in script.splitlines() for piece in line.split("||")]
    return [json.loads(argument("CMD")), *given, *filter(None, pieces)]


def test_a_file_to_copy_that_is_not_there_or_not_sent_to_the_engine() -> None:
    copied = [rest.split()[:-1] for name, rest in INSTRUCTIONS if name == "COPY" and not rest.startswith("--from=")]
    sources = {source for paths in copied for source in paths}
    assert sources == {line[1:] for line in IGNORED if line.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)
    assert [line for line in IGNORED if line[:1] not in ("#", "!")] == ["*", "**/__pycache__"]


def test_what_the_flows_import_but_the_image_lacks() -> None:
    assert {Path(entry["entrypoint"]).parts[0] for entry in deployments()} == {"flows"}
    assert {"flows flows", "tasks tasks", "data/sample data/sample"} <= {rest for _, rest in INSTRUCTIONS}


def test_packages_that_are_not_those_of_the_lock() -> None:
    (install,) = (rest for name, rest in INSTRUCTIONS if name == "RUN" and "pip install" in rest)
    made = re.search(r"pip install (.*)", MAKEFILE)
    assert made
    wanted = {"--no-deps", "--require-hashes", "--no-cache-dir"}
    assert wanted - {"--no-cache-dir"} <= set(made[1].split())
    assert wanted <= set(install.split())
    assert install.endswith("-r /tmp/requirements.lock")
    pins = re.findall(r"^[\w.\[\],-]+==.*?(?=^\S)", LOCK + "\nend", flags=re.MULTILINE | re.DOTALL)
    assert len(pins) > 50
    assert all("--hash=sha256:" in pin for pin in pins)


def test_a_python_that_the_lock_does_not_support() -> None:
    assert VALUES["PYTHON"] in SpecifierSet(PROJECT["requires-python"])
    assert {rest.split()[0] for name, rest in INSTRUCTIONS if name == "FROM"} == {
        "docker.io/library/python:${PYTHON}-slim-bookworm"
    }


def test_an_image_that_runs_as_root_or_cannot_write_its_data() -> None:
    names = [name for name, _ in INSTRUCTIONS]
    user, _, group = argument("USER").partition(":")
    assert user == group  # numbers: Kubernetes cannot tell from a name that it is not root
    assert int(user) > 0
    assert f"useradd --uid {user} " in " ".join(rest for name, rest in INSTRUCTIONS if name == "RUN")
    assert not {"RUN", "COPY", "ADD", "USER"} & set(names[names.index("USER") + 1 :])
    folder = f"{argument('WORKDIR')}/data"
    assert argument("VOLUME") == folder
    assert Path(VALUES["PREFECT_HOME"]).is_relative_to(folder)
    assert argument("RUN").endswith("chown sentiment:sentiment data")
    assert VALUES["PREFECT_UI_STATIC_DIRECTORY"].startswith("/tmp/")  # or the server copies it into its own package
    mounted = [mount for service in OURS.values() for mount in service.get("volumes", [])]
    assert mounted == [f"data:{folder}"] * 2


def test_an_image_of_another_version_or_of_none() -> None:
    assert {service["image"] for service in OURS.values()} == {f"sentiment-pipeline:{PROJECT['version']}"}
    for name in SERVICES.keys() - OURS.keys():
        assert re.search(r"^[\w.]+(/[\w-]+)+:\d+\.\d+$", SERVICES[name]["image"])
    assert all((ROOT / service["build"]["dockerfile"]).is_file() for service in OURS.values())


def test_a_key_that_compose_does_not_know() -> None:
    assert set(COMPOSE) == {"name", "x-pipeline", "x-client", "services", "volumes"}
    known = "image build init cap_drop security_opt restart environment volumes ports command depends_on healthcheck"
    for service in SERVICES.values():
        assert set(service) <= set(known.split())
        assert service["restart"] in ("unless-stopped", "on-failure:5")
        assert set(service.get("healthcheck", {})) <= {"test", "interval", "timeout", "retries", "start_period"}


@each_service
def test_a_service_that_waits_for_what_never_comes(service: dict[str, Any]) -> None:
    for name, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
        else:
            assert how == {"condition": "service_completed_successfully"}
            assert SERVICES[name]["restart"] == "on-failure:5"  # one that is started again never completes


@each_service
def test_a_port_that_the_network_can_reach(service: dict[str, Any]) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


@each_service
def test_a_volume_that_is_not_kept(service: dict[str, Any]) -> None:
    assert {mount.partition(":")[0] for mount in service.get("volumes", [])} <= set(COMPOSE["volumes"])


def test_a_password_in_the_repository() -> None:
    needed = {match["name"] for match in VARIABLE.finditer(TEXT) if match["rest"].startswith(":?")}
    for service, name, value in environments():
        if SECRET.search(name):
            named = [match["name"] for match in VARIABLE.finditer(value)]
            assert named, (service, name)
            assert set(named) <= needed, (service, name)
    assert needed == {"POSTGRES_PASSWORD", "PREFECT_PASSWORD", "AWS_SECRET_ACCESS_KEY"}
    made = re.search(r"^for name in (.*); do .* done >\.env$", PAGE, flags=re.MULTILINE)
    assert made
    assert set(made[1].split()) == needed
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    assert not (set(VALUES) & needed)


def test_a_variable_that_nobody_reads() -> None:
    known = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}  # of the image of PostgreSQL
    known |= set(re.findall(r"\$(\w+)", deploy_script()))
    known |= set(re.findall(r"`(AWS_\w+)`", (ROOT / "docs" / "buckets.md").read_text()))
    for service, name, value in environments():
        assert isinstance(value, str), (service, name)
        assert hasattr(settings, name) if name.startswith("PREFECT_") else name in known, (service, name)
    assert all(hasattr(settings, name) for name in VALUES if name.startswith("PREFECT_"))


def test_settings_that_are_not_those_of_make() -> None:
    server, worker = SERVICES["server"]["environment"], SERVICES["worker"]["environment"]
    wanted = dict(re.findall(r"(PREFECT_SERVER_\w+)=([\w.]+)", MAKEFILE))
    assert len(wanted) == 3
    assert wanted.items() <= server.items()
    seconds = re.search(r"PREFECT_WORKER_QUERY_SECONDS:-(\d+)", MAKEFILE)
    assert seconds
    assert worker["PREFECT_WORKER_QUERY_SECONDS"] == seconds[1]
    assert "DO_NOT_TRACK" in VALUES


def test_a_command_that_is_not_that_of_make() -> None:
    worker = re.search(r"^\t.* (prefect worker start .*)$", MAKEFILE, flags=re.MULTILINE)
    assert worker
    assert json.loads(argument("CMD")) == worker[1].split()
    assert SERVICES["worker"]["command"] == [*worker[1].split(), "--with-healthcheck"]
    pool = re.search(r"prefect --no-prompt (work-pool create .*)$", MAKEFILE, flags=re.MULTILINE)
    assert pool
    assert pool[1] in deploy_script()


def test_an_option_that_prefect_does_not_know() -> None:
    asked = [command[1:] for command in commands() if command[0] == "prefect"]
    assert [" ".join(tokens).removeprefix("--no-prompt ").split(" -")[0] for tokens in asked] == [
        "worker start",
        "server start",
        "worker start",
        "work-pool inspect local",
        "work-pool create local",
        "deploy",
    ]
    for tokens in asked:
        prefect_commands.parse_args(
            [token for token in tokens if token != "--no-prompt"], exit_on_error=False, print_error=False
        )


def test_a_module_or_a_program_that_the_image_lacks() -> None:
    assert {command[0] for command in commands()} == {"prefect", "python", "sed"}
    (module,) = (command[2] for command in commands() if command[:2] == ["python", "-m"])
    assert importlib.util.find_spec(module)
    for command in commands():
        if command[:2] == ["python", "-c"]:
            compile(command[2], "compose.yaml", "exec")


def deployments() -> list[dict[str, Any]]:
    """The deployments that `deploy` makes: those of prefect.yaml after its own `sed`, run here."""
    (line,) = (line for line in deploy_script().splitlines() if line.startswith("sed "))
    command = line.partition(" >")[0]
    ran = subprocess.run(
        ["sh", "-euc", command], cwd=ROOT, env={"BUCKET": "reviews"}, check=True, capture_output=True, text=True
    )
    return list(yaml.safe_load(ran.stdout)["deployments"])


def test_a_scoring_that_does_not_use_the_bucket() -> None:
    urls = {"inbox": "s3://reviews/inbox", "output": "s3://reviews/output"}
    before = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    for old, new in zip(before, deployments(), strict=True):
        for mine, its in zip([old, *old["triggers"]], [new, *new["triggers"]], strict=True):
            if mine.get("parameters", {}).get("options", {}).keys() & {"unscored_only"}:
                mine["parameters"]["options"] |= urls
                flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / old["entrypoint"]))
                options = flow.validate_parameters(its["parameters"])["options"]
                assert {name: getattr(options, name) for name in urls} == urls
        assert new == old
    assert str(deployments()).count(urls["inbox"]) == 2  # by the clock, and after a promotion
