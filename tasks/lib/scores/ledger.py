"""What stands: which bytes came under which names, which tables they gave, and which of these are reported or exported.

The ledger is one SQLite file, `data/ledger.sqlite`, and it is an index. The tables, their footers and the reports are
the truth: a ledger that is missing, damaged or from another data folder is made again from them, and a table that it
does not know is checked and entered. So a run need not read what earlier runs have read: a file whose size, inode,
mtime and ctime have not changed has not changed either.

One run at a time writes to it: the caller holds the lock of the data folder.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tasks.lib import errors, files
from tasks.lib.layout import Layout
from tasks.lib.scores import tables
from tasks.lib.scores.reports import FileReport
from tasks.lib.scores.shelves import Folder, Shelf

VERSION = 1
SECONDS = 60  # to wait for another process that reads or writes
SCHEMA = """
CREATE TABLE folder (path TEXT NOT NULL);
CREATE TABLE files (path BLOB PRIMARY KEY, state TEXT NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE names (sha256 TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (sha256, name)) WITHOUT ROWID;
CREATE TABLE tables (
    path TEXT PRIMARY KEY, model_id TEXT NOT NULL, input_sha256 TEXT NOT NULL, sha256 TEXT NOT NULL,
    state TEXT NOT NULL, quarantine TEXT NOT NULL, report TEXT NOT NULL DEFAULT '', exported INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX tables_by_input ON tables (input_sha256, model_id);
CREATE INDEX tables_by_report ON tables (report);
CREATE TABLE quarantines (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
"""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
ALTERED = "checksum mismatch: it was altered after it was published"
UNREADABLE = "not readable as a score table, or its quarantine is gone"


@dataclass
class Standing:
    """What there is of some models: which of them has a sound table of a dump, by the sha256 of the dump.

    `damaged` maps dumps, and `unsound` the first 16 digits of their sha256, to tables that have to be made again;
    `reasons` says of each such table why. Sound tables can be a year's: their paths stay in the ledger.
    """

    scored: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    unsound: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


class Ledger:
    """The open ledger of a data folder and its shelf; `made_again` says why it was made again, or is empty."""

    def __init__(self, shelf: Shelf, connection: sqlite3.Connection, made_again: str) -> None:
        self.data, self.shelf, self.made_again = shelf.data, shelf, made_again
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, data: Layout, shelf: Shelf | None = None) -> Iterator[Self]:
        """Opens the ledger, or makes a new one in place of one that cannot be used. Raises `OutputError`.

        The tables stand on the shelf; default: in the data folder itself.
        """
        files.make_folder(data.root)
        with _one_line_errors(data.ledger):
            with files.output_errors(data.ledger):
                if reason := _unusable(data):
                    files.remove(data.ledger)
                    files.remove(data.ledger.with_name(f"{data.ledger.name}-journal"))
            with closing(sqlite3.connect(data.ledger, timeout=SECONDS)) as connection:
                if reason:
                    connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
                    with connection:
                        connection.execute("INSERT INTO folder VALUES (?)", [str(data.root)])
                ledger = cls(shelf or Folder(data), connection, reason)
                ledger._forget_lost_report()
                yield ledger

    # What came in.

    def known_files(self, place: bytes) -> Iterator[tuple[bytes, str, str]]:
        """The dumps at and below a place, in order: path, state when it was read, sha256."""
        return self._connection.execute(
            "SELECT path, state, sha256 FROM files WHERE path = ? OR (path > ? AND path < ?) ORDER BY path",
            [place, place + b"/", place + b"0"],  # "0" follows "/"
        )

    def enter_files(self, read: Sequence[tuple[bytes, str, str, str]], gone: Sequence[bytes]) -> None:
        """Enters dumps that were read, as (path, state, sha256, name), and forgets the paths that are gone."""
        with self._connection as changes:
            changes.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in gone])
            changes.executemany("REPLACE INTO files VALUES (?, ?, ?)", [entry[:3] for entry in read])
            changes.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", [entry[2:] for entry in read])

    def names(self, sha256: str) -> list[str]:
        """Every name that these bytes came under."""
        return [name for (name,) in self._connection.execute("SELECT name FROM names WHERE sha256 = ?", [sha256])]

    # What came out.

    def enter_tables(self, made: Iterable[FileReport]) -> None:
        """Enters the published tables of dumps, in one transaction; they count as not reported yet."""
        entries = list(made)
        states = self.shelf.states_of(path for one in entries for path in (one.table, one.quarantine) if path)
        with self._connection:
            for entry in entries:
                self._enter(entry, states)

    def _enter(self, entry: FileReport, states: Mapping[str, str], report: str = "", *, exported: bool = False) -> None:
        execute = self._connection.execute
        execute("DELETE FROM tables WHERE input_sha256 = ? AND model_id = ?", [entry.sha256, entry.model_id])
        execute(
            "REPLACE INTO tables VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(entry.table, entry.model_id, entry.sha256, entry.table_sha256),
                *(states[entry.table], entry.quarantine, report, exported),
            ],
        )
        execute("INSERT OR IGNORE INTO names VALUES (?, ?)", [entry.sha256, entry.file])
        if entry.quarantine:
            quarantine = [entry.quarantine, entry.quarantine_sha256, states[entry.quarantine]]
            execute("REPLACE INTO quarantines VALUES (?, ?, ?)", quarantine)

    def look(self, model_ids: Iterable[str]) -> Standing:
        """Compares the tables of the models, and their quarantines, with what was entered.

        A table that is gone is forgotten. One that is not in the ledger is entered if it is sound. One whose bytes are
        not those that were published is damaged, as is one whose quarantine is gone or altered.
        """
        standing = Standing()
        with self._connection, files.input_errors(self.data.scores):
            quarantines = self._sound_quarantines()
            for model_id in model_ids:
                self._look_at_model(model_id, quarantines, standing)
        return standing

    def _look_at_model(self, model_id: str, quarantines: set[str], standing: Standing) -> None:
        folder = tables.folder(self.data.scores, model_id)
        on_disk = self.shelf.states(folder)
        same, gone = [], []
        # By the path, which is the key: by `model_id`, each model would cost a look at every table.
        for path, input_sha256, sha256, state, quarantine in self._connection.execute(
            "SELECT path, input_sha256, sha256, state, quarantine FROM tables WHERE path > ? AND path < ?",
            [f"{self.data.relative(folder)}/", f"{self.data.relative(folder)}0"],  # "0" follows "/"
        ):
            found = on_disk.pop(path, None)
            if found is None:
                gone.append((path,))
            elif found != state and self.shelf.sha256(path) != sha256:
                standing.damaged[input_sha256] = path
                standing.reasons[path] = ALTERED
            elif quarantine and quarantine not in quarantines:
                standing.damaged[input_sha256] = path
                standing.reasons[path] = f"its quarantine {quarantine} is gone or was altered"
            else:
                standing.scored[input_sha256] = model_id
                if found != state:
                    same.append((found, path))
        self._connection.executemany("DELETE FROM tables WHERE path = ?", gone)
        self._connection.executemany("UPDATE tables SET state = ? WHERE path = ?", same)
        self._adopt(model_id, sorted(on_disk), standing)

    def _sound_quarantines(self) -> set[str]:
        """The quarantine tables that are as they were published."""
        on_disk = self.shelf.states(self.data.quarantine)
        sound, same = set(), []
        for path, sha256, state in self._connection.execute("SELECT path, sha256, state FROM quarantines"):
            found = on_disk.get(path)
            if found is None or (found != state and self.shelf.sha256(path) != sha256):
                continue
            sound.add(path)
            if found != state:
                same.append((found, path))
        self._connection.executemany("UPDATE quarantines SET state = ? WHERE path = ?", same)
        return sound

    def _adopt(self, model_id: str, paths: Sequence[str], standing: Standing) -> None:
        """Enters the tables that a killed run or another ledger left, but for those that are damaged."""
        published = _published(self.data.reports) if paths else {}
        for path in paths:
            sha256, report = published.get(path, ("", ""))
            entry = self.shelf.report(path)
            if entry and not entry.table_sha256:  # in a bucket: nothing but the reports knows it
                entry = entry.model_copy(update={"table_sha256": sha256})
            if entry is None or entry.model_id != model_id or sha256 not in ("", entry.table_sha256):
                standing.unsound[Path(path).stem.rpartition("-")[2]] = path
                standing.reasons[path] = ALTERED if sha256 else UNREADABLE
            elif entry.sha256 not in standing.scored:
                states = self.shelf.states_of(filter(None, [entry.table, entry.quarantine]))
                self._enter(entry, states, report, exported=self.shelf.is_exported(path))
                standing.scored[entry.sha256] = model_id

    def table(self, sha256: str, model_id: str) -> str:
        """Where the table of a dump is that `look` found sound."""
        by_input = "SELECT path FROM tables WHERE input_sha256 = ? AND model_id = ?"
        (path,) = self._connection.execute(by_input, [sha256, model_id]).fetchone()
        return str(path)

    # What was said of it.

    def unreported(self) -> list[FileReport]:
        """What became of the dumps whose tables no report has."""
        rows = self._connection.execute("SELECT path, sha256 FROM tables WHERE report = ''").fetchall()
        found = [(self.shelf.report(path), sha256) for path, sha256 in rows]
        return [late.model_copy(update={"table_sha256": sha256}) for late, sha256 in found if late]

    def enter_report(self, name: str, paths: Iterable[str]) -> None:
        """Enters the name of the report that is about to be written, and which tables it has.

        If the run is killed before the report is there, the next one takes the entry back.
        """
        with self._connection as changes:
            changes.executemany("UPDATE tables SET report = ? WHERE path = ?", [(name, path) for path in paths])

    def _forget_lost_report(self) -> None:
        (last,) = self._connection.execute("SELECT max(report) FROM tables").fetchone()
        if last and not (self.data.reports / last).exists():
            with self._connection as changes:
                changes.execute("UPDATE tables SET report = '' WHERE report = ?", [last])

    def exported(self, path: str) -> bool:
        """Whether the table at this path has been exported since it was published."""
        found = self._connection.execute("SELECT exported FROM tables WHERE path = ?", [path]).fetchone()
        return bool(found and found[0])

    def enter_exports(self, paths: Iterable[str]) -> None:
        """Enters that these tables have been exported."""
        with self._connection as changes:
            changes.executemany("UPDATE tables SET exported = 1 WHERE path = ?", [(path,) for path in paths])


def published(data: Layout, paths: Iterable[str]) -> dict[str, str]:
    """The sha256 of the published tables and quarantines by path, so far as the ledger or the reports know it.

    `paths` are the tables that matter: the reports are read only if the ledger lacks one. Nothing is written, so the
    caller need not hold the lock; what a run publishes meanwhile may or may not be in.
    """
    known: dict[str, str] = {}
    with _one_line_errors(data.ledger):
        if not _unusable(data):
            address = f"{data.ledger.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=SECONDS)) as connection:
                known = dict(
                    connection.execute("SELECT path, sha256 FROM tables UNION SELECT path, sha256 FROM quarantines")
                )
    if any(path not in known for path in paths):
        known = {path: sha256 for path, (sha256, _) in _published(data.reports).items() if sha256} | known
    return known


def _unusable(data: Layout) -> str:
    """Why the ledger has to be made again, or an empty string."""
    if not data.ledger.exists():
        return "there was none"
    try:
        with closing(sqlite3.connect(data.ledger, timeout=SECONDS)) as connection:
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if state != "ok":
                return "it was damaged"
            if version != VERSION:
                return "it was of another version"
            (folder,) = connection.execute("SELECT path FROM folder").fetchone()
            return "" if folder == str(data.root) else f"it was of another data folder, {folder}"
    except (sqlite3.DatabaseError, TypeError) as error:
        if isinstance(error, TypeError) or error.sqlite_errorcode & 0xFF in DAMAGED:
            return "it was damaged"
        raise


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise errors.OutputError(
            f"{path}: cannot be used: {error}. No table was lost; mend that and run the same command again. A damaged "
            "ledger is made again from the tables."
        ) from error


def _published(folder: Path) -> dict[str, tuple[str, str]]:
    """What the reports say: path of a table -> its sha256, and the name of the last report that has it."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            for entry in json.loads(path.read_bytes())["files"]:
                before, _ = found.get(entry["table"], ("", ""))  # an export is reported without the sha256
                found[entry["table"]] = entry.get("table_sha256") or before, path.name
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # a damaged report says nothing
    return found
