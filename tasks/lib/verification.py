"""Published score tables verified: each by what it says of itself, and by scoring rows of it again with its model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from tasks.lib import arrow, errors, files, scoring
from tasks.lib.layout import Layout
from tasks.lib.scores import proofs, scored, tables


@dataclass
class Verified:
    """What was found: how much of it holds, and each fault by the path that it is about, in one line."""

    tables: int = 0
    rows: int = 0
    quarantined: int = 0
    scored_again: int = 0
    without_reviews: int = 0
    faults: dict[str, str] = field(default_factory=dict)

    def __add__(self, other: Verified) -> Verified:
        return Verified(
            self.tables + other.tables,
            self.rows + other.rows,
            self.quarantined + other.quarantined,
            self.scored_again + other.scored_again,
            self.without_reviews + other.without_reviews,
            self.faults | other.faults,
        )


def in_part(path: str, part: str, day: date) -> bool:
    """Whether a table is in `K/N`, the K-th of N parts; with `today/N`, K is another one on each of N days."""
    which, _, parts = part.partition("/")
    number = day.toordinal() % int(parts) if which == "today" else int(which) - 1
    return int(files.digest(Path(path).name), 16) % int(parts) == number


def by_model(paths: Sequence[str]) -> dict[str, list[str]]:
    """The tables of each model, which the name of their folder says."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(Path(path).parent.name.removeprefix("model="), []).append(path)
    return found


def verify(
    data: Layout,
    model: scoring.Model | None,
    paths: Sequence[str],
    published: Mapping[str, str],
    sample: int | None,
) -> Verified:
    """Verifies tables of one model; without the model, no row is scored again.

    `sample` and `published` are those of `proofs.check`. Raises `ModelError` if the model gives no numbers.
    """
    held: dict[str, proofs.Proof] = {}
    faults: dict[str, str] = {}
    doubts: dict[str, set[int]] = {}  # blocks with rows that differ
    again = 0

    def pieces() -> Iterator[scored.Rows]:
        for path in paths:
            try:
                held[path] = yield from proofs.check(data, path, published, sample)
            except errors.InputError as error:
                faults[path] = str(error)

    if model is None:
        deque(pieces(), maxlen=0)
    else:
        with scoring.thread(model) as pool:
            for group, results in scoring.scores(scored.groups(pieces()), pool, scored.reviews):
                for rows, (probabilities, known_tokens) in scored.parted(group, results):
                    again += len(rows.reviews)
                    if len(found := proofs.wrong(rows, probabilities, known_tokens)):
                        blocks = scored.block_numbers(arrow.text([rows.row_ids[at] for at in found]))
                        doubts.setdefault(rows.table, set()).update(blocks.tolist())
        for path in held.keys() & doubts.keys():
            if problem := _in_company(data, path, model, doubts[path]):
                faults[path] = problem
    sound = [proof for path, proof in held.items() if path not in faults]
    return Verified(
        tables=len(sound),
        rows=sum(proof.scored for proof in sound),
        quarantined=sum(proof.quarantined for proof in sound),
        scored_again=again,
        without_reviews=sum(not proof.has_reviews for proof in sound),
        faults=faults,
    )


def _in_company(data: Layout, path: str, model: scoring.Model, blocks: set[int]) -> str:
    """What differs if rows are scored in their blocks, among those that they were scored with; empty if nothing does.

    Alone, a sensitive row may differ by more than the tolerance; in its block it gets the same bits again.
    """
    table = data.root / path
    try:
        column = scored.review_column(tables.read_footer(table) or {}, scored.column_names(table))
        for rows in scored.blocks(table, path, column, blocks) if column else ():
            again = model(rows.reviews)
            if problem := proofs.difference(rows, again.probabilities, again.known_tokens):
                return problem
    except scored.DAMAGED:
        return str(scored.damaged(path))
    return ""
