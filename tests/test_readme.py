"""The README is held to the code: options with their defaults, columns, files, make targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import score, train
from tasks.lib import config
from tasks.lib.config import StageConfig
from tasks.lib.models import bundles, releases
from tasks.lib.scores import tables

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
TRAIN = (config.CorpusConfig, config.ShardConfig, config.NetworkConfig, config.FitConfig, config.ReleaseConfig)


def option_rows(*models: type[StageConfig]) -> Iterator[str]:
    """One row of the README's tables for each option of the models."""
    for model in models:
        for name, field in model.model_fields.items():
            values = [value for value in getattr(field.annotation, "__args__", ()) if isinstance(value, str)]
            option = " ".join([f"`--{name.replace('_', '-')}`", " \\| ".join(f"`{value}`" for value in values)]).strip()
            default = "" if field.default is None or field.default is False else f"`{field.default}`"
            yield f"| {option} | {default} | {field.description} |"


@pytest.mark.parametrize("row", [*option_rows(*TRAIN), *option_rows(config.ScoreConfig, config.RunnerConfig)])
def test_an_option_that_the_readme_lacks_or_tells_otherwise(row: str) -> None:
    assert row in README


def test_an_option_in_the_readme_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    known = set()
    for app in (train.app, score.app):
        app("--help", result_action="return_value")
        known |= set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
    told = set(re.findall(r"^\| `(--[a-z0-9-]+)`", README, flags=re.MULTILINE))
    assert told <= known


@pytest.mark.parametrize("column", [*tables.OWN_COLUMNS, *tables.QUARANTINE_SCHEMA.names])
def test_a_column_that_the_readme_lacks(column: str) -> None:
    assert re.search(rf"^\| `{column}` \|", README, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "name",
    [bundles.MODEL, bundles.WORD_INDEX, bundles.MANIFEST, bundles.METRICS, releases.CURRENT, releases.RELEASES],
)
def test_a_file_that_the_readme_lacks(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.MULTILINE))))
def test_a_make_target_in_the_readme_that_is_not_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_in_the_readme_that_leads_nowhere(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("script", sorted(set(re.findall(r"python (flows/\w+\.py)", README))))
def test_a_script_in_the_readme_that_is_not_there(script: str) -> None:
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("setting", re.findall(r"\b(PREFECT_SERVER_\w+)=", (ROOT / "Makefile").read_text()))
def test_a_setting_of_the_server_that_the_readme_lacks(setting: str) -> None:
    assert re.search(rf"^{setting}=", README, flags=re.MULTILINE)
