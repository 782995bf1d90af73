"""Files that get their final name only when they are complete and on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks.lib import errors

PARTIAL = ".partial"
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700  # for what people wrote: their owner alone can read it
CHUNK = 1 << 20


def sha256(path: Path) -> str:
    """The sha256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state(found: os.stat_result) -> str:
    """What changes whenever the file does: its size, inode, mtime and ctime."""
    return f"{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def states(folder: Path) -> dict[str, str]:
    """The state of each entry of the folder that is not hidden, by name; none if there is no such folder."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {entry.name: state(entry.stat(follow_symlinks=False)) for entry in entries if entry.name[0] != "."}


def digest(*values: Any) -> str:
    """The sha256, in hex, of values that JSON can hold; dictionaries count without their order."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def arrays_digest(arrays: Iterable[Any]) -> str:
    """The sha256, in hex, of NumPy arrays: their shapes, types and bytes, in order."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.shape}{array.dtype.str}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def json_bytes(value: Any) -> bytes:
    """`value` as indented JSON text with a newline at its end."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


@contextmanager
def output_errors(where: Path) -> Iterator[None]:
    """Turns an `OSError` while `where` is written into an `OutputError` that names the place."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise errors.OutputError(
            f"{error.filename2 or error.filename or where}: cannot be written: {reason}. Nothing was published there; "
            "fix that and run the same command again."
        ) from error


@contextmanager
def input_errors(where: Path, kind: type[errors.PipelineError] = errors.InputError) -> Iterator[None]:
    """Turns an `OSError` while `where` is read into an error of this kind that names the place."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise kind(
            f"{error.filename or where}: cannot be read: {reason}. Fix that and run the same command again."
        ) from error


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Makes the folder and its parents if they are missing. Raises `OutputError`."""
    with output_errors(folder):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)


def partial(final: Path) -> Path:
    """The hidden name beside `final` under which it is written. It is fixed, so a later run sweeps or reuses it."""
    return final.with_name(f".{final.name}{PARTIAL}")


def write(final: Path, content: bytes, mode: int = 0o666) -> None:
    """Puts `content` at `final` in one step: hidden name, fsync, rename, fsync of the folder."""
    with new_file(final, mode) as temporary:
        temporary.write_bytes(content)


@contextmanager
def new_file(final: Path, mode: int = 0o666) -> Iterator[Path]:
    """Gives a hidden path to write to; at the end of the block, that file replaces `final` in one step.

    If the block raises, `final` stays as it was and the hidden file is removed. Writers of the same `final` share the
    hidden name, so they have to exclude each other.
    """
    temporary = partial(final)
    make_folder(final.parent)
    with output_errors(final), removed_on_error(temporary):
        os.close(os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode))
        yield temporary
        publish(temporary, final)


def publish(temporary: Path, final: Path) -> None:
    """Moves a complete file or folder to `final` in one step, its bytes on disk before its name."""
    sync(temporary)
    place(temporary, final)


def place(temporary: Path, final: Path) -> None:
    """Moves what is on disk already to `final` in one step."""
    temporary.replace(final)
    sync(final.parent)


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Gives a hidden empty folder; at the end of the block its files are on disk, and it replaces `final`."""
    temporary = partial(final)
    aside = final.with_name(f".{final.name}.replaced{PARTIAL}")  # hidden, as a folder is removed file by file
    make_folder(final.parent)
    with output_errors(final), removed_on_error(temporary):
        remove(temporary)
        remove(aside)
        temporary.mkdir()
        yield temporary
        for path in temporary.rglob("*"):
            sync(path)
        if final.exists():
            final.replace(aside)
        publish(temporary, final)
        with suppress(OSError):  # the new folder is in place; what remains of the old one is hidden, and swept
            remove(aside)


@contextmanager
def removed_on_error(temporary: Path) -> Iterator[None]:
    """Removes a file or folder that the block began to write, if the block raises."""
    try:
        yield
    except BaseException:  # also an interrupt
        with suppress(OSError):  # on a broken disk; the next run sweeps it
            remove(temporary)
        raise


def sync(path: Path) -> None:
    """Waits until the file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Removes a file or a folder with its contents, if it exists. Raises `OSError`."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    return sum(part.stat().st_size for part in (path, *path.rglob("*")) if part.is_file())


def sweep(folder: Path, unused: Callable[[Path], bool] = lambda path: True) -> list[Path]:
    """Removes what killed runs left half-written in `folder` or one level below; returns the paths.

    `unused` says of each whether no other run is writing it. Hidden files that cannot be removed are skipped.
    """
    pattern = f".*{PARTIAL}"
    leftovers = [*folder.glob(pattern), *folder.glob(f"*/{pattern}")] if folder.is_dir() else []
    swept = []
    for path in filter(unused, leftovers):
        with suppress(OSError):
            remove(path)
            swept.append(path)
    return swept
