"""Objects in buckets: S3 and what speaks like it, Google Cloud Storage, Azure.

Credentials come from where each store's own tools take them. Each request is tried again if the store is busy or the
connection breaks, and given up in bounded time.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from pyarrow import fs

from tasks.lib import errors, files
from tasks.lib.urls import Address

PIECE = 8 << 20  # bytes asked for at a time
DIRECT_BYTES = 64 << 20  # given away at a time; a larger object is written aside first
NAME_BYTES = 200  # of a file that has an object's name; there is room for 255
AT_ONCE = 8  # objects that are asked for, while each waits for its answer
# A store that does not answer costs 40 s at most: five tries, with up to 1, 2, 4 and 8 s between them.
ATTEMPTS, CONNECT_SECONDS, ANSWER_SECONDS = 5, 5.0, 5.0
# S3 refuses requests from clocks that are 15 minutes off. What changed longer ago when it was read, in whole seconds,
# has not changed since without a newer time.
SETTLED_SECONDS = 1200

# How pyarrow names what went wrong: the rest of its messages is left out, as it is long and may say too much.
_REASONS = re.compile(
    r"AWS Error (?P<aws>\w+)(?: \(HTTP status (?P<status>\d+)\))?|google::cloud::Status\((?P<gcs>\w+)"
    r"|Azure Error: \[(?P<azure>[^\]]{1,60})\]"
)


@dataclass(frozen=True, slots=True)
class Object:
    """An object as a listing has it: its key with the bucket in front, its bytes, when it changed last (UTC, s)."""

    key: str
    size: int
    modified: float

    @property
    def state(self) -> str:
        """What changes whenever the object does, but for a change within the same second."""
        return f"{self.size} {int(self.modified)}"

    @property
    def age(self) -> float:
        """The seconds since its last change, by this machine's clock."""
        return time.time() - self.modified


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was copied: the sha256 of the bytes, and the version of the object that had them."""

    sha256: str
    version: str


class Store:
    """An object or a folder in a bucket. Every method raises `StoreError` if the bucket cannot be used."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        """`endpoint` is the address of a store that speaks like S3; None for Amazon's own. Raises `InputError`."""
        address = Address.of(url)
        self.url, self.path, self.bucket = url.rstrip("/"), address.path, address.path.partition("/")[0]
        self.is_folder = url.endswith("/") or address.path == self.bucket
        self._address, self._endpoint = address, endpoint

    def __str__(self) -> str:
        return self.url

    def child(self, key: str, *, is_folder: bool = False) -> Store:
        """What is in this folder under a key."""
        return Store(f"{self.url}/{key}{'/' if is_folder else ''}", self._endpoint)

    def at(self, found: Object) -> Store:
        """The place of an object at or below this one."""
        return Store(self.url_of(found), self._endpoint)

    @property
    def file_name(self) -> str:
        """The last part of the key, without its beginning if that is too long for a file."""
        return self.path.rpartition("/")[2].encode()[-NAME_BYTES:].decode(errors="ignore")

    def children(self, keys: Sequence[str]) -> list[Object | None]:
        """What stands in this folder under these keys, each as it stands or None."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(lambda key: self.child(key).standing(), keys))

    def name(self, found: Object) -> str:
        """The name of an object below this folder, or of this very object."""
        return found.key[len(self.path) + 1 :] or found.key.rpartition("/")[2]

    def url_of(self, found: Object) -> str:
        """The URL of an object at or below this place."""
        return self.url + found.key[len(self.path) :]

    def objects(self) -> list[Object]:
        """What there is: this object alone, or all that are below this folder, by key. Raises `InputError` if there is
        nothing and this is not said to be a folder by a slash at its end."""
        with _one_line(self.url, "listed"):
            if not self.is_folder:
                (found,) = self._files.get_file_info([self.path])
                if found.type == fs.FileType.File:
                    return [_object(found)]
                if found.type == fs.FileType.NotFound:
                    raise errors.InputError(
                        f"{self.url}: no such object, and none below it. Name a dump, or a folder with / at its end."
                    )
            if self.path != self.bucket:
                self._check_bucket()
            selector = fs.FileSelector(self.path, recursive=True, allow_not_found=self.path != self.bucket)
            found = self._files.get_file_info(selector)
        return sorted((_object(one) for one in found if one.type == fs.FileType.File), key=lambda one: one.key)

    def versions(self, found: Sequence[Object]) -> list[str]:
        """What the store calls the version of each object: its ETag and, where it keeps them, its number."""
        if not found:
            return []
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(self._version, [one.key for one in found]))

    def _version(self, key: str) -> str:
        with _one_line(key, "read"), self._files.open_input_file(key) as file:
            return _version(file.metadata())

    def fetch(self, size: int, to: Path) -> Fetched:
        """Copies this object, which was listed with so many bytes, to a file.

        Raises `InputError` if it changes meanwhile, `OutputError` if the disk fails.
        """
        state, read = hashlib.sha256(), 0
        with self._opened() as stream, files.output_errors(to), to.open("wb") as file:
            version = _version(stream.metadata())
            for piece in self._pieces(stream):
                state.update(piece)
                read += file.write(piece)
        if read != size or version != self._version(self.path):
            raise errors.InputError(
                f"changed while it was read ({read:,} of {size:,} bytes). Nothing was published; the next run scores "
                "it as it is."
            )
        return Fetched(state.hexdigest(), version)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """This object as a file of its bytes as they are stored."""
        with _one_line(self.url, "read"):
            file = self._files.open_input_file(self.path)
        with file:
            yield file

    def _pieces(self, file: Any) -> Iterator[memoryview]:
        """All bytes of this object, opened; each piece is there until the next one."""
        room, left = memoryview(bytearray(PIECE)), file.size()
        while left:
            piece = room[: min(left, PIECE)]
            self._fill(piece, file)
            yield piece
            left -= len(piece)

    def _fill(self, piece: memoryview, file: Any) -> None:
        """Reads the next bytes into all of `piece`.

        pyarrow takes an answer of S3 for whole that has too few bytes. What it leaves untouched at the end shows it.
        """
        start = file.tell()
        for _ in range(ATTEMPTS):
            mark = os.urandom(min(16, len(piece)))
            piece[-len(mark) :] = mark
            with _one_line(self.url, "read"):
                file.seek(start)
                read = file.readinto(piece)
            if read == len(piece) and piece[-len(mark) :] != mark:
                return
        raise errors.StoreError(
            f"{self.url}: cannot be read: the store sends too few bytes. Run the same command again."
        )

    def copy(self, to: Path) -> None:
        """Copies this object to a file as it is now."""
        with self._opened() as stream, files.output_errors(to), to.open("wb") as file:
            file.writelines(self._pieces(stream))

    def sha256(self) -> str:
        """The sha256 of this object's bytes."""
        state = hashlib.sha256()
        with self._opened() as stream:
            for piece in self._pieces(stream):
                state.update(piece)
        return state.hexdigest()

    def tail(self, length: int) -> bytes:
        """The last bytes of this object, so many at most."""
        with self._opened() as file:
            piece = memoryview(bytearray(min(length, file.size())))
            file.seek(file.size() - len(piece))
            if piece:
                self._fill(piece, file)
            return bytes(piece)

    def standing(self) -> Object | None:
        """This object as it stands, or None."""
        with _one_line(self.url, "read"):
            (found,) = self._files.get_file_info([self.path])
        return _object(found) if found.type == fs.FileType.File else None

    def put(self, path: Path, aside: Store) -> None:
        """Has the bytes of a file stand as this object: all of them, in place of what stood there, or none.

        A stream that is left half-way ends the object with what it has got so far. So it gets a small file as one, and
        a large one, for which memory has no room, is written `aside` first and copied by the store.
        """
        with files.input_errors(path), path.open("rb") as file:
            size, first = path.stat().st_size, file.read(DIRECT_BYTES)
            if size == len(first):
                self._write(size, [first])
                return
            aside._write(size, chain([first], iter(lambda: file.read(DIRECT_BYTES), b"")))
        with _one_line(self.url, "written"):
            self._files.copy_file(aside.path, self.path)
        self._check_size(size)
        aside.remove()

    def _write(self, size: int, pieces: Iterable[bytes]) -> None:
        with _one_line(self.url, "written"), self._files.open_output_stream(self.path, compression=None) as stream:
            for piece in pieces:
                stream.write(piece)
                if len(piece) < size:
                    stream.flush()  # or all would be held until the store has it
        self._check_size(size)

    def _check_size(self, size: int) -> None:
        found = self.standing()
        if found is None or found.size != size:
            raise errors.StoreError(f"{self.url}: was written with {size:,} bytes and does not stand so. Run it again.")

    def remove(self) -> None:
        """Removes this object, if it exists."""
        if self.standing():
            with _one_line(self.url, "removed"):
                self._files.delete_file(self.path)

    def check(self) -> None:
        """Raises `StoreError` unless the bucket can be reached now."""
        with _one_line(self.url, "reached"):
            self._check_bucket()

    def _check_bucket(self) -> None:
        (bucket,) = self._files.get_file_info([self.bucket])
        if bucket.type == fs.FileType.NotFound:
            raise errors.StoreError(f"{self.url}: there is no bucket {self.bucket}. Name another one, or make it.")

    @property
    def _files(self) -> Any:
        return _file_system(self._address.scheme, self._address.account, self.bucket, self._endpoint)


