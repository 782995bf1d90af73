"""README and docs are held to the code: options with their defaults, columns, files, commands, links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from flows import label, prune, release, report, score, train, verify
from tasks.lib import config
from tasks.lib.config import StageConfig
from tasks.lib.models import bundles, releases
from tasks.lib.scores import tables

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
DOCS = "\n".join(PAGES.values())
MAKEFILE = (ROOT / "Makefile").read_text()
README_LINES = 100
OPTIONS = {
    "docs/training.md": (
        config.CorpusConfig, config.ShardConfig, config.NetworkConfig, config.FitConfig, config.SearchConfig,
        config.LabelsConfig, config.ReleaseConfig,
    ),
    "docs/labels.md": (config.AskConfig,),
    "docs/scoring.md": (config.ScoreConfig,),
    "docs/production.md": (config.RunnerConfig, config.VerifyConfig),
    "docs/drift.md": (config.ReportConfig,),
}  # fmt: skip


def option_rows(model: type[StageConfig]) -> Iterator[str]:
    """One row of a table of options for each option of the model."""
    for name, field in model.model_fields.items():
        values = [value for value in getattr(field.annotation, "__args__", ()) if isinstance(value, str)]
        option = " ".join([f"`--{name.replace('_', '-')}`", " \\| ".join(f"`{value}`" for value in values)]).strip()
        default = "" if field.default is None or field.default is False else f"`{field.default}`"
        yield f"| {option} | {default} | {field.description} |"


def flag_rows(main: Callable[..., None]) -> Iterator[str]:
    """One row for each switch of a command line that is no option of the flow."""
    for name, hint in get_type_hints(main, include_extras=True).items():
        if get_args(hint)[:1] == (bool,):
            yield f"| `--{name.replace('_', '-')}` | | {get_args(hint)[1].help} |"


ROWS = [(page, row) for page, models in OPTIONS.items() for model in models for row in option_rows(model)]
ROWS += [("docs/training.md", row) for row in flag_rows(train.main)]
ROWS += [("docs/scoring.md", row) for row in flag_rows(score.main)]


def found(pattern: str) -> list[str]:
    """What the pattern finds in all pages, each once."""
    return sorted(set(re.findall(pattern, DOCS, flags=re.MULTILINE)))


def links() -> list[tuple[str, str]]:
    """The page and the target of every link and picture that stays within this repository."""
    return [
        (page, target) for page, text in PAGES.items() for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if "://" not in target
    ]  # fmt: skip


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_readme_of_more_than_a_screen_or_two() -> None:
    assert len(PAGES["README.md"].splitlines()) <= README_LINES


@pytest.mark.parametrize(("page", "row"), ROWS)
def test_an_option_that_its_page_lacks_or_describes_differently(page: str, row: str) -> None:
    assert row in PAGES[page].splitlines()


def test_an_option_in_the_docs_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"--watch", "--param", "--state", "--rows"}  # of `prefect` and `make bench`
    known |= {"--data", "--dumps", "--each"}  # of `make year`
    for app in (train.app, score.app, prune.app, release.app, verify.app, report.app, label.app):
        app("--help", result_action="return_value")
        known |= set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
    assert set(found(r"^\| `(--[a-z0-9-]+)`")) <= known
    assert set(found(r"`(--[a-z0-9-]+)[` ]")) <= known
    assert {option for line in found(r"python flows/\w+\.py.*") for option in re.findall(r" (--[\w-]+)", line)} <= known


@pytest.mark.parametrize("column", [*tables.OWN_COLUMNS, *tables.QUARANTINE_SCHEMA.names])
def test_a_column_that_the_docs_lack(column: str) -> None:
    assert re.search(rf"^\| `{column}` \|", PAGES["docs/tables.md"], flags=re.MULTILINE)


@pytest.mark.parametrize(
    "name",
    [
        bundles.MODEL,
        bundles.WORD_INDEX,
        bundles.MANIFEST,
        bundles.METRICS,
        bundles.PREDICTIONS,
        bundles.REFERENCE,
        bundles.OWN_PREDICTIONS,
        releases.CURRENT,
        releases.RELEASES,
    ],
)
def test_a_file_of_a_model_that_the_docs_lack(name: str) -> None:
    assert re.search(rf"`(data/models/)?{re.escape(name)}`", PAGES["docs/training.md"])


@pytest.mark.parametrize("target", found(r"(?:^|`)make ([a-z-]+)"))
def test_a_make_target_in_the_docs_that_does_not_exist(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE)


@pytest.mark.parametrize("setting", re.findall(r"\b(PREFECT_SERVER_\w+)=", MAKEFILE))
def test_a_setting_of_the_server_that_the_docs_lack(setting: str) -> None:
    assert re.search(rf"^{setting}=", PAGES["docs/production.md"], flags=re.MULTILINE)


@pytest.mark.parametrize("path", found(r"python (flows/\w+\.py)"))
def test_a_script_in_the_docs_that_does_not_exist(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("path", found(r"`((?:flows|tasks|tests)/[\w/]+\.py)`"))
def test_a_module_in_the_docs_that_does_not_exist(path: str) -> None:
    assert (ROOT / path).is_file()


def test_a_promise_without_a_test() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| .*\|$", PAGES["docs/promises.md"], flags=re.MULTILINE)
    tests = dict(rows[1:])
    assert len(tests) > 10
    for promise, named in tests.items():
        assert re.search(r"`tests/[\w/]+\.py`|`make test-", named), promise


@pytest.mark.parametrize(("page", "target"), links())
def test_a_link_that_leads_nowhere(page: str, target: str) -> None:
    name, _, anchor = target.partition("#")
    path = (ROOT / page).parent / name if name else ROOT / page
    assert path.exists()
    assert not anchor or anchor in anchors(path.read_text())


def test_a_page_that_the_readme_does_not_link_to() -> None:
    linked = {target for page, target in links() if page == "README.md"}
    assert set(PAGES) - {"README.md"} <= linked


def test_a_picture_that_no_page_shows() -> None:
    shown = {((ROOT / page).parent / target).resolve() for page, target in links() if target.endswith(".png")}
    assert set((ROOT / "docs" / "images").iterdir()) == shown
