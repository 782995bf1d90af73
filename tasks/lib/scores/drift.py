"""How far scored reviews are from those that the model was validated on.

Each distribution is compared by its population stability index, PSI = sum of (p - q) ln(p / q) over the bins. Without
a change, and with n and m reviews in k bins, PSI / (1/n + 1/m) is about chi-squared with k - 1 degrees of freedom. So
a limit for n and m follows from how often chance alone may exceed it. With many reviews that limit would be tiny: a
change that does not matter in practice is none, however sure it is.

The reviews of a corpus come as the ranks of their words, without the words that the index lacks. Labelled reviews of
one's own come with their texts: they are the reference for the share of unknown words, which has a fixed limit, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.special import chdtri

from tasks.lib.profiles import Profile

# The least PSI that counts. By custom, PSI is called a moderate change from 0.1 on and a large one from 0.25 on. The
# two bins of the share of positives are 8 percentage points apart at 0.025. New words are 0.01 apart by chance, and
# 0.06 when a twelfth of the reviews is on another subject.
LEAST = {"probabilities": 0.1, "positives": 0.025, "length": 0.1, "rare words": 0.1, "new words": 0.05}
UNKNOWN_WORDS = "unknown words"
MOST_UNKNOWN = 0.2  # share of all words: it is 1 % in the IMDB test reviews
KINDS = (*LEAST, UNKNOWN_WORDS)
# How often chance alone may make each distribution exceed its limit, in one of a day's dumps: 0.5 % together. The share
# of positives has most of it, as its changes are the ones that few reviews show least surely.
LEVELS = {"probabilities": 0.0005, "positives": 0.003, "length": 0.0005, "rare words": 0.0005, "new words": 0.0005}
FEWEST_ROWS = 50
# Of the reference, and of the dump, that a bin holds at least. Another subject shows in the few reviews with many new
# words: in bins of a tenth it was seen on the fourth day (docs/year.md), in these on the first.
BIN_SHARES = {"probabilities": 0.1, "positives": 0.1, "length": 0.1, "rare words": 0.1, "new words": 0.02}
BIN_ROWS = 10


class Finding(NamedTuple):
    """How far one distribution is from its reference: PSI, or the share of unknown words, and the limit for it."""

    value: float
    limit: float

    @property
    def is_drift(self) -> bool:
        """Whether it is farther than chance explains, and far enough to matter."""
        return self.value > self.limit


Findings = dict[str, Finding]


class Day(BaseModel):
    """What was scored on one day so far, by each model, and which kinds of drift were reported that day.

    `dumps` is how many were compared, each by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: str
    models: dict[str, Profile] = {}
    dumps: int = 0
    reported: list[str] = []

    def after(self, scored: Mapping[str, Profile], dumps: int = 0) -> Day:
        """The day with what else was scored by some models, and so many dumps more that were compared."""
        models = {
            model_id: self.models.get(model_id, Profile()) + scored.get(model_id, Profile())
            for model_id in {**self.models, **scored}
        }
        return self.model_copy(update={"models": models, "dumps": self.dumps + dumps})


def is_comparable(found: Profile) -> bool:
    """Whether there are enough reviews to say how far they are from others."""
    return found.rows >= FEWEST_ROWS


def compare(reference: Profile, found: Profile, among: int = 1) -> Findings:
    """How far the reviews are from the reference, for each kind that both have; nothing for too few reviews.

    `among` is how many dumps are compared like this one: chance may make one of them all exceed its limit as often as
    one alone (Bonferroni).
    """
    if not is_comparable(found):
        return {}
    distributions = {
        "probabilities": (reference.probabilities, found.probabilities),
        "positives": (reference.halves, found.halves),
        "length": (reference.lengths, found.lengths),
        "rare words": (reference.rare, found.rare),
        "new words": (reference.unknown, found.unknown),
    }
    findings = {
        kind: finding
        for kind, (wanted, seen) in distributions.items()
        if sum(wanted)
        and sum(seen)
        and (finding := _compare(kind, np.array(wanted), np.array(seen), LEVELS[kind] / among))
    }
    if found.words:
        findings[UNKNOWN_WORDS] = Finding(1 - found.known / found.words, MOST_UNKNOWN)
    return findings


def drifted(findings: Findings) -> list[str]:
    """The kinds that are beyond their limit."""
    return [kind for kind, finding in findings.items() if finding.is_drift]


def _compare(kind: str, reference: npt.NDArray[np.int64], found: npt.NDArray[np.int64], level: float) -> Finding | None:
    """None if all of the reference is in one bin: then nothing is known of the others."""
    m, n = int(reference.sum()), int(found.sum())
    starts = _starts(reference, max(m * BIN_SHARES[kind], BIN_ROWS, m * BIN_ROWS / n))
    bins = len(starts)
    if bins < 2:
        return None
    # Half a review more in each bin: an empty one would make it infinite.
    p = (np.add.reduceat(reference, starts) + 0.5) / (m + bins / 2)
    q = (np.add.reduceat(found, starts) + 0.5) / (n + bins / 2)
    chance = float(chdtri(bins - 1, level)) * (1 / n + 1 / m)
    return Finding(float(np.sum((p - q) * np.log(p / q))), max(LEAST[kind], chance))


def _starts(reference: npt.NDArray[np.int64], fewest: float) -> list[int]:
    """Where bins begin that hold at least so many reviews of the reference: neighbours are put together."""
    starts, held = [0], 0
    for position, count in enumerate(reference.tolist()):
        if held >= fewest and reference[position:].sum() >= fewest:
            starts.append(position)
            held = 0
        held += count
    return starts