@lru_cache
def _file_system(scheme: str, account: str, bucket: str, endpoint: str | None) -> Any:
    """The file system of a store; it has the connections, so all objects of a bucket share it."""
    if scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=ATTEMPTS * ANSWER_SECONDS))
    if account:
        return fs.AzureFileSystem(account)
    where = {"endpoint_override": endpoint} if endpoint else {"region": fs.resolve_s3_region(bucket)}
    return fs.S3FileSystem(
        allow_delayed_open=True,  # a small object is one request
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=ANSWER_SECONDS,
        **where,
    )


def _object(found: Any) -> Object:
    return Object(found.path, found.size, (found.mtime_ns or 0) / 1e9)


def _version(metadata: Mapping[str, bytes] | None) -> str:
    kept = {name.lower(): bytes(value).decode(errors="replace") for name, value in (metadata or {}).items()}
    return " ".join(kept[name] for name in ("etag", "versionid", "version-id", "generation") if kept.get(name))


@contextmanager
def _one_line(where: str, done: str) -> Iterator[None]:
    """Turns what pyarrow raises into a `StoreError` with the reason in a word or two."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise errors.StoreError(
            f"{where}: cannot be {done}: {_reason(error)}. Mend that and run the same command again."
        ) from error


def _reason(error: Exception) -> str:
    found = _REASONS.search(str(error))
    if found is None:
        return "there is no such object" if isinstance(error, FileNotFoundError) else type(error).__name__
    words = (found["aws"] or found["gcs"] or found["azure"]).lower().replace("_", " ")
    if found["status"]:
        return f"HTTP {found['status']}" if words == "unknown" else f"{words} (HTTP {found['status']})"
    return words
