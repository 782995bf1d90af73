"""What in a data folder is no longer in use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.lib import errors, files
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases


def used(data: Layout, named: set[str]) -> set[str]:
    """The models to keep and what they were made from, as paths relative to the data folder.

    Kept are the current model, those it can be rolled back to, the named ones, and those with score tables. Raises
    `InputError` for a named model that does not exist: the id may be misspelt. Raises `ModelError` for a damaged one:
    what it was made from is unknown then.
    """
    known = bundles.model_ids(data.models)
    if unknown := sorted(named.difference(known)):
        raise errors.InputError(
            f"--keep {unknown[0]}: no such model in {data.models} (found: {', '.join(known) or 'none'}). Nothing was "
            "removed; name one of these."
        )
    current = releases.read_current(data.models)
    kept = named | {path.parent.name.removeprefix("model=") for path in data.scores.glob("model=*/[!.]*.parquet")}
    if current is not None:
        kept |= {current.model_id, *current.earlier}
    made_from = {path for model_id in kept.intersection(known) for path in _made_from(data, model_id)}
    return made_from | {data.relative(data.models / model_id) for model_id in kept}


def _made_from(data: Layout, model_id: str) -> list[str]:
    paths: list[str] = bundles.read_bundle(data.models, model_id)["used"]
    return paths


def unused(data: Layout, used: set[str]) -> list[Path]:
    """The models, shards, downloads and results of single stages that are not in use."""
    return [path for path in _artifacts(data) if not is_used(data.relative(path), used)]


def _artifacts(data: Layout) -> Iterator[Path]:
    for folder in (data.raw, data.shards, data.work):
        yield from sorted(folder.glob("[!.]*"))
    yield from (path.parent for path in sorted(data.models.glob(f"[!.]*/{bundles.MANIFEST}")))


def is_used(name: str, used: set[str]) -> bool:
    """Whether the file or folder of that name is, holds, or lies in one that is in use."""
    return any(path == name or path.startswith(f"{name}/") or name.startswith(f"{path}/") for path in used)


def remove(path: Path) -> None:
    """Removes a file or folder. Raises `OutputError` if any part of it stays."""
    try:
        files.remove(path)
    except OSError as error:
        raise errors.OutputError(
            f"{path}: cannot be removed: {error.strerror}. What was removed before it is named above; fix that and "
            "run the same command again."
        ) from error
