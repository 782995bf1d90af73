"""Which review dumps there are, and which of them are new to a model."""

from __future__ import annotations

import json
import math
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from tasks.lib import errors, files
from tasks.lib.config import ScoreConfig
from tasks.lib.scores import tables
from tasks.lib.scores.tables import DUMP_SUFFIXES

Status = Literal["new", "scored", "same content", "too new", "not a dump", "unreadable"]


class Dump(BaseModel):
    """One file of the inbox: what it is, what is to be done with it, and why.

    `name` is the path below the folder that was searched. `table` is the score table of its bytes, if there is
    one or will be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    name: str
    status: Status
    reason: str = ""
    sha256: str = ""
    size: int = 0
    table: Path | None = None


class FileReport(BaseModel):
    """What became of one dump. `status` is scored, exported, "busy" if another run is or was at it, or failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    status: str
    model_id: str
    reason: str = ""
    table: str = ""
    quarantine: str = ""
    csv: str = ""
    sha256: str = ""
    rows: int = 0
    scored: int = 0
    positive: int = 0
    quarantined: dict[str, int] = {}
    bytes: int = 0
    threshold: float | None = None
    seconds: float = 0.0
    histogram: list[int] = []

    @property
    def rows_quarantined(self) -> int:
        """Quarantined rows, whatever the reason."""
        return sum(self.quarantined.values())

    @classmethod
    def of(cls, dump: Dump, model_id: str, result: object) -> Self:
        """The report that came of a dump, or one of its failure; the reason of that always begins with its name."""
        if isinstance(result, cls):
            return result
        reason = str(result)
        named = reason if reason.startswith(dump.path.name) else f"{dump.name}: {reason}"
        return cls(file=dump.name, status="failed", model_id=model_id, reason=named, sha256=dump.sha256)


def find(
    places: Sequence[Path],
    scores: Path,
    model_id: str,
    config: ScoreConfig = ScoreConfig(),
) -> list[Dump]:
    """All files in the places, each with its status for the model. A place is a dump or a folder of dumps.

    Folders are searched with their subfolders; hidden files are passed over. Raises `InputError` if a place does
    not exist or cannot be reached. With `config.unscored_only`, a table of any other model will do as well. Dumps in
    folders that changed less than `config.min_age` seconds ago are too new: somebody may still be writing them.
    """
    found: list[Dump] = []
    first_names: dict[str, str] = {}
    for dump in _dumps(places, scores, model_id, config):
        if config.unscored_only and not config.rescore and dump.status == "new":
            dump = _judged_by_all(dump, scores)
        if dump.sha256 and (first := first_names.setdefault(dump.sha256, dump.name)) != dump.name:
            dump = dump.model_copy(update={"status": "same content", "reason": f"same content as {first}"})
        found.append(dump)
    return found


def _dumps(places: Sequence[Path], scores: Path, model_id: str, config: ScoreConfig) -> Iterator[Dump]:
    for place in places:
        with files.input_errors(place):
            is_folder = place.is_dir()
        if is_folder:
            for path, error in sorted(_below(place).items()):
                if error is None:
                    yield _judged(
                        path, _name(path, place), scores, model_id, rescore=config.rescore, min_age=config.min_age
                    )
                else:
                    reason = f"a folder that cannot be listed: {error.strerror}. Mend that and run the same again."
                    yield Dump(path=path, name=_name(path, place), status="unreadable", reason=reason)
        elif os.path.lexists(place):
            dump = _judged(place.resolve(), _printable(place.name), scores, model_id, rescore=config.rescore)
            # Whoever names a file wants it scored; in a folder, other files may lie beside the dumps.
            yield dump.model_copy(update={"status": "unreadable"}) if dump.status == "not a dump" else dump
        else:
            raise errors.InputError(f"{place}: no such file or folder. Name review dumps or folders that hold them.")


