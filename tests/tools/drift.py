"""How often dumps alarm that are like the reference, and how often those that are not.

    python -m tests.tools.drift [--data-dir data] [--dumps 1000]

Scores the labelled test reviews with the current model: those of IMDB_DIR if it is set, else those of data/sample.
Draws dumps from them, and from what was made of them: cut to a fifth, of other shares of positives, in German.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cyclopts import App

from tasks.lib import profiles, scoring
from tasks.lib.layout import CLONE, SAMPLE, Layout
from tasks.lib.models import bundles, releases
from tasks.lib.profiles import Profile, Scores
from tasks.lib.scores import drift
from tests.support import german

ROWS = (50, 500, 5_000)
MADE = 2_000  # reviews that are changed and scored again
BLOCK = 500
Rows = npt.NDArray[np.int64]
app = App(name="python -m tests.tools.drift", help=__doc__, version_flags=[])


def read(path: Path) -> tuple[list[str], npt.NDArray[np.bool_]]:
    """The reviews of a dump, and which of them are positive."""
    with gzip.open(path, "rt", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    return [row["review"] for row in rows], np.array([row["sentiment"] in ("1", "pos", "positive") for row in rows])


class Scored:
    """Reviews scored once, of which dumps are drawn."""

    def __init__(self, model: scoring.Model, reviews: list[str]) -> None:
        blocks = [model(reviews[start : start + BLOCK]) for start in range(0, len(reviews), BLOCK)]
        self.probabilities = np.concatenate([block.probabilities for block in blocks])
        self.known = np.concatenate([block.known_tokens for block in blocks])
        self.rare = np.concatenate([block.rare_tokens for block in blocks])
        self.words = np.concatenate([block.words for block in blocks])

    def __len__(self) -> int:
        return len(self.words)

    def chosen(self, rows: Rows) -> Profile:
        return profiles.count(Scores(self.probabilities[rows], self.known[rows], self.rare[rows], self.words[rows]))


def draws(generator: np.random.Generator, count: int, size: int, dumps: int) -> Iterator[Rows]:
    """Rows of so many dumps, drawn with replacement from `count` reviews."""
    return (generator.integers(0, count, size) for _ in range(dumps))


def with_share(
    generator: np.random.Generator, positive: npt.NDArray[np.bool_], share: float, size: int, dumps: int
) -> Iterator[Rows]:
    """The same, with this share of positive reviews on average."""
    kinds = np.flatnonzero(~positive), np.flatnonzero(positive)
    for _ in range(dumps):
        positives = generator.binomial(size, share)
        yield np.concatenate([generator.choice(kinds[0], size - positives), generator.choice(kinds[1], positives)])


def show(name: str, size: int, found: list[list[str]]) -> None:
    alarms = sum(map(bool, found))
    kinds = Counter(kind for kinds in found for kind in kinds)
    told = ", ".join(f"{kind} {100 * count / len(found):.1f}" for kind, count in kinds.most_common())
    print(f"| {name} | {size:,} | {100 * alarms / len(found):.1f} % | {told} |")


@app.default
def main(*, data_dir: Path = CLONE / "data", dumps: int = 1_000) -> None:
    """Print a table of how many dumps alarm, of each kind and size."""
    models = Layout(data_dir.resolve()).models
    model = scoring.Model.open(models, releases.current_id(models))
    reference = bundles.read_reference(models, model.model_id)
    if reference is None:
        raise SystemExit(f"error: {model.model_id} has no reference. Train it again.")
    real = os.environ.get("IMDB_DIR")
    reviews, positive = read(Path(real or SAMPLE) / ("reviews_test.csv.gz" if real else "reviews-test.csv.gz"))
    print(f"{model.model_id}, {reference.rows:,} validation reviews, {len(reviews):,} test reviews\n")
    test = Scored(model, reviews)
    fifth = Scored(model, [" ".join(review.split()[: len(review.split()) // 5 or 1]) for review in reviews[:MADE]])
    other = Scored(model, german.reviews(MADE))
    generator = np.random.default_rng(0)
    print("| dumps | rows | alarm | of these kinds, in % |\n|---|---|---|---|")
    everything = len(reviews)

    def found(wanted: Profile, scores: Scored, rows: Iterable[Rows]) -> list[list[str]]:
        return [drift.drifted(drift.compare(wanted, scores.chosen(each))) for each in rows]

    for size in ROWS:
        alarms = []
        for rows in draws(generator, everything, size, dumps):  # each with a reference of its own
            wanted = test.chosen(generator.integers(0, everything, reference.rows))
            alarms += found(wanted, test, [rows])
        show("drawn like their reference", size, alarms)
    for size in ROWS:
        show("test reviews", size, found(reference, test, draws(generator, everything, size, dumps)))
    for name, scores in (("German", other), ("a fifth of the length", fifth)):
        for size in ROWS[:2]:
            show(name, size, found(reference, scores, draws(generator, len(scores), size, dumps)))
    for moved in (-0.2, 0.2):
        share = positive.mean() + moved
        for size in ROWS[:2]:
            drawn = with_share(generator, positive, share, size, dumps)
            show(f"positives {100 * moved:+.0f} points", size, found(reference, test, drawn))
    print(f"\n| all {len(reviews):,} test reviews | value | limit |\n|---|---|---|")
    for kind, finding in drift.compare(reference, test.chosen(np.arange(everything))).items():
        print(f"| {kind} | {finding.value:.4f} | {finding.limit:.4f} |{' drift' if finding.is_drift else ''}")


if __name__ == "__main__":
    app()
