"""Review dumps in files, folders and buckets, and which of them are new."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tasks.lib import errors, files
from tasks.lib.config import ScoreConfig
from tasks.lib.dumps import reader
from tasks.lib.layout import Layout
from tasks.lib.scores import objects, tables
from tasks.lib.scores.ledger import Ledger, Standing
from tasks.lib.stores import Fetched, Object, Store

Status = Literal["new", "scored", "same content", "too new", "not a dump", "unreadable"]
# A file system's clock may tick this slowly: what changed a moment before it was read may have changed since, unseen.
TICK_NS = 2_000_000_000


@dataclass(slots=True)
class Dump:
    """One file: what it is, what is to be done with it, and why.

    `name` is the path below the folder that was searched. `table` is the score table of its bytes below the data
    folder, which there is or will be. `replaces` is a damaged one of another model that goes when that is published. An
    object of a bucket has its URL as `path` until it is on the disk, and no `sha256` until it was read; `listed` is how
    its bucket lists it.
    """

    path: str
    name: str
    status: Status
    reason: str = ""
    sha256: str = ""
    size: int = 0
    table: str = ""
    replaces: str = ""
    listed: Object | None = None


class Looked:
    """What a run looks at dumps with: the ledger, what stands, its options and model; and the first of each content."""

    def __init__(self, ledger: Ledger, standing: Standing, config: ScoreConfig, model_id: str) -> None:
        self.ledger, self.standing, self.config, self.model_id = ledger, standing, config, model_id
        self._firsts: dict[str, str] = {}  # sha256 -> path; no more than that, as there can be many

    def status(self, dump: Dump) -> Dump:
        """The dump, with what is to be done with it if its sha256 is known."""
        if not dump.sha256:
            return dump
        if (first := self._firsts.setdefault(dump.sha256, dump.path)) != dump.path:
            dump.status, dump.reason = "same content", f"same content as {_name_like(dump, first)}"
        elif (model_id := self.standing.scored.get(dump.sha256)) and not self.config.rescore:
            dump.status = "scored"
            dump.reason = "has its table" if model_id == self.model_id else f"has its table of {model_id}"
        else:
            self._will_be_scored(dump)
        return dump

    def _will_be_scored(self, dump: Dump) -> None:
        """Enters the place of its table: that of a table of this model, sound or damaged, or a new one."""
        standing, data = self.standing, self.ledger.data
        damaged = standing.damaged.get(dump.sha256) or standing.unsound.get(dump.sha256[:16]) or ""
        folder = data.relative(tables.folder(data.scores, self.model_id))
        in_place = damaged if damaged.startswith(f"{folder}/") else ""
        name = tables.table_name(Path(dump.path).name, dump.sha256)
        dump.table = self.table(dump) or in_place or f"{folder}/{name}"
        dump.reason = f"its table is made again: {standing.reasons[damaged]}" if damaged else ""
        dump.replaces = "" if in_place else damaged

    def table(self, dump: Dump) -> str:
        """Where the sound table of a dump is, or an empty string."""
        model_id = self.standing.scored.get(dump.sha256)
        return self.ledger.table(dump.sha256, model_id) if model_id else ""


def find(places: Sequence[Path | Store], looked: Looked) -> Iterator[Dump]:
    """All files in the places, each with its status for the model. A place is a dump or a folder, also one of a bucket.

    Folders are searched with their subfolders; hidden files are skipped, and in a folder above them, our own tables and
    all else that the pipeline has made. A file is read if it is new or has changed since it was read; an object of a
    bucket is left to `arrived`. Dumps in folders that changed less than `config.min_age` seconds ago are too new:
    somebody may still be writing them. Raises `InputError` if a place does not exist or cannot be reached, `StoreError`
    if a bucket cannot.
    """
    for place in places:
        yield from map(looked.status, _identified(place, looked.ledger, looked.config.min_age))


def arrived(dump: Dump, fetched: Fetched, looked: Looked) -> Dump:
    """An object with its status, now that its bytes were read."""
    return looked.status(replace(dump, sha256=fetched.sha256))


def enter(read: Sequence[tuple[Dump, Fetched]], looked: Looked) -> None:
    """Enters objects that were read in the ledger, in one transaction."""
    entries = [objects.entry(dump.path, dump.name, dump.listed, fetched) for dump, fetched in read if dump.listed]
    looked.ledger.enter_files(entries, gone=[])


def _in_bucket(place: Store, ledger: Ledger, min_age: float) -> Iterator[Dump]:
    """Every object in the place, with its sha256 if it was read before and is the same still."""
    listed = [one for one in place.objects() if not is_hidden(place.name(one))]
    if not ledger.shelf.is_own(f"{place.url}/"):
        listed = [one for one in listed if not ledger.shelf.is_own(place.url_of(one))]
    known = objects.known(place, listed, ledger)
    for one in listed:
        url, name, is_below = place.url_of(one), errors.printable(place.name(one)), one.key != place.path
        if not reader.is_dump(name):
            yield _refused(url, name, is_below)
        elif is_below and 0 <= one.age < min_age:
            yield Dump(url, name, "too new", _too_new(one.age, min_age))
        else:
            yield Dump(url, name, "new", "", known.get(url, ""), one.size, listed=one)


def is_hidden(name: str) -> bool:
    """Whether a file, by its name below the place that is searched, or a folder above it is hidden."""
    return any(part.startswith(".") for part in name.split("/"))


def _refused(path: str, name: str, is_below: bool) -> Dump:
    """What is no dump by its name: ignored in a folder, but for what is known to hold reviews in another form."""
    refusal = reader.refusal(name)
    return Dump(path, name, "not a dump" if is_below and not refusal else "unreadable", refusal or reader.NOT_A_DUMP)


def _name_like(dump: Dump, path: str) -> str:
    """What another path is called beside the dump: below the same folder, or by its name alone."""
    folder = dump.path.removesuffix(dump.name)
    return errors.printable(path.removeprefix(folder) if path.startswith(folder) else path.rpartition("/")[2])


def _identified(place: Path | Store, ledger: Ledger, min_age: float) -> Iterator[Dump]:
    """Every file in the place, with its sha256 if it is a dump that can be read."""
    if isinstance(place, Store):
        yield from _in_bucket(place, ledger, min_age)
        return
    with files.input_errors(place):
        is_folder = place.is_dir()
    if not os.path.lexists(place):
        raise errors.InputError(f"{place}: no such file or folder. Name review dumps or folders that hold them.")
    start = str(place.resolve())
    own = set(map(str, ledger.data.own))
    listed = sorted(_below(start, own), key=lambda one: os.fsencode(one[0])) if is_folder else [(start, "")]
    known = _Known(ledger.known_files(_key(start, ledger.data)))
    read = []
    for path, error in listed:
        name = errors.printable(path[len(start) + 1 :] or place.name)
        try:
            if error:
                raise errors.InputError(f"a folder that cannot be listed: {error}. Mend that and run again.")
            if not reader.is_dump(name):
                yield _refused(path, name, is_folder)
                continue
            file = os.lstat(path)
            age = time.time() - file.st_mtime
            if is_folder and 0 <= age < min_age:  # a time to come says nothing
                yield Dump(path, name, "too new", _too_new(age, min_age))
                continue
            state = files.state(file)
            before, sha256 = known.of(key := _key(path, ledger.data))
            if state != before:
                sha256 = _read(path, file)
                settled = file.st_ctime_ns + TICK_NS < time.time_ns()
                read.append((key, state if settled else "", sha256, name))
            yield Dump(path, name, "new", "", sha256, file.st_size)
        except (OSError, errors.InputError) as problem:
            reason = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
            yield Dump(path, name, "unreadable", reason)
    ledger.enter_files(read, gone=known.rest())


class _Known:
    """What the ledger knows of files, asked for in the order in which it has them: a year's need not be in memory."""

    def __init__(self, rows: Iterator[tuple[bytes, str, str]]) -> None:
        self._rows = rows
        self._next = next(rows, None)
        self._passed: list[bytes] = []

    def of(self, path: bytes) -> tuple[str, str]:
        """The state and the sha256 of the file, empty if it is not known."""
        while self._next and self._next[0] < path:
            self._passed.append(self._next[0])
            self._next = next(self._rows, None)
        if not self._next or self._next[0] != path:
            return "", ""
        _, state, sha256 = self._next
        self._next = next(self._rows, None)
        return state, sha256

    def rest(self) -> list[bytes]:
        """The paths that were not asked for."""
        last = [self._next] if self._next else []
        return self._passed + [path for path, *_ in [*last, *self._rows]]


def _too_new(age: float, min_age: float) -> str:
    return f"changed {age:.0f} s ago; it waits until that is {min_age:g} s"


def _key(path: str, data: Layout) -> bytes:
    """The path as the ledger has it: below the data folder if it is in there. Names need not be UTF-8."""
    return os.fsencode(path.removeprefix(f"{data.root}/"))


def _below(folder: str, skipped: Container[str]) -> Iterator[tuple[str, str]]:
    """The files below the folder, and those of its folders that cannot be listed, with the error; none hidden."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.path in skipped:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(entry.path, skipped)
                else:
                    yield entry.path, ""
    except OSError as error:
        yield folder, error.strerror or type(error).__name__


def _read(path: str, file: os.stat_result) -> str:
    """The sha256 of a regular file; links, pipes and devices are refused without opening them."""
    if stat.S_ISLNK(file.st_mode):
        raise errors.InputError("it is a link; put the file itself there, or name it on the command line")
    if not stat.S_ISREG(file.st_mode):
        raise errors.InputError("it is not a regular file")
    return files.sha256(Path(path))
