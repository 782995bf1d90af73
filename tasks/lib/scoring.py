"""Scoring: a model bundle opened for use, and one dump run through it into its tables."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from tasks.lib import errors, tokens
from tasks.lib.config import ScoreConfig
from tasks.lib.dumps import reader
from tasks.lib.dumps.blocks import Block, OpenDump, Options
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.lib.network import ngrams
from tasks.lib.network.encoder import Encoder
from tasks.lib.network.forward import Scorer
from tasks.lib.profiles import Scores
from tasks.lib.scores import quarantine, tables
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.reports import FileReport

AHEAD = 2
Piece = TypeVar("Piece")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


@dataclass(frozen=True)
class Model:
    """A checked model bundle, ready to score: its id, how it encodes text, its forward pass, its threshold."""

    model_id: str
    encoder: Encoder
    scorer: Scorer
    threshold: float

    @classmethod
    def open(cls, models: Path, model_id: str) -> Model:
        """Loads a bundle after all its files were checked. Raises `ModelError`."""
        manifest = bundles.read_bundle(models, model_id)
        folder = models / model_id
        shards = manifest["made_of"]["shard_config"]
        scorer = Scorer(folder / bundles.MODEL)
        if (scorer.num_words, scorer.maxlen) != (shards["num_words"], shards["maxlen"]):
            raise errors.ModelError(
                f"{folder}: the network takes {scorer.maxlen} of {scorer.num_words} ids, but its manifest says "
                f"{shards['maxlen']} of {shards['num_words']}. Train the model again."
            )
        made_of = manifest["made_of"]
        activation = made_of["network"].get("activation", "tanh")  # older models do not name it
        if scorer.weights_digest != made_of["weights"] or scorer.activations != {activation}:
            raise errors.ModelError(
                f"{folder / bundles.MODEL}: has other weights or another activation than the model was made with. Run "
                "the training again to repair it, or choose another model with --model or flows/release.py."
            )
        vocabulary = ngrams.load(folder / bundles.NGRAMS) if bundles.NGRAMS in manifest["sha256"] else None
        if scorer.ngrams != (None if vocabulary is None else len(vocabulary)):
            raise errors.ModelError(f"{folder / bundles.NGRAMS}: not those of the network. Train the model again.")
        word_index = tokens.read_word_index(folder / bundles.WORD_INDEX)
        encoder = Encoder(word_index, num_words=shards["num_words"], maxlen=shards["maxlen"], ngrams=vocabulary)
        return cls(model_id, encoder, scorer, manifest["threshold"])

    def __call__(self, reviews: list[str]) -> Scores:
        """The probability that each review is positive, and what is counted of its words.

        Raises `ModelError` if a probability is no number.
        """
        encoded = self.encoder.encode(reviews)
        probabilities = self.scorer(encoded.ids, encoded.ngram_ids)
        if not np.isfinite(probabilities).all():
            raise errors.ModelError(
                f"model {self.model_id} gives probabilities that are no numbers. Nothing was published; choose "
                "another model with --model or flows/release.py."
            )
        return Scores(probabilities, encoded.known_tokens, encoded.rare_tokens, encoded.words)


@dataclass(frozen=True)
class Pool:
    """Where blocks are scored: `submit` takes the reviews of one, at most `ahead` of them wait for their scores."""

    submit: Callable[[list[str]], Future[Scores]]
    ahead: int


@contextmanager
def thread(model: Model) -> Iterator[Pool]:
    """A thread of this process, or several for a network that wants it.

    Reading and writing take about as long as encoding and scoring, so two cores do it in 0.6 of the time of one
    after the other.
    """
    with ThreadPoolExecutor(model.scorer.calls) as workers:
        yield Pool(lambda reviews: workers.submit(model, reviews), AHEAD * model.scorer.calls)


def scores(
    pieces: Iterable[Piece], pool: Pool, reviews: Callable[[Piece], list[str]]
) -> Iterator[tuple[Piece, Scores]]:
    """Each piece with the scores of its reviews, in order; later ones are read and scored while earlier ones are used.

    `reviews` gives the reviews of a piece, a few thousand at most.
    """
    waiting: deque[tuple[Piece, Future[Scores]]] = deque()
    for piece in pieces:
        waiting.append((piece, pool.submit(reviews(piece))))
        if len(waiting) > pool.ahead:
            first, scored = waiting.popleft()
            yield first, scored.result()
    for first, scored in waiting:
        yield first, scored.result()


def reviews_at(review_index: int) -> Callable[[Block], list[str]]:
    """What gives the reviews of a block whose rows have them at this index."""
    return lambda block: block.strings(review_index)


def open_dump(path: Path, config: ScoreConfig) -> OpenDump:
    """A dump, read as the configuration says. Raises `InputError`, also if it is one of our own tables."""
    if path.suffix.lower() == ".parquet" and tables.is_one(path):
        raise errors.InputError(
            f"{path.name}: expected a dump, found a table that a run has published. Name the dump that it was made of."
        )
    options = Options(
        review_column=config.review_column,
        encoding=config.encoding,
        delimiter=DELIMITERS[config.delimiter] if config.delimiter else None,
        max_bytes=config.max_bytes,
    )
    return reader.open(path, options)


def score(
    dump: Dump,
    model: Model,
    config: ScoreConfig,
    data: Layout,
    *,
    on_rows: Callable[[int], None] = lambda rows: None,
    pool: Pool | None = None,
) -> FileReport:
    """Scores a dump and publishes its tables; returns the report that is in their footer, too.

    Blocks are scored by a thread beside this one, or by the `pool`. With `config.requeue`, the tables take the place
    of those of earlier tries at the same repaired dump. `on_rows` is told the number of rows of each block as it is
    written. Raises `InputError` if the dump cannot be read as a whole, is not what its sha256 says, or if another model
    quarantined other rows of it; `OutputError` if the tables cannot be written. Then nothing is published.
    """
    started, path = time.perf_counter(), Path(dump.path)
    table = data.root / dump.table
    quarantined = data.quarantine / table.name
    threshold = model.threshold if config.threshold is None else config.threshold
    before = _standing(path)
    with open_dump(path, config) as rows:
        origin = tables.Origin(
            dump.name, dump.sha256, model.model_id, threshold, rows.header[rows.review_index], rows.header,
            rows.delimiter,
        )  # fmt: skip
        carried = tables.carried_columns(rows.header, config.keep, dump.name)
        with (
            tables.Tables(table, quarantined, origin, carried) as out,
            nullcontext(pool) if pool else thread(model) as scorers,
        ):
            for block, scored in scores(rows, scorers, reviews_at(rows.review_index)):
                out.add(block, scored)
                on_rows(block.records)
            if rows.sha256 != dump.sha256 or _standing(path) != before:
                raise errors.InputError(
                    f"{dump.name}: changed while it was read. Nothing was published; the next run scores it as it is."
                )
            quarantine.check_shared(dump.name, table, quarantined, out.quarantined.hexdigest())
            superseded = quarantine.superseded(table, quarantined) if config.requeue else []
            out.publish(rows.counts, [*superseded, *([data.root / dump.replaces] if dump.replaces else [])])
    return FileReport(
        file=dump.name,
        status="scored",
        model_id=model.model_id,
        table=dump.table,
        table_sha256=out.table_sha256,
        quarantine=data.relative(quarantined) if out.reasons else "",
        quarantine_sha256=out.quarantine_sha256,
        sha256=dump.sha256,
        rows=rows.counts.rows,
        scored=out.scored,
        positive=out.positive,
        quarantined=dict(out.reasons),
        lines=rows.counts.lines,
        lines_quarantined=out.lines_quarantined,
        bytes=rows.counts.bytes,
        threshold=threshold,
        seconds=round(time.perf_counter() - started, 3),
        profile=out.profile,
    )


def _standing(path: Path) -> tuple[int, ...] | None:
    """Which file stands at the path, and in which state; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
