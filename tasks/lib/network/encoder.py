"""Raw reviews to rows of token ids, by the rule behind the ids of the IMDB data set.

The rule: ASCII letters to lower case; punctuation, tab and newline to spaces; split on spaces; words that are not in
the word index are dropped; the id is the rank plus 3, or 2 (out of vocabulary) from `num_words` on; id 1 comes first;
the last `maxlen` ids are kept, padded with 0 on the left.

Every word has to be looked up, since the known ones are counted. `map(dict.get, text.split())` does 15,000 reviews a
second (one core, IMDB test reviews), pyarrow's split_pattern and index_in 33,000, this module 70,000.

- One `bytes.translate` converts a whole chunk of joined reviews (0.8 GB/s).
- No Python object is made for a word. A word of up to 8 bytes is read as one 64-bit number, one of up to 16 as two,
  from a view of the text in which a number begins at each byte. So words are compared exactly, and all at once. The
  few longer ones (1 in 1,000) are looked up in a dictionary.
- The table of numbers is hashed with open addressing, common words first, so nearly all are found at the first look;
  the rest is a short array, looked up again.
- A chunk is about half a megabyte of text: its arrays stay in the processor's cache (1.5 times as fast as all 25,000
  reviews at once). NumPy releases the interpreter lock, so threads can share one `Encoder`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tasks.lib.network import ngrams
from tasks.lib.network.ngrams import Vocabulary
from tasks.lib.network.table import Numbers, Positions, Table
from tasks.lib.tokens import INDEX_FROM, PADDING_ID, START_ID, UNKNOWN_ID, Ids

SEPARATORS = b'!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'  # not the apostrophe
NUL, NEVER = b"\0", b"\xff"  # words are padded with NUL: one in the text becomes a byte that UTF-8 never has
TRANSLATION = bytes.maketrans(
    SEPARATORS + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" + NUL,
    b" " * len(SEPARATORS) + b"abcdefghijklmnopqrstuvwxyz" + NEVER,
)
SPACE = 32
CHUNK_CHARACTERS = 1 << 19
WIDTH = 8  # bytes of a number
MARGIN = b" " * 2 * WIDTH  # the numbers of the last words are read past their ends
MASKS: Numbers = np.array([(1 << 8 * size) - 1 for size in range(WIDTH + 1)], np.uint64)


class Encoded(NamedTuple):
    ids: Ids
    """[review, maxlen]"""
    known_tokens: Ids
    """[review]: how many of its words are in the word index, also those that did not fit into `ids`."""
    rare_tokens: Ids
    """[review]: how many of these are out of vocabulary"""
    words: Ids
    """[review]: how many words it has, known or not"""
    ngram_ids: Ids | None = None
    """[review, most n-grams of one]: those of the whole review, from 1, padded with 0 on the right"""


class Encoder:
    """Encodes reviews with one word index, and a vocabulary of n-grams if there is one; threads can share it."""

    def __init__(
        self, word_index: Mapping[str, int], num_words: int, maxlen: int, ngrams: Vocabulary | None = None
    ) -> None:
        self.num_words = num_words
        self.maxlen = maxlen
        self.ngrams = ngrams
        ids = {
            word.encode().replace(NUL, NEVER): rank + INDEX_FROM
            for word, rank in sorted(word_index.items(), key=lambda item: item[1])
        }
        self._short = _table([word for word in ids if len(word) <= WIDTH], ids, parts=1)
        self._middle = _table([word for word in ids if WIDTH < len(word) <= 2 * WIDTH], ids, parts=2)
        self._long = {word: number for word, number in ids.items() if len(word) > 2 * WIDTH}

    def encode(self, reviews: Sequence[str]) -> Encoded:
        """The ids of each review and what is counted of its words, in their order."""
        ids = np.empty((len(reviews), self.maxlen), np.int32)
        known_tokens, rare_tokens, all_words = np.empty((3, len(reviews)), np.int32)
        found = []
        for chunk in _chunks(reviews):
            words, counts, all_words[chunk] = self._words(reviews[chunk])
            is_common = words < self.num_words
            known_tokens[chunk] = counts
            rare_tokens[chunk] = np.diff(np.concatenate([[0], np.cumsum(~is_common)])[np.cumsum(counts)], prepend=0)
            self._lay_out(np.where(is_common, words, UNKNOWN_ID), counts, ids[chunk])
            if self.ngrams is not None:
                found.append(self.ngrams.find(words - INDEX_FROM, counts))
        ngram_ids = None if self.ngrams is None else ngrams.padded(found)
        return Encoded(ids, known_tokens, rare_tokens, all_words, ngram_ids)

    def ranks(self, reviews: Sequence[str]) -> tuple[Ids, Positions, Positions]:
        """The ranks of all known words, one after the other; how many each review has, and how many words at all."""
        found = [
            (np.zeros(0, np.int32), ngrams.NONE, ngrams.NONE),
            *(self._words(reviews[c]) for c in _chunks(reviews)),
        ]
        words, counts, all_words = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return words - INDEX_FROM, counts, all_words

    def _words(self, reviews: Sequence[str]) -> tuple[Ids, Positions, Positions]:
        """The ids of all known words, whatever `num_words`; how many each review has, and how many words at all."""
        raw = [review.encode(errors="surrogatepass") for review in reviews]
        text = b" ".join([*raw, MARGIN]).translate(TRANSLATION)
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == SPACE)[: -len(MARGIN)]
        found, empty = self._look_up(text, ends)
        known = np.flatnonzero(found)
        review_ends = np.cumsum([len(review) + 1 for review in raw])
        counts, all_ends, empty_ends = (
            np.diff(np.searchsorted(which, review_ends), prepend=0) for which in (ends[known], ends, ends[empty])
        )
        return found[known], counts, all_ends - empty_ends

    def _look_up(self, text: bytes, ends: Positions) -> tuple[Ids, Positions]:
        """The id of the word before each of `ends`, 0 where it is empty or not in the index; where it is empty."""
        starts = np.empty_like(ends)
        starts[0] = 0
        np.add(ends[:-1], 1, out=starts[1:])
        sizes = ends - starts
        empty = np.flatnonzero(sizes == 0)
        numbers: Numbers = np.ndarray((len(text) - WIDTH + 1,), "<u8", text, strides=(1,))
        first = numbers[starts] & MASKS[np.minimum(sizes, WIDTH)]
        found = self._short.look_up(first)
        long = np.flatnonzero(sizes > WIDTH)
        sizes, starts = sizes[long], starts[long]
        second = numbers[starts + WIDTH] & MASKS[np.minimum(sizes - WIDTH, WIDTH)]
        found[long] = self._middle.look_up(first[long], second)
        for position in np.flatnonzero(sizes > 2 * WIDTH).tolist():
            start = int(starts[position])
            found[long[position]] = self._long.get(text[start : start + int(sizes[position])], 0)
        return found, empty

    def _lay_out(self, known: Ids, counts: Positions, ids: Ids) -> None:
        """Writes each review's last ids to the right end of its row, after the start id if that fits."""
        kept = np.minimum(counts, self.maxlen)
        columns = np.arange(self.maxlen)
        first_column = self.maxlen - kept
        ids.fill(PADDING_ID)
        shorter = np.flatnonzero(first_column)
        ids[shorter, first_column[shorter] - 1] = START_ID
        ends = np.cumsum(counts)
        taken = np.repeat(ends - kept - np.cumsum(kept) + kept, kept) + np.arange(kept.sum())
        ids[columns >= first_column[:, np.newaxis]] = known[taken]


def _table(words: Sequence[bytes], ids: Mapping[bytes, int], parts: int) -> Table:
    """Ids of words of 1 to 8 (`parts=1`) or 9 to 16 bytes (`parts=2`), by their bytes as numbers."""
    padded = b"".join(word.ljust(parts * WIDTH, NUL) for word in words)
    return Table(np.frombuffer(padded, "<u8").reshape(-1, parts).T, np.array([ids[word] for word in words], np.int32))


def _chunks(reviews: Sequence[str]) -> Iterator[slice]:
    """Slices of consecutive reviews with about `CHUNK_CHARACTERS` together."""
    start = size = 0
    for position, review in enumerate(reviews):
        size += len(review) + 1
        if size >= CHUNK_CHARACTERS:
            yield slice(start, position + 1)
            start, size = position + 1, 0
    if size:
        yield slice(start, len(reviews))
