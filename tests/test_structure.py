"""The house rules that a reader relies on: who imports whom, and one home for each library."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIB = "tasks/lib/"
HOMES: dict[str, Callable[[str], bool]] = {
    "prefect": lambda name: not name.startswith(LIB),
    "tensorflow": lambda name: (
        name in {LIB + "corpus/dataset.py", LIB + "network/model.py", LIB + "network/unrolled.py"}
    ),
    "keras": lambda name: name in {LIB + "network/model.py", LIB + "network/unrolled.py"},
    "pyarrow": lambda name: (
        name in {LIB + "arrow.py", LIB + "corpus/shards.py", LIB + "scores/tables.py", LIB + "scores/quarantine.py"}
    ),
    "matplotlib": lambda name: name == LIB + "figures.py",
    "sklearn": lambda name: name == LIB + "network/metrics.py",
    "scipy": lambda name: name == LIB + "network/metrics.py",
    "h5py": lambda name: name == LIB + "network/forward.py",
    "pooch": lambda name: name == LIB + "corpus/sources.py",
}
MODULES = sorted([*ROOT.glob("flows/*.py"), *ROOT.glob("tasks/**/*.py")])


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_library_imported_outside_its_home(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    strangers = {
        library
        for library, at_home in HOMES.items()
        if any(module.split(".")[0] == library for module in imported(path)) and not at_home(name)
    }
    assert not strangers


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_arrow_that_points_up(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    modules = imported(path)
    if name.startswith("tasks/"):
        assert not any(module.split(".")[0] == "flows" for module in modules)
    if name.startswith(LIB):
        upward = {
            module for module in modules if module.startswith("tasks") and not module.startswith(("tasks.lib",))
        } - {"tasks"}
        assert not upward


@pytest.mark.parametrize("path", [path for path in MODULES if LIB in path.as_posix()], ids=lambda path: path.name)
def test_lib_logs_or_reads_the_environment(path: Path) -> None:
    assert "logging" not in imported(path)
    assert "os.environ" not in path.read_text()


def test_no_assert_outside_tests() -> None:
    guilty = [
        path for path in MODULES if any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text())))
    ]
    assert not guilty
