"""The reviews of each day: drawn from the subjects of that day, with the label that is true of each."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from tests.tools.sample.generate import Writer
from tests.tools.year.subjects import FILMS, GERMAN, HOTELS, PHONES, RESTAURANTS, Subject

BREAKS = (" ",)
MISREAD = 0.02  # of the labels that people give are wrong
TAKE_OVER = 14  # days from the first review of the new subject until most are of it
SHARE_AFTER = 0.8  # of the new subject, then
SHARE_OF_OTHER_LANGUAGE = 0.1
USUAL = ((FILMS, 0.45), (RESTAURANTS, 0.3), (HOTELS, 0.25))


class Row(NamedTuple):
    """A review with its id, what it is about, and its true label: 1 positive, 0 negative."""

    id: str
    subject: str
    label: int
    text: str


class ReviewWriter(Writer):
    """Draws short reviews of any subject. Their opinions often contradict their label: no model gets all right."""

    shortest, longest = 12, 60
    agreeing, agreeing_verdicts = 0.94, 0.94

    def about(self, subject: Subject) -> tuple[int, str]:
        """The label and the text of a review of this subject, in its mood."""
        self.neutral, self.polar = subject.neutral, subject.polar
        self.opinions, self.facts, self.verdicts = subject.opinions, subject.facts, subject.verdicts
        label = int(self.chance(subject.positive))
        return label, self.review(label, BREAKS).text


class Times:
    """When what is reviewed changes: a new subject from one day on, another language from another day on."""

    def __init__(self, new_subject: date, other_language: date) -> None:
        self.new_subject, self.other_language = new_subject, other_language

    def shares(self, day: date) -> list[tuple[Subject, float]]:
        """Each subject of the day with its share of the reviews."""
        since = (day - self.new_subject).days + 1
        new = SHARE_AFTER * min(1.0, max(0, since) / TAKE_OVER)
        german = SHARE_OF_OTHER_LANGUAGE if day >= self.other_language else 0.0
        rest = 1 - german
        return [
            *((subject, share * (1 - new) * rest) for subject, share in USUAL),
            (PHONES, new * rest),
            (GERMAN, german),
        ]


def draw(seed: int, times: Times, day: date, count: int, first_id: str) -> list[Row]:
    """So many reviews of a day, always the same for the same seed; their ids begin with `first_id`."""
    writer = ReviewWriter(seed * 1_000_000 + day.toordinal())
    shares = times.shares(day)
    rows = []
    for number in range(count):
        subject = _drawn(writer, shares)
        label, text = writer.about(subject)
        rows.append(Row(f"{first_id}-{number:04}", subject.name, label, text))
    return rows


def _drawn(writer: ReviewWriter, shares: list[tuple[Subject, float]]) -> Subject:
    at = writer.below(1_000_000) / 1_000_000
    for subject, share in shares:
        at -= share
        if at < 0:
            return subject
    return shares[0][0]
