"""Stage 2 of training: reviews as padded token ids, in Parquet shards."""

from __future__ import annotations

import logging
from pathlib import Path

from prefect import task

from tasks.lib import files
from tasks.lib.config import ShardConfig
from tasks.lib.corpus import reviews, shards
from tasks.lib.layout import Layout
from tasks.running import environment
from tasks.training.artifacts import Corpus, Labels, Shards
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


@task(name="prepare", task_run_name="prepare {corpus.corpus}", cache_policy=MadeFrom(libraries=("numpy", "pyarrow")))
def write_shards(corpus: Corpus, labels: Labels | None, config: ShardConfig, data_dir: Path) -> Shards:
    """Encodes, pads and splits the corpus as Keras does, and writes the shards of each split."""
    data = Layout(data_dir)
    own_labels = data_dir / labels.path if labels else None
    splits = reviews.splits(corpus.corpus, data_dir / corpus.archive, config.validation_split, own_labels)
    identities = [record.identity for record in (corpus, labels) if record]
    folder = data.shards / files.digest(*identities, config.model_dump())[:16]
    with files.new_folder(folder) as temporary:
        written = shards.write(temporary, splits, config)
    log.info("%s: %s", folder, ", ".join(f"{len(split):,} {name}" for name, split in splits.items()))
    return Shards(
        identity=files.digest(corpus.corpus, written[shards.MANIFEST]),
        made_files={data.relative(folder / name): sha256 for name, sha256 in written.items()},
        corpus=corpus.corpus,
        config=config,
        folder=data.relative(folder),
        manifest=written[shards.MANIFEST],
    )
