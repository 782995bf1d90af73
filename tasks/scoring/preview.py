"""How the scores of reviews would move with another model, in words. Nothing is written."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tasks.lib import errors, previews, urls
from tasks.lib.config import Place, ScoreConfig
from tasks.lib.dumps import reader
from tasks.lib.layout import Layout
from tasks.lib.scores import inbox, tables
from tasks.lib.scores.shelves import Bucket
from tasks.lib.scoring import Model
from tasks.lib.stores import Store
from tasks.running import environment
from tasks.running.buckets import open_store
from tasks.scoring.predict import no_text_in_errors
from tasks.scoring.run import open_shelf, which_model

log = logging.getLogger(environment.LOGGER)


def preview_scores(data_dir: Path, options: ScoreConfig, model_id: str, paths: Sequence[Place]) -> None:
    """Scores with the model what the current one has scored, or the dumps in the paths, and says what changes."""
    data = Layout(data_dir)
    before = which_model(data, options)
    after = Model.open(data.models, model_id)
    with no_text_in_errors("preview"):
        if paths:
            dumps = [dump for place in paths for dump in _dumps(place)]
            found = previews.of_dumps(_on_disk(dumps), Model.open(data.models, before), after, options)
        else:
            found = previews.of_tables(_on_disk(_tables(data, options, before)), after, options)
    if found.without_reviews:
        log.info("%s tables have no reviews (--keep): name their dumps", f"{found.without_reviews:,}")
    if not found.rows:
        raise errors.InputError(
            f"{before} has scored no reviews that could be scored again. Name dumps, or score some."
        )
    log.info("%-8s %s: %s -> %s", "flips", found.flips, before, model_id)
    distances = (found.mean, found.percentile(0.95), found.most[0].distance)
    log.info("%-8s mean %.4f, 95th percentile %.4f, largest %.4f", "moves", *distances)
    width = max(len(row.row_id) for row in found.most)
    for row in found.most:
        log.info("%-8s %-*s %.4f -> %.4f", "row", width, row.row_id, row.before, row.after)


def _on_disk(found: Iterable[Path | Store]) -> Iterator[Path]:
    """Each file; an object of a bucket is a copy, which is gone when the next one is asked for."""
    with tempfile.TemporaryDirectory(prefix="preview-") as folder:
        for one in found:
            if isinstance(one, Path):
                yield one
                continue
            path = Path(folder) / one.file_name
            one.copy(path)
            yield path
            path.unlink()


def _tables(data: Layout, options: ScoreConfig, model_id: str) -> Iterator[Path | Store]:
    """The score tables of the model, in the data folder or in the bucket that they went to."""
    shelf = open_shelf(data, options)
    for path in sorted(shelf.states(tables.folder(data.scores, model_id))):
        if path.endswith(".parquet"):
            yield shelf.store.child(path) if isinstance(shelf, Bucket) else data.root / path


def _dumps(named: Place) -> Iterator[Path | Store]:
    """The dumps at or below a place, without hidden ones."""
    if urls.is_url(named):
        store = open_store(str(named))
        for one in store.objects():
            if one.key == store.path or (reader.is_dump(one.key) and not inbox.is_hidden(store.name(one))):
                yield store.at(one)
        return
    place = Path(named)
    found = sorted(place.rglob("*")) if place.is_dir() else [place]
    if not place.exists():
        raise errors.InputError(f"{place}: no such file or folder. Name review dumps or folders that hold them.")
    for path in found:
        hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
        if path == place or (reader.is_dump(path.name) and path.is_file() and not hidden):
            yield path
