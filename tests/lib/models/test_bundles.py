"""Model bundles: a damaged one is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.lib import errors
from tasks.lib.models import bundles, releases
from tasks.lib.profiles import Profile
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


def test_a_reference_that_is_missing_or_damaged(tmp_path: Path) -> None:
    model_id = add(tmp_path, 1, 0.8)
    assert bundles.read_reference(tmp_path, model_id) is None
    assert bundles.read_reference(tmp_path, "gru-000000000000") is None
    path = tmp_path / model_id / bundles.REFERENCE
    path.write_bytes(Profile(probabilities=[1] * 20).model_dump_json().encode())
    found = bundles.read_reference(tmp_path, model_id)
    assert found is not None
    assert found.rows == 20
    path.write_bytes(b"[]")
    with pytest.raises(errors.ModelError, match=r"reference\.json: cannot be read"):
        bundles.read_reference(tmp_path, model_id)
