"""What in a data folder nothing refers to any more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.lib import errors, files
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases


def check(data: Layout, named: Sequence[str]) -> None:
    """Raises `InputError` for a model that does not exist: with a misspelt id, the one that was meant would go."""
    known = bundles.model_ids(data.models)
    if unknown := sorted(set(named).difference(known)):
        raise errors.InputError(
            f"--keep {unknown[0]}: no such model in {data.models} (found: {', '.join(known) or 'none'}). Nothing was "
            "removed; name one of these."
        )


def kept_models(data: Layout, named: set[str]) -> set[str]:
    """The models to keep: the current one, those it can be rolled back to, the named ones, those with tables."""
    current = releases.read_current(data.models)
    kept = set(named)
    if current is not None:
        kept |= {current.model_id, *current.earlier}
    kept |= {path.parent.name.removeprefix("model=") for path in data.scores.glob("model=*/[!.]*.parquet")}
    return kept


def unused(data: Layout, named: set[str]) -> list[Path]:
    """Models that need not be kept, and whatever no kept model was made from. Raises `ModelError`, `InputError`.

    A kept model whose manifest is damaged stops the pruning: what it was made from cannot be known.
    """
    kept = kept_models(data, named)
    known = set(bundles.model_ids(data.models))
    used = {path for model_id in kept & known for path in bundles.read_bundle(data.models, model_id)["used"]}
    used |= {data.relative(data.models / model_id) for model_id in kept}
    found = [path for path in _artifacts(data) if not _is_used(data.relative(path), used)]
    return found + [path for path in _results(data) if not _result_is_used(path, used)]


def _artifacts(data: Layout) -> Iterator[Path]:
    for folder in (data.raw, data.shards, data.work):
        yield from sorted(folder.glob("[!.]*"))
    yield from (path.parent for path in sorted(data.models.glob(f"[!.]*/{bundles.MANIFEST}")))


def _is_used(name: str, used: set[str]) -> bool:
    return any(path == name or path.startswith(f"{name}/") or name.startswith(f"{path}/") for path in used)


def _results(data: Layout) -> list[Path]:
    return [path for path in sorted(data.cache.glob("[!.]*")) if path.is_file()]


def _result_is_used(result: Path, used: set[str]) -> bool:
    """Whether all files that a cached result speaks of are kept, also if there are none. Raises `InputError`."""
    try:
        with files.input_errors(result):
            record = json.loads(json.loads(result.read_bytes())["result"])["data"]
            return all(_is_used(name, used) for name in record["made_files"])
    except (ValueError, KeyError, TypeError):
        return False  # damaged: it would be made again anyway
