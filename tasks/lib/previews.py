"""What another model would make of reviews that have their scores. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.lib import files, scoring
from tasks.lib.config import ScoreConfig
from tasks.lib.scores import flips, scored, tables


class Preview(flips.Moves):
    """How scores would move, and how many tables have no reviews to score again."""

    without_reviews = 0


class _Piece(NamedTuple):
    """Some rows of a dump."""

    row_ids: list[str]
    reviews: list[str]


def of_tables(paths: Iterable[Path], after: scoring.Model, config: ScoreConfig) -> Preview:
    """Scores the rows of the tables again, from the reviews in them. Raises `InputError` if a table is damaged."""
    moves = Preview()
    threshold = _threshold(after, config)
    with scoring.thread(after) as pool:
        for group, results in scoring.scores(scored.groups(_pieces(paths, moves)), pool, scored.reviews):
            for rows, (probabilities, _) in scored.parted(group, results):
                flipped = rows.positive != (probabilities >= threshold)
                moves.add(rows.row_ids, rows.probabilities, probabilities, flipped)
    return moves


def _pieces(paths: Iterable[Path], moves: Preview) -> Iterator[scored.Rows]:
    for path in paths:
        try:
            footer = tables.read_footer(path) or {}
            column = scored.review_column(footer, scored.column_names(path))
            if column is None:
                moves.without_reviews += 1
                continue
            moves.dumps += 1
            for batch in scored.batches(path, [*scored.COLUMNS, column]):
                yield scored.of(path.name, batch, column)
        except scored.DAMAGED as error:
            raise scored.damaged(path) from error


def of_dumps(paths: Iterable[Path], before: scoring.Model, after: scoring.Model, config: ScoreConfig) -> Preview:
    """Scores the rows of the dumps with both models. Raises `InputError` if a dump cannot be read."""
    moves = Preview()
    old, new = _threshold(before, config), _threshold(after, config)
    with scoring.thread(before) as ours, scoring.thread(after) as theirs:
        first = scoring.scores(_read(paths, config, moves), ours, lambda piece: piece.reviews)
        for (piece, mine), other in scoring.scores(first, theirs, lambda pair: pair[0].reviews):
            flipped = (mine.probabilities >= old) != (other.probabilities >= new)
            moves.add(piece.row_ids, mine.probabilities, other.probabilities, flipped)
    return moves


def _read(paths: Iterable[Path], config: ScoreConfig, moves: Preview) -> Iterator[_Piece]:
    for path in paths:
        moves.dumps += 1
        digits = files.sha256(path)[:16]
        with scoring.open_dump(path, config) as rows:
            reviews_of = scoring.reviews_at(rows.review_index)
            for block in rows:
                yield _Piece([f"{digits}-{ordinal}" for ordinal in block.ordinals], reviews_of(block))


def _threshold(model: scoring.Model, config: ScoreConfig) -> float:
    return model.threshold if config.threshold is None else config.threshold
