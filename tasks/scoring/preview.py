"""How the scores of reviews would move with another model, in words. Nothing is written."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.lib import errors, previews, urls
from tasks.lib.config import Place, ScoreConfig
from tasks.lib.dumps import reader
from tasks.lib.layout import Layout
from tasks.lib.scores import tables
from tasks.lib.scoring import Model
from tasks.running import environment
from tasks.scoring.predict import no_text_in_errors
from tasks.scoring.run import which_model

log = logging.getLogger(environment.LOGGER)


def preview_scores(data_dir: Path, options: ScoreConfig, model_id: str, paths: Sequence[Place]) -> None:
    """Scores with the model what the current one has scored, or the dumps in the paths, and says what changes."""
    data = Layout(data_dir)
    before = which_model(data, options)
    after = Model.open(data.models, model_id)
    with no_text_in_errors("preview"):
        if paths:
            dumps = [dump for place in paths for dump in _dumps(place)]
            found = previews.of_dumps(dumps, Model.open(data.models, before), after, options)
        else:
            found = previews.of_tables(sorted(tables.folder(data.scores, before).glob("[!.]*.parquet")), after, options)
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


def _dumps(named: Place) -> Iterator[Path]:
    """The dumps at or below a place, without hidden ones."""
    if urls.is_url(named):
        raise errors.InputError(f"{named}: --preview reads dumps on the disk alone. Copy some of them there.")
    place = Path(named)
    found = sorted(place.rglob("*")) if place.is_dir() else [place]
    if not place.exists():
        raise errors.InputError(f"{place}: no such file or folder. Name review dumps or folders that hold them.")
    for path in found:
        hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
        if path == place or (reader.is_dump(path.name) and path.is_file() and not hidden):
            yield path
