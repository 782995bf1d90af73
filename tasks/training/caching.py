"""When a step has to run, and when its earlier result will do.

A step's cache key is made of the identities of the records that it takes, its configuration, the source of its module
and of the `tasks.lib` modules behind it, and the versions of the libraries that shape its result. Prefect keeps the
records as JSON under that key. They are an index: the files are the truth, so a record counts only if it is whole and
all its files are there with their sha256.
"""

from __future__ import annotations

import ast
import inspect
import json
import logging
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.results import ResultRecord  # type: ignore[attr-defined]
from prefect.serializers import JSONSerializer

from tasks.lib import files
from tasks.lib.config import StageConfig
from tasks.lib.layout import CLONE, Layout
from tasks.running import environment
from tasks.training.artifacts import Record

log = logging.getLogger(environment.LOGGER)

R = TypeVar("R", bound=Record)
UNKNOWN: Any = object()  # the record of a step that would run
Recipe = dict[str, dict[str, Any]]

# Modules whose source is no part of a key: the values of a configuration are in it already, the texts of errors
# and the names of folders shape no result, and a record of another form does not count anyway.
NOT_CODE = frozenset({"artifacts", "config", "errors", "layout"})


@dataclass
class MadeFrom(CachePolicy):
    """The cache policy of all steps; `libraries` are the distributions whose version shapes the result."""

    libraries: tuple[str, ...] = ()

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str:
        """The key of one call of the task, which is also the file name of its result."""
        return key(task_ctx.task, *(value for name, value in inputs.items() if name != "data_dir"))


def recipe(task: Task[..., Any], *inputs: Any) -> Recipe:
    """All that a result depends on, by kind: input, config, code, version."""
    made_from: Recipe = {"input": {}, "config": {}, "code": source_digests(task.fn.__module__), "version": {}}
    for name, value in _named(task, inputs).items():
        if value is None:  # made by a step that this pipeline does without
            continue
        if isinstance(value, StageConfig):
            made_from["config"] |= value.model_dump(mode="json")
        else:
            made_from["input"][name] = value.identity
    libraries = task.cache_policy.libraries if isinstance(task.cache_policy, MadeFrom) else ()
    made_from["version"] = {name: version(name) for name in libraries}
    made_from["version"]["python"] = ".".join(platform.python_version_tuple()[:2])
    return made_from


def key(task: Task[..., Any], *inputs: Any) -> str:
    """The cache key of a call: the task's name and the digest of its recipe."""
    return f"{task.name}-{files.digest(recipe(task, *inputs))[:24]}"


def _named(task: Task[..., Any], inputs: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(inspect.signature(task.fn).parameters, inputs, strict=False))  # the last one is data_dir


@cache
def source_digests(module: str) -> dict[str, str]:
    """The sha256 of the source of a module and of every `tasks.lib` module that it imports, directly or not."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop().replace(".", "/") + ".py"
        path = CLONE / name
        if name not in found and path.is_file():
            found[name] = files.sha256(path)
            waiting += [other for other in _imports(path.read_bytes()) if other.rpartition(".")[2] not in NOT_CODE]
    return dict(sorted(found.items()))


def code_digest(stages: Iterable[str]) -> str:
    """The digest of the sources of these modules of `tasks.training`, and of the `tasks.lib` modules behind them."""
    found: dict[str, str] = {}
    for stage in stages:
        found |= source_digests(f"tasks.training.{stage}")
    return files.digest(found)


def _imports(source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tasks.lib"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("tasks.lib"))


@dataclass(frozen=True)
class Step:
    """One step of a run: why it had to run, or "" if its result came from the cache."""

    name: str
    reason: str
    seconds: float = 0.0

    @property
    def result(self) -> str:
        """Where its result came from."""
        return self.reason or "from the cache"


class Runner(Protocol):
    """Runs a task as a step of a pipeline, or finds out what running it would mean."""

    def __call__(self, task: Task[..., R], *inputs: Any) -> R: ...


@dataclass
class Steps:
    """Runs tasks as steps over one data folder, which it adds to their inputs, and keeps what each step did."""

    data: Layout
    refresh: bool = False
    done: list[Step] = field(default_factory=list)

    def __call__(self, task: Task[..., R], *inputs: Any) -> R:
        """The task's record: the cached one if it and its files are whole, else that of a new run."""
        started = time.perf_counter()
        found, reason = look_up(task, inputs, self.data)
        if self.refresh:
            found, reason = None, "--refresh"
        log.info("%-10s %s", task.name, reason or "from the cache")
        record = task.with_options(
            persist_result=True,
            result_serializer="json",
            result_storage=self.data.cache,
            refresh_cache=found is None,
        )(*inputs, data_dir=self.data.root)
        if found is None:
            path = _recipes(task, self.data) / f"{key(task, *inputs)}.json"
            files.write(path, files.json_bytes(recipe(task, *inputs)))
        self.done.append(Step(task.name, reason, time.perf_counter() - started))
        return record


