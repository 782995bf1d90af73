"""Model bundles: a folder `<model_id>/` holds all that scoring needs, and a manifest of the sha256 of each file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from tasks.lib import errors, files
from tasks.lib.profiles import Profile

MANIFEST = "manifest.json"
MODEL = "model.keras"
WORD_INDEX = "word_index.json"
NGRAMS = "ngrams.npz"
METRICS = "metrics.json"
PREDICTIONS = "predictions.parquet"
REFERENCE = "reference.json"
OWN_PREDICTIONS = "predictions-own.parquet"


def model_id(cell: str, made_of: Mapping[str, Any]) -> str:
    """The id of a model: its cell and the digest of its weights and of everything that made them."""
    return f"{cell}-{files.digest(dict(made_of))[:12]}"


def write_bundle(folder: Path, contents: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
    """Publishes a bundle: the files, and a manifest of `facts`, the sha256 of every file, and a seal."""
    with files.new_folder(folder) as temporary:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        manifest = dict(facts) | {"sha256": {name: files.sha256(temporary / name) for name in contents}}
        manifest["seal"] = files.digest(manifest)
        (temporary / MANIFEST).write_bytes(files.json_bytes(manifest))


def read_bundle(models: Path, wanted: str) -> dict[str, Any]:
    """The manifest of a model, after every file of its bundle was checked against it.

    Raises `ModelError` if the model does not exist or any part of its bundle is missing or altered.
    """
    bundle = folder(models, wanted)
    manifest = _read_manifest(bundle)
    if manifest["model_id"] != wanted or model_id(manifest["cell"], manifest["made_of"]) != wanted:
        raise _damaged(bundle / MANIFEST, "describes another model than its folder names")
    for name, expected in manifest["sha256"].items():
        if not (bundle / name).is_file():
            raise _damaged(bundle / name, "is missing")
        with files.input_errors(bundle / name, errors.ModelError):
            found = files.sha256(bundle / name)
        if found != expected:
            raise _damaged(bundle / name, "does not have the sha256 of the manifest")
    # The id is the digest of what the model was made of: files that only fit the manifest may be another model's.
    made_of, stored = manifest["made_of"], manifest["sha256"]
    if made_of.get("word_index", stored.get(WORD_INDEX)) != stored.get(WORD_INDEX):
        raise _damaged(bundle / WORD_INDEX, "is another word index than the model was made with")
    if made_of.get("ngrams") != stored.get(NGRAMS):
        raise _damaged(bundle / NGRAMS, "has other n-grams than the model was made with")
    if made_of.get("threshold") != manifest.get("threshold"):
        raise _damaged(bundle / MANIFEST, "has another threshold than the model was made with")
    return manifest


def contents(models: Path, wanted: str) -> dict[str, bytes]:
    """Every file of a bundle by its name: in a folder named after the model, they are the same bundle.

    Raises `ModelError` as `read_bundle` does.
    """
    names = [MANIFEST, *read_bundle(models, wanted)["sha256"]]
    with files.input_errors(models / wanted, errors.ModelError):
        return {name: (models / wanted / name).read_bytes() for name in names}


def folder(models: Path, wanted: str) -> Path:
    """The folder of a model. Raises `ModelError` if there is no such model."""
    if not re.fullmatch(r"\w+-[0-9a-f]{12}", wanted) or not (models / wanted).is_dir():
        known = ", ".join(model_ids(models)) or "none"
        raise errors.ModelError(f"{models}: no model {wanted!r} (found: {known}). Train one, or name one of these.")
    return models / wanted


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = cast(dict[str, Any], json.loads((folder / MANIFEST).read_bytes()))
        unsealed = {name: value for name, value in manifest.items() if name != "seal"}
        if manifest["seal"] != files.digest(unsealed):
            raise ValueError("it does not match its seal")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder / MANIFEST, "cannot be read or was altered") from error
    return manifest


def _damaged(path: Path, problem: str) -> errors.ModelError:
    return errors.ModelError(
        f"{path}: {problem}. The model is not used: run the training again to repair it, or choose another with "
        "--model or flows/release.py."
    )


def model_ids(models: Path) -> list[str]:
    """The ids of all bundles, sorted."""
    return sorted(path.parent.name for path in models.glob(f"[!.]*/{MANIFEST}"))


def read_metrics(models: Path, wanted: str) -> dict[str, Any]:
    """The metrics of a bundle. Raises `ModelError` if they cannot be read."""
    path = models / wanted / METRICS
    with files.input_errors(path, errors.ModelError):
        return cast(dict[str, Any], json.loads(path.read_bytes()))


def read_reference(models: Path, wanted: str) -> Profile | None:
    """What the reviews that a model scores are compared with; None if it is gone, or of a version without such a file.

    Raises `ModelError` if it cannot be read.
    """
    path = models / wanted / REFERENCE
    if not path.exists():
        return None
    with files.input_errors(path, errors.ModelError):
        content = path.read_bytes()
    try:
        return Profile.model_validate_json(content)
    except ValidationError as error:
        raise _damaged(path, "cannot be read or was altered") from error