def _below(folder: Path) -> dict[Path, OSError | None]:
    """The files below the folder, and those of its folders that cannot be listed, with the error; none hidden."""
    found: dict[Path, OSError | None] = {}
    unlisted: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unlisted.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(parent, name).is_symlink()]  # judged like files, and not followed
        found |= {Path(parent, name): None for name in [*names, *links] if not name.startswith(".")}
    return found | {Path(error.filename): error for error in unlisted}


def _age(path: Path) -> float:
    """Seconds since the last change of the file's content; infinite if that cannot be told."""
    try:
        age = time.time() - path.lstat().st_mtime
    except OSError:
        return math.inf
    return age if age >= 0 else math.inf  # a time to come says nothing


def _name(path: Path, place: Path) -> str:
    return _printable(path.relative_to(place).as_posix() if path != place else place.name)


def _printable(name: str) -> str:
    """The name with line breaks, control characters and bytes that are not UTF-8 replaced: it goes into logs."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def _judged(path: Path, name: str, scores: Path, model_id: str, *, rescore: bool, min_age: float = 0) -> Dump:
    if not DUMP_SUFFIXES.search(name):
        reason = "expected a name that ends in .csv or .tsv, or these with .gz, .zst or .bz2"
        return Dump(path=path, name=name, status="not a dump", reason=reason)
    if (age := _age(path)) < min_age:
        reason = f"changed {age:.0f} s ago; it waits till that is {min_age:g} s"
        return Dump(path=path, name=name, status="too new", reason=reason)
    try:
        sha256, size = _fingerprint(path)
    except (OSError, errors.InputError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Dump(path=path, name=name, status="unreadable", reason=reason)
    table = tables.find(scores, model_id, sha256)
    if table is not None and not rescore:
        return Dump(
            path=path,
            name=name,
            status="scored",
            reason="has its table",
            sha256=sha256,
            size=size,
            table=table,
        )
    damaged = None if table else _damaged_table(scores, model_id, sha256)
    reason = f"its table {damaged.name} is not readable and is made again" if damaged else ""
    table = table or damaged or tables.table_path(scores, model_id, tables.table_name(path.name, sha256))
    return Dump(path=path, name=name, status="new", reason=reason, sha256=sha256, size=size, table=table)


def _damaged_table(scores: Path, model_id: str, sha256: str) -> Path | None:
    """A table that should be that of these bytes, but does not say of what it is."""
    paths = sorted((scores / f"model={model_id}").glob(f"[!.]*-{sha256[:16]}.parquet"))
    return next((path for path in paths if tables.read_footer(path) is None), None)


def _judged_by_all(dump: Dump, scores: Path) -> Dump:
    for folder in sorted(scores.glob("model=*")):
        model_id = folder.name.removeprefix("model=")
        if table := tables.find(scores, model_id, dump.sha256):
            reason = f"has its table of {model_id}"
            return dump.model_copy(update={"status": "scored", "reason": reason, "table": table})
    return dump


def _fingerprint(path: Path) -> tuple[str, int]:
    """The sha256 and the size of a regular file; links, pipes and devices are refused without opening them."""
    kind = path.lstat().st_mode
    if stat.S_ISLNK(kind):
        raise errors.InputError("it is a link; put the file itself there, or name it on the command line")
    if not stat.S_ISREG(kind):
        raise errors.InputError("it is not a regular file")
    return files.sha256(path), path.stat().st_size


def remember_names(folder: Path, dumps: Sequence[Dump]) -> None:
    """Keeps, for the bytes of each dump, every name that they came under: `<first 16 of the sha256>.json`."""
    for dump in dumps:
        if not dump.sha256:
            continue
        path = folder / f"{dump.sha256[:16]}.json"
        names = _names(path)
        if dump.name not in names:
            files.write(path, files.json_bytes({"sha256": dump.sha256, "names": [*names, dump.name]}))


def _names(path: Path) -> list[str]:
    """The names noted so far; a note that is missing or damaged is begun anew."""
    try:
        return [str(name) for name in json.loads(path.read_bytes())["names"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