@dataclass
class Explanation:
    """Stands in for `Steps`: runs nothing, and says of each step whether it would come from the cache."""

    data: Layout
    done: list[Step] = field(default_factory=list)

    def __call__(self, task: Task[..., R], *inputs: Any) -> R:
        """The cached record, or `UNKNOWN` if the task would run; then the steps after it cannot be known."""
        unknown = [name for name, value in _named(task, inputs).items() if value is UNKNOWN]
        if unknown:
            found, reason = None, f"waits for a step that would run ({', '.join(unknown)})"
        else:
            found, reason = look_up(task, inputs, self.data)
        self.done.append(Step(task.name, reason))
        return found or UNKNOWN


def look_up(task: Task[..., R], inputs: tuple[Any, ...], data: Layout) -> tuple[R | None, str]:
    """The cached record of a call and "", or None and the reason why the task has to run."""
    path = data.cache / key(task, *inputs)
    if not path.is_file():
        return None, _what_changed(recipe(task, *inputs), _recipes(task, data))
    try:
        record = _read_result(path)
    except Exception as error:  # noqa: BLE001  a damaged result may fail in any way, and each means the same
        log.debug("%s: %s", path, error)
        return None, "cached result is damaged"
    damage = record.damage(data.root)
    return (None, damage) if damage else (record, "")


def _read_result(path: Path) -> Any:
    content = path.read_bytes()
    # Checked before Prefect reads it: a result says itself how it is read, and one that says "pickle" runs code.
    if json.loads(content)["metadata"]["serializer"] != JSONSerializer().model_dump():
        raise ValueError("not stored as JSON")
    record = ResultRecord[Any].deserialize(content).result
    if not isinstance(record, Record):
        raise ValueError("not a record")
    return record


def _recipes(task: Task[..., Any], data: Layout) -> Path:
    return data.cache / "recipes" / task.name


def _what_changed(wanted: Recipe, recipes: Path) -> str:
    """The difference to the most similar earlier call, in words."""
    earlier: list[Recipe] = []
    for path in sorted(recipes.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            earlier.append(json.loads(path.read_bytes()))
        except ValueError:
            continue  # a torn recipe explains nothing and harms nothing
    if not earlier:
        return "no earlier result"
    nearest = min((_differences(old, wanted) for old in earlier), key=lambda found: (len(found), found))
    return f"changed: {'; '.join(nearest)}" if nearest else "cached result was removed"


def _differences(old: Recipe, new: Recipe) -> list[str]:
    found = []
    for kind, values in new.items():
        before = old.get(kind, {})
        for name in sorted(values.keys() | before.keys()):
            if values.get(name) != before.get(name):
                plain = kind in ("config", "version")
                found.append(f"{kind} {name}" + (f" {before.get(name)} -> {values.get(name)}" if plain else ""))
    return found
