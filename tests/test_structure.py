"""The map of the house: who imports whom, where each library has its home, and docs/layout.md, which shows it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room is a package, or a module with a row of its own. It may import itself and, before the bar, other rooms with all
# below them. Rooms of tasks/lib may also import what lies in tasks/lib itself without a row: arrow, config, errors and
# so on. Behind the bar are the libraries that have their home here; `library:module` is at home in that module alone.
# fmt: off
HOUSE = {
    "flows":             "tasks | prefect cyclopts",
    "tasks/training":    "tasks/running tasks/lib | prefect",
    "tasks/scoring":     "tasks/running tasks/lib | prefect prefect_dask:cluster distributed:cluster "
                         "distributed:workers tqdm:predict",
    "tasks/running":     "tasks/lib | prefect cyclopts:command_line filelock:locks rich:environment "
                         "uvicorn:temporary_server",
    "tasks/lib/scoring": "tasks/lib/dumps tasks/lib/scores tasks/lib/models tasks/lib/network |",
    "tasks/lib/verification": "tasks/lib/scores tasks/lib/scoring |",
    "tasks/lib/previews": "tasks/lib/scores tasks/lib/scoring |",
    "tasks/lib/pruning": "tasks/lib/models |",
    "tasks/lib/corpus":  "| requests:sources tqdm:sources pickle:imdb tarfile:unlabelled pyarrow:shards "
                         "tensorflow:dataset",
    "tasks/lib/network": "| tensorflow:model tensorflow:unrolled tensorflow:language tensorflow:distribution "
                         "keras:model keras:unrolled keras:language keras:distribution sklearn:metrics "
                         "sklearn:regression sklearn:vectors scipy:regression scipy:vectors scipy:calibration "
                         "scipy:metrics h5py:archive threadpoolctl:forward",
    "tasks/lib/dumps":   "| bz2:packing backports:packing pyarrow:parquet",
    "tasks/lib/scores":  "tasks/lib/dumps | pyarrow:tables pyarrow:quarantine pyarrow:exports pyarrow:reports "
                         "pyarrow:flips pyarrow:scored pyarrow:proofs pyarrow:lineage sqlite3:ledger scipy:drift",
    "tasks/lib/labels":  "tasks/lib/dumps tasks/lib/scores tasks/lib/network | pyarrow:sample",
    "tasks/lib/models":  "| pyarrow:predictions scipy:comparison",
    "tasks/lib":         "| pyarrow:arrow pyarrow:stores matplotlib:figures",
}
# fmt: on
ROOMS = {room: row.partition("|")[0].split() for room, row in HOUSE.items()}
LIBRARIES = {room: row.partition("|")[2].split() for room, row in HOUSE.items()}
ANYWHERE = {"numpy", "pydantic"}
HOUSED = {"bz2", "gzip", "pickle", "sqlite3", "tarfile"}  # the modules of the standard library that have a home

MODULES = sorted(
    path.relative_to(ROOT).with_suffix("") for folder in ("flows", "tasks") for path in (ROOT / folder).rglob("*.py")
)
LIB = [path for path in MODULES if path.is_relative_to("tasks/lib")]
each_module = pytest.mark.parametrize("module", MODULES, ids=Path.as_posix)


def source(module: Path) -> str:
    return (ROOT / module).with_suffix(".py").read_text()


def imported(module: Path) -> Iterator[str]:
    """What a module imports, as paths: `tasks/lib/files` and not the names taken from it, `numpy/typing`."""
    for node in ast.walk(ast.parse(source(module))):
        if isinstance(node, ast.Import):
            yield from (alias.name.replace(".", "/") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = "." * node.level + (node.module or "")  # a relative import is a stranger everywhere
            for alias in node.names:
                inner = Path(whole.replace(".", "/"), alias.name)
                known = inner in MODULES or inner / "__init__" in MODULES
                yield inner.as_posix() if known else whole.replace(".", "/")


def room(path: str | Path) -> str:
    """The room that a module lies in, or "" if it lies in none."""
    return max((name for name in HOUSE if Path(path).is_relative_to(name)), key=len, default="")


def test_a_package_that_the_map_lacks_or_that_does_not_exist() -> None:
    packages = {module.parent.as_posix() for module in MODULES if module.name != "__init__"}
    assert packages == {name for name in HOUSE if (ROOT / name).is_dir()}
    assert all(Path(name) in MODULES for name in HOUSE.keys() - packages)


@each_module
def test_an_import_against_the_arrows(module: Path) -> None:
    here = room(module)
    allowed = [here, *ROOMS.get(here, [])]
    ours = {path for path in imported(module) if path.split("/")[0] in ("flows", "tasks", "tests")}
    strangers = {
        path
        for path in ours
        if not any(Path(room(path)).is_relative_to(wanted) for wanted in allowed if wanted)
        and not (here.startswith("tasks/lib") and room(path) == "tasks/lib")
    }
    assert not strangers


@each_module
def test_a_library_outside_its_home(module: Path) -> None:
    at_home = LIBRARIES.get(room(module), [])
    libraries = {path.split("/")[0] for path in imported(module)} - ANYWHERE - {"flows", "tasks"}
    strangers = {
        library
        for library in libraries
        if (library in HOUSED or library not in sys.stdlib_module_names)
        and library not in at_home
        and f"{library}:{module.name}" not in at_home
    }
    assert not strangers


@pytest.mark.parametrize(("home", "entry"), [(name, entry) for name, row in LIBRARIES.items() for entry in row])
def test_a_home_that_its_library_has_left(home: str, entry: str) -> None:
    library, _, owner = entry.partition(":")
    inside = [module for module in MODULES if room(module) == home and owner in ("", module.name)]
    assert any(path.split("/")[0] == library for module in inside for path in imported(module))


@pytest.mark.parametrize("module", LIB, ids=Path.as_posix)
def test_lib_logs_or_reads_the_environment(module: Path) -> None:
    assert "logging" not in imported(module)
    assert "os.environ" not in source(module)


@each_module
def test_no_assert_outside_tests(module: Path) -> None:
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source(module))))


def drawn() -> dict[str, str]:
    """The paths in the tree of docs/layout.md, folders with a slash at their end, and what it says of each."""
    tree = re.search(r"^```\n(flows/.*?)^```", (ROOT / "docs" / "layout.md").read_text(), re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    above: list[str] = []
    for line in tree[1].splitlines() if tree else []:
        name, _, words = line.strip().partition(" ")
        above = [*above[: (len(line) - len(line.lstrip())) // 2], name]
        found["".join(above)] = words.strip()
    return found


def test_a_tree_in_the_docs_that_is_not_that_of_the_code() -> None:
    modules = {f"{module.as_posix()}.py" for module in MODULES if module.name != "__init__"}
    folders = {f"{folder.as_posix()}/" for module in MODULES for folder in module.parents} - {"./"}
    assert drawn().keys() - modules - folders == set()
    assert (modules | folders) - drawn().keys() == set()
    assert [path for path, words in drawn().items() if not words] == []


def test_a_change_that_takes_more_than_two_files() -> None:
    _, _, changes = (ROOT / "docs" / "layout.md").read_text().partition("| to add | touch |")
    rows = re.findall(r"^\| (an? .+?) \| (.+) \|$", changes, flags=re.MULTILINE)
    assert len(rows) >= 6
    assert all(1 <= len(re.findall(r"`[\w/]+\.py`", files)) <= 2 for _, files in rows)
