"""Beside stage 1 of training, where it is wanted: reviews without labels, as ranks of words."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from prefect import task

from tasks.lib import files, tokens
from tasks.lib.corpus import own, reviews, sources, unlabelled
from tasks.lib.corpus.unlabelled import Texts
from tasks.lib.dumps import reader
from tasks.lib.dumps.blocks import Options
from tasks.lib.layout import Layout
from tasks.lib.network import ngrams
from tasks.lib.network.encoder import Encoder
from tasks.running import environment
from tasks.training.artifacts import Corpus, Labels, Unlabelled
from tasks.training.caching import MadeFrom

BLOCK = 2000  # reviews of an archive in memory at once

log = logging.getLogger(environment.LOGGER)


@task(
    name="unlabelled",
    task_run_name="unlabelled reviews for {labelled.corpus}",
    cache_policy=MadeFrom(libraries=("numpy",)),
)
def read_unlabelled(
    labelled: Corpus, labels: Labels | None, source: sources.UnlabelledSource, data_dir: Path
) -> Unlabelled:
    """Fetches the reviews without labels and looks up their words; those that are test reviews are left out."""
    data = Layout(data_dir)
    fetched = sources.fetch(source, data.raw, progress=sys.stderr.isatty())
    word_index = tokens.read_word_index(data_dir / labelled.word_index)
    encoder = Encoder(word_index, num_words=len(word_index), maxlen=1)
    read = unlabelled.members(fetched) if unlabelled.is_archive(fetched) else _rows(fetched, source.review_column)
    found = unlabelled.joined(*(Texts(*encoder.ranks(block)[:2]) for block in _blocks(read)))
    test = Texts(*ngrams.flat(reviews.test(labelled.corpus, data_dir / labelled.archive).ranks))
    if labels:
        test = unlabelled.joined(test, own.load(data_dir / labels.path).side("test").texts)
    texts = found.without(test)
    log.info("%s: %s reviews", fetched.name, f"{len(texts.lengths):,}")
    if left := len(found.lengths) - len(texts.lengths):
        log.info("%s: left out %s that are test reviews", fetched.name, f"{left:,}")
    identity = files.arrays_digest(texts)
    path = data.work / f"unlabelled-{identity[:16]}.npz"
    with files.new_file(path) as temporary:
        unlabelled.save(temporary, texts)
    return Unlabelled(
        identity=identity,
        made_files={data.relative(made): files.sha256(made) for made in (fetched, path)},
        path=data.relative(path),
    )


def _blocks(read: Iterator[str]) -> Iterator[list[str]]:
    while block := list(islice(read, BLOCK)):
        yield block


def _rows(path: Path, review_column: str) -> Iterator[str]:
    """The reviews of a dump; what cannot be read is counted."""
    broken = 0
    with reader.open(path, Options(review_column=review_column)) as dump:
        for block in dump:
            broken += len(block.spans)
            yield from block.strings(dump.review_index)
    if broken:
        log.warning("%s: skipped %s damaged or empty rows", path.name, f"{broken:,}")
