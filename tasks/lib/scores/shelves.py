"""Where published tables stand: in the data folder, or in a bucket, under the same names.

What stands there is the truth: the ledger asks its shelf. In a bucket, an object appears when it is complete, and the
local copy is removed then; of tables scored before, the last bytes are read, and all of them only to be exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tasks.lib import files
from tasks.lib.layout import Layout
from tasks.lib.scores import exports, reports, tables
from tasks.lib.scores.reports import FileReport
from tasks.lib.stores import Store

ASIDE = ".partial"  # the folder in a bucket for large objects that are not whole yet
TAIL = 1 << 16  # bytes at the end of a table; most footers have fewer


class Shelf(Protocol):
    """Where tables stand. Paths are those of records: below the data folder, or below the URL of the bucket."""

    data: Layout

    def states(self, folder: Path) -> dict[str, str]:
        """What stands in a folder of the layout and is not hidden: its state, by path."""

    def states_of(self, paths: Iterable[str]) -> dict[str, str]:
        """The states of what has just been published."""

    def sha256(self, path: str) -> str:
        """The sha256 of what stands there."""

    def report(self, path: str) -> FileReport | None:
        """What the footer of a table says; None if it or its quarantine is missing or damaged."""

    def is_exported(self, path: str) -> bool:
        """Whether there is an export of the table that was written after it."""

    @contextmanager
    def making(self, path: str, replaces: str = "") -> Iterator[Layout]:
        """A data folder in which to publish a table and its quarantine; at the end of the block they stand here.

        A damaged table that they replace is gone then.
        """

    def sync(self, model_id: str) -> None:
        """Waits until the names of the tables of a model will outlive a loss of power. Raises `OutputError`."""

    @contextmanager
    def exporting(self, path: str) -> Iterator[Layout]:
        """A data folder with a table in which to export it; at the end of the block the export stands here."""

    def sweep(self) -> list[str]:
        """Removes what killed runs left half-written; returns where."""

    def sync_reports(self) -> None:
        """Has each report of the data folder stand here, too, and the other way round."""

    def put_report(self, report: Path) -> None:
        """Has a report of the data folder stand here, too, with its picture."""

    def is_own(self, url: str) -> bool:
        """Whether what is at this URL in a bucket was published here."""

    def check(self) -> None:
        """Raises `StoreError` if nothing can be published here now."""


class Folder:
    """The shelf in the data folder itself."""

    def __init__(self, data: Layout) -> None:
        self.data = data

    def states(self, folder: Path) -> dict[str, str]:
        prefix = self.data.relative(folder)
        return {f"{prefix}/{name}": state for name, state in files.states(folder).items()}

    def states_of(self, paths: Iterable[str]) -> dict[str, str]:
        return {path: files.state((self.data.root / path).lstat()) for path in paths}

    def sha256(self, path: str) -> str:
        return files.sha256(self.data.root / path)

    def report(self, path: str) -> FileReport | None:
        return reports.read(self.data, path)

    def is_exported(self, path: str) -> bool:
        return exports.is_newer(self.data, self.data.root / path)

    @contextmanager
    def making(self, path: str, replaces: str = "") -> Iterator[Layout]:
        yield self.data

    exporting = making

    def sync(self, model_id: str) -> None:
        folder = tables.folder(self.data.scores, model_id)
        with files.output_errors(folder):
            files.sync(folder)

    def sweep(self) -> list[str]:
        folders = (self.data.scores, self.data.csv, self.data.quarantine, self.data.reports)
        return [str(path) for folder in folders for path in files.sweep(folder)]

    def sync_reports(self) -> None:
        pass

    def put_report(self, report: Path) -> None:
        pass

    def is_own(self, url: str) -> bool:
        return False

    def check(self) -> None:
        pass


class Bucket:
    """The shelf in a folder of a bucket. Every method raises `StoreError`."""

    def __init__(self, data: Layout, store: Store) -> None:
        self.data, self.store = data, store

    def states(self, folder: Path) -> dict[str, str]:
        place = self.store.child(self.data.relative(folder), is_folder=True)
        found = {place.name(one): one.state for one in place.objects()}
        prefix = self.data.relative(folder)
        return {f"{prefix}/{name}": state for name, state in found.items() if name[0] != "." and "/" not in name}

    def states_of(self, paths: Iterable[str]) -> dict[str, str]:
        names = list(paths)
        found = self.store.children(names)
        return {path: one.state for path, one in zip(names, found, strict=True) if one}

    def sha256(self, path: str) -> str:
        return self.store.child(path).sha256()

    def report(self, path: str) -> FileReport | None:
        """As the footers say; no page is read, so the sha256 of the table and the quarantine are not in it."""
        try:
            footer, _ = self._footer(path)
            reasons = reports.quarantined(footer, Path())
            quarantine = self._quarantine(path)
            if reasons:
                other, rows = self._footer(quarantine)
                if other.get("input_sha256") != footer["input_sha256"] or rows != sum(reasons.values()):
                    return None
            found = reports.of_footer(path, footer, reasons)
            return found.model_copy(update={"quarantine": quarantine if reasons else ""})
        except (LookupError, TypeError, ValueError):
            return None

    def _quarantine(self, path: str) -> str:
        return self.data.relative(self.data.quarantine / Path(path).name)

    def _footer(self, path: str) -> tuple[dict[str, str], int]:
        """What a Parquet file says of itself and its number of rows. Raises `ValueError` if it is none."""
        place = self.store.child(path)
        tail = place.tail(TAIL)
        if (length := int.from_bytes(tail[-8:-4], "little") + 8) > len(tail):
            tail = place.tail(length)
        return tables.footer(tail)

    def is_exported(self, path: str) -> bool:
        export = self.store.child(self.data.relative(exports.path(self.data, self.data.root / path))).standing()
        table = self.store.child(path).standing()
        return export is not None and table is not None and export.modified > table.modified

    def sync(self, model_id: str) -> None:
        pass

    @contextmanager
    def making(self, path: str, replaces: str = "") -> Iterator[Layout]:
        """The order is that of `tables.Tables.publish`: the table goes first if there is one, and comes last."""
        with self._room(path) as room:
            yield room
            table, quarantine = self.store.child(path), self.store.child(self._quarantine(path))
            table.remove()
            if replaces:
                self.store.child(replaces).remove()
            if (made := room.root / self._quarantine(path)).exists():
                self._put(made, quarantine)
            else:
                quarantine.remove()
            self._put(room.root / path, table)

    @contextmanager
    def exporting(self, path: str) -> Iterator[Layout]:
        with self._room(path) as room:
            table = room.root / path
            files.make_folder(table.parent)
            self.store.child(path).copy(table)
            yield room
            export = exports.path(room, table)
            self._put(export, self.store.child(room.relative(export)))

    @contextmanager
    def _room(self, path: str) -> Iterator[Layout]:
        """A folder of its own for the block, in the spool."""
        room = Layout(self.data.spool / files.digest(path)[:16])
        try:
            yield room
        finally:
            files.remove(room.root)

    def _put(self, path: Path, place: Store) -> None:
        place.put(path, self.store.child(f"{ASIDE}/{files.digest(place.url)[:16]}"))

    def sweep(self) -> list[str]:
        aside = self.store.child(ASIDE, is_folder=True)
        left = [aside.child(aside.name(one)) for one in aside.objects()]
        for one in left:
            one.remove()
        return [one.url for one in left]

    def sync_reports(self) -> None:
        here, there = files.states(self.data.reports), self.states(self.data.reports)
        for name in here:
            if (path := self.data.relative(self.data.reports / name)) not in there:
                self._put(self.data.reports / name, self.store.child(path))
        for path in there:
            if (name := Path(path).name) not in here and name.endswith((".json", ".png")):
                with files.new_file(self.data.reports / name) as temporary:
                    self.store.child(path).copy(temporary)

    def put_report(self, report: Path) -> None:
        for path in (report.with_suffix(".png"), report):
            self._put(path, self.store.child(self.data.relative(path)))

    def is_own(self, url: str) -> bool:
        folders = (self.data.scores, self.data.quarantine)
        return any(url.startswith(f"{self.store.url}/{self.data.relative(folder)}/") for folder in folders)

    def check(self) -> None:
        self.store.check()
