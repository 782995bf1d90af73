"""Tests stand alone: what two of them share is in tests/support, fixtures in a conftest.py."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULES = sorted(TESTS.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file imports, and what it imports from them, by their full names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_a_test_module_that_is_imported(path: Path) -> None:
    modules = {name for name in imported(path) if name.startswith("tests.")}
    assert not {name for name in modules if name.rpartition(".")[2] == "conftest" or ".test_" in name}


def test_a_test_in_a_file_that_pytest_passes_over() -> None:
    strays = [
        f"{path.relative_to(TESTS)}: {node.name}"
        for path in MODULES
        if not path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert not strays
