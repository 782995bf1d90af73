"""The words of a review by the encoder's rule: what makes two reviews the same, and a word index of one's own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from tasks.lib.network.encoder import TRANSLATION

FEWEST = 2  # occurrences of a word that gets a rank


def words(review: str) -> list[bytes]:
    """The words of a review, in its order: lower case, without punctuation, as UTF-8."""
    return [word for word in review.encode(errors="surrogatepass").translate(TRANSLATION).split(b" ") if word]


def identity(review: str) -> str:
    """The sha256, in hex, of the review's words: no case, punctuation or line breaks, which editors change."""
    return hashlib.sha256(b" ".join(words(review.replace("\r", " ")))).hexdigest()


def index(reviews: Iterable[str]) -> dict[str, int]:
    """The words that occur at least twice, with their rank (1 = most frequent); equals by their letters."""
    counts = Counter(word for review in reviews for word in words(review))
    frequent = sorted((-count, word) for word, count in counts.items() if count >= FEWEST)
    return {word.decode(errors="replace"): rank for rank, (_, word) in enumerate(frequent, start=1)}
