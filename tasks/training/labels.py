"""Beside stage 1 of training, where there are some: labelled reviews of one's own, as ranks of words."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from prefect import task

from tasks.lib import errors, files, tokens
from tasks.lib.config import LabelsConfig
from tasks.lib.corpus import imdb, own, reviews
from tasks.lib.corpus.own import Own
from tasks.lib.corpus.unlabelled import Texts
from tasks.lib.labels import answers, asked
from tasks.lib.labels.answers import LabelFiles, Review
from tasks.lib.layout import Layout
from tasks.lib.network import ngrams, words
from tasks.lib.network.encoder import Encoder
from tasks.lib.scores import quarantine, tables
from tasks.running import environment
from tasks.training.artifacts import Corpus, Labels
from tasks.training.caching import MadeFrom

UNDECODABLE = "undecodable"
QUARANTINE = "quarantine"  # in the folder of the labels

log = logging.getLogger(environment.LOGGER)


@task(
    name="labels",
    task_run_name="labels beside {corpus.corpus}",
    cache_policy=MadeFrom(libraries=("numpy", "pyarrow")),
)
def read_labels(corpus: Corpus, found: LabelFiles, config: LabelsConfig, data_dir: Path) -> Labels:
    """Reads the labelled reviews and looks up their words.

    Training reviews of the corpus are left out, and its test reviews only test.
    """
    data = Layout(data_dir)
    kept, conflicts, quarantined = _read(data, found, config)
    word_index = tokens.read_word_index(data_dir / corpus.word_index)
    collected = _look_up(data, kept, word_index, config.labels_weight)
    train, test = (Texts(*ngrams.flat(split.ranks)) for split in imdb.load(data_dir / corpus.archive))
    double = collected.texts.among(train)
    if double.any():
        log.info("labels: left out %s that are training reviews of the corpus", f"{double.sum():,}")
    collected = collected.only(~double)
    tested = collected.texts.among(test)
    if tested.any():
        log.info("labels: %s are test reviews of the corpus, so they only test", f"{tested.sum():,}")
    collected = collected.testing(tested)
    _log_sides(collected)
    path = _save(data, collected)
    return Labels(
        identity=files.arrays_digest(collected),
        made_files=quarantined | {data.relative(path): files.sha256(path)},
        path=data.relative(path),
        reviews=len(collected.labels),
        learned=int((collected.sides != own.SIDES.index("test")).sum()),
        conflicts=conflicts,
    )


@task(name="corpus", task_run_name="corpus of one's own", cache_policy=MadeFrom(libraries=("numpy", "pyarrow")))
def own_corpus(found: LabelFiles | None, config: LabelsConfig, data_dir: Path) -> Corpus:
    """Makes a corpus of the labelled reviews alone, with a word index of those that are trained on."""
    data = Layout(data_dir)
    kept, _, quarantined = _read(data, found, config) if found else ([], 0, {})
    if len(kept) < own.FEWEST:
        raise errors.InputError(
            f"{data.labels}: expected {own.FEWEST} labelled reviews or more for --corpus own, found {len(kept)}. Label "
            "more of them (`python flows/label.py` asks for some), or leave out --corpus own."
        )
    learned = [review.text for review in kept if own.side(review.identity) == 0]
    word_index = words.index(learned)
    collected = _look_up(data, kept, word_index)
    _log_sides(collected)
    path = _save(data, collected)
    content = files.json_bytes(word_index)
    index = data.work / f"words-{files.digest(word_index)[:16]}.json"
    files.write(index, content, files.PRIVATE_FILE)
    made = {data.relative(name): files.sha256(name) for name in (path, index)}
    log.info("words: %s that occur at least twice", f"{len(word_index):,}")
    return Corpus(
        identity=files.digest(reviews.OWN, files.arrays_digest(collected), made[data.relative(index)]),
        made_files=quarantined | made,
        corpus=reviews.OWN,
        archive=data.relative(path),
        word_index=data.relative(index),
    )


def _read(data: Layout, found: LabelFiles, config: LabelsConfig) -> tuple[list[Review], int, dict[str, str]]:
    """The labelled reviews, how many of them had two labels, and the quarantine tables that were written."""
    contents = []
    folder = data.labels / QUARANTINE
    made = {}
    with files.new_folder(folder) as temporary:
        temporary.chmod(files.PRIVATE_FOLDER)
        for file in found.files:
            path = data.labels / file.name
            content = answers.read(path, found.review_column, config, file.sha256)
            contents.append(content)
            where = ""
            if content.spans:
                name = tables.table_name(path.name, file.sha256)
                quarantine.write(temporary / name, path.name, content.spans)
                made[data.relative(folder / name)] = files.sha256(temporary / name)
                where = f" -> {data.relative(folder / name)}"
            log.info("%s: %s%s", path.name, content, where)
            if any(span.reason == UNDECODABLE for span in content.spans):
                log.warning("%s: not in UTF-8; name its encoding with --labels-encoding, such as cp1252", path.name)
    kept, conflicts = answers.merged(contents)
    if conflicts:
        log.warning("labels: %s reviews have two labels; the file that was modified last counts", f"{conflicts:,}")
    return kept, conflicts, made


def _look_up(data: Layout, kept: list[Review], word_index: dict[str, int], weight: float = 1.0) -> Own:
    identities, texts, labels = zip(*kept, strict=True) if kept else ((), (), ())
    encoder = Encoder(word_index, num_words=len(word_index), maxlen=1)
    ranks, lengths, all_words = encoder.ranks(texts)
    return own.collected(Texts(ranks, lengths), all_words, labels, identities, weight, asked.doubted(data.labels))


def _log_sides(collected: Own) -> None:
    counts = np.bincount(collected.sides, minlength=len(own.SIDES))
    sides = ", ".join(f"{count:,} {name}" for count, name in zip(counts, own.SIDES, strict=True))
    log.info("labels: %s reviews, %s", f"{len(collected.labels):,}", sides)


def _save(data: Layout, collected: Own) -> Path:
    path = data.work / f"labels-{files.arrays_digest(collected)[:16]}.npz"
    with files.new_file(path, files.PRIVATE_FILE) as temporary:
        own.save(temporary, collected)
    return path
