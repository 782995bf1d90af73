"""Model bundles: a damaged one is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.lib import errors
from tasks.lib.models import bundles, releases
from tests.support.models import add


@pytest.mark.parametrize("name", ["..", "../..", "/etc", "gru-1/../gru-1", ""])
def test_a_model_id_that_reaches_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ModelError, match="no model"):
        bundles.read_bundle(tmp_path / "models", name)


def damaged_manifest(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"imdb"', '"sample"'))


def another_model(folder: Path) -> None:
    other = folder.with_name(add(folder.parent, 77, 0.9))
    (folder / "manifest.json").write_bytes((other / "manifest.json").read_bytes())


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.keras").write_bytes(b"weighty"),
        lambda folder: (folder / "model.keras").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        damaged_manifest,
        another_model,
    ],
    ids=["altered", "missing", "torn manifest", "empty manifest", "altered manifest", "another manifest"],
)
def test_a_damaged_bundle_that_is_used(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    model_id = add(tmp_path, 1, 0.8)
    damage(tmp_path / model_id)
    with pytest.raises(errors.ModelError):
        bundles.read_bundle(tmp_path, model_id)
    with pytest.raises(errors.ModelError):
        releases.promote(tmp_path, model_id)
    assert not (tmp_path / "current.json").exists()
