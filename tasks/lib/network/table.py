"""Many look-ups at once: small numbers by one or two 64-bit keys, hashed with open addressing.

The first ones filled in are at their place, so nearly all that are common are found at the first look; the rest is a
short array, looked up again. `np.searchsorted` in 120,000 keys takes 6 times as long.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.lib.tokens import Ids

Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

MIXERS: Numbers = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)  # odd, bits well spread


class Table:
    """The id, above 0, of each key: a column of one or two numbers."""

    def __init__(self, keys: Numbers, ids: Ids) -> None:
        parts, count = keys.shape
        bits = max(4, (4 * count).bit_length())  # a quarter to an eighth of the places is taken
        self._shift = np.uint64(64 - bits)
        self._last = (1 << bits) - 1
        self._ids = np.zeros(self._last + 1, np.int32)
        self._keys = np.zeros((parts, self._last + 1), np.uint64)
        self._fill(keys, ids)

    def _fill(self, keys: Numbers, ids: Ids) -> None:
        """Puts each key into its place or the next free one, the first ones first."""
        places = self._places(keys)
        while len(ids):
            free = np.flatnonzero(self._ids[places] == 0)
            winners = free[np.unique(places[free], return_index=True)[1]]
            self._keys[:, places[winners]] = keys[:, winners]
            self._ids[places[winners]] = ids[winners]
            left = np.ones(len(ids), bool)
            left[winners] = False
            keys, ids, places = keys[:, left], ids[left], (places[left] + 1) & self._last

    def _places(self, keys: Sequence[Numbers] | Numbers) -> Positions:
        mixed: Numbers = keys[0] * MIXERS[0]
        if len(keys) == 2:
            mixed ^= keys[1] * MIXERS[1]
        mixed >>= self._shift
        places: Positions = mixed.view(np.int64)
        return places

    def look_up(self, *keys: Numbers) -> Ids:
        """The id of each key, 0 for those that are not in the table."""
        places = self._places(keys)
        found, elsewhere = self._compare(places, keys)
        positions = elsewhere
        while len(positions):
            keys = tuple(key[elsewhere] for key in keys)
            places = (places[elsewhere] + 1) & self._last
            found[positions], elsewhere = self._compare(places, keys)
            positions = positions[elsewhere]
        return found

    def _compare(self, places: Positions, keys: Sequence[Numbers]) -> tuple[Ids, Positions]:
        """The ids of the keys that are in their places, and which keys met another one there."""
        found = self._ids[places]
        differs = self._keys[0][places] != keys[0]
        for stored, key in zip(self._keys[1:], keys[1:], strict=True):
            differs |= stored[places] != key
        absent = np.flatnonzero(differs)
        elsewhere = absent[found[absent] != 0]
        found[absent] = 0
        return found, elsewhere
