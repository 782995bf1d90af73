"""Objects of buckets that were read before and are the same still, as the ledger knows them.

A listing has the size and the time of the last change, in whole seconds at worst. So the state of an object that was
read soon after that time has a mark: once more, the version that the store gives it decides.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from tasks.lib import stores
from tasks.lib.scores.ledger import Ledger
from tasks.lib.stores import Fetched, Object, Store

MARK = "? "


def known(place: Store, listed: Sequence[Object], ledger: Ledger) -> dict[str, str]:
    """The sha256 of each listed object that was read before and has not changed since, by its URL.

    Forgets what is not listed any more. Raises `StoreError`.
    """
    before = {path: (state, sha256) for path, state, sha256 in ledger.known_files(os.fsencode(place.url))}
    found, doubtful = {}, []
    for one in listed:
        url = place.url_of(one)
        state, sha256 = before.pop(os.fsencode(url), ("", ""))
        if state.startswith(f"{one.state} "):
            found[url] = sha256
        elif state.startswith(f"{MARK}{one.state} "):
            doubtful.append((one, state, sha256))
    again = []
    for (one, state, sha256), version in zip(doubtful, place.versions([one for one, *_ in doubtful]), strict=True):
        if state == f"{MARK}{one.state} {version}":
            found[url := place.url_of(one)] = sha256
            again.append((os.fsencode(url), _state(one, version), sha256, place.name(one)))
    ledger.enter_files(again, gone=list(before))
    return found


def entry(url: str, name: str, listed: Object, fetched: Fetched) -> tuple[bytes, str, str, str]:
    """What the ledger takes of an object that was read."""
    return os.fsencode(url), _state(listed, fetched.version), fetched.sha256, name


def _state(listed: Object, version: str) -> str:
    mark = "" if listed.age > stores.SETTLED_SECONDS else MARK
    return f"{mark}{listed.state} {version}"
