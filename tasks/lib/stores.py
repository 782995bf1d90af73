"""Objects in buckets: S3 and what speaks like it, Google Cloud Storage, Azure.

Credentials come from where each store's own tools take them; a URL that holds some is refused. pyarrow.fs takes a tenth
of a second to load, so it is loaded when a bucket is named, and here alone.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.lib import errors, files

PIECE = 8 << 20  # bytes asked for at a time
AT_ONCE = 8  # objects that are asked for, while each waits for its answer
# A store that does not answer costs 40 s at most: five tries, with up to 1, 2, 4 and 8 s between them.
ATTEMPTS, CONNECT_SECONDS, ANSWER_SECONDS = 5, 5.0, 5.0
# S3 refuses requests from clocks that are 15 minutes off. What changed longer ago when it was read, in whole seconds,
# has not changed since without a newer time.
SETTLED_SECONDS = 1200

NO_SECRETS = (
    "expected a bucket and a key alone. Leave out what is before @ and after ?, and have credentials in the "
    "environment: see docs/buckets.md."
)
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[\w.-]+")
_CONTAINER = re.compile(r"(?P<container>[\w-]+)@(?P<account>[\w-]+)(\.(blob|dfs)\.core\.windows\.net)?")
_SECRET = re.compile(r"(?<=://)[^/\s\"'?]*:[^/\s\"'?]*@|(?<=://)[^/\s\"'?@]*@(?![\w-]+\.(?:blob|dfs)\.)")
_QUERY = re.compile(r"(://[^\s\"'?]*)\?[^\s\"']*")
# How pyarrow names what went wrong: the rest of its messages is left out, as it is long and may say too much.
_REASONS = re.compile(
    r"AWS Error (?P<aws>\w+)(?: \(HTTP status (?P<status>\d+)\))?|google::cloud::Status\((?P<gcs>\w+)"
    r"|Azure Error: \[(?P<azure>[^\]]{1,60})\]"
)
_GONE = ("FILE_NOT_FOUND", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND")


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


def is_url(place: str | Path) -> bool:
    """Whether a place is an object or a folder in a bucket, not a path."""
    return _URL.match(str(place)) is not None


def masked(text: str) -> str:
    """The text without what may be credentials in the URLs in it."""
    return _QUERY.sub(r"\1?...", _SECRET.sub("...@", text))


def checked(url: str) -> str:
    """The URL, if it names a bucket or what is in one. Raises `InputError` that does not repeat credentials."""
    Address.of(url)
    if "?" in url:
        raise errors.InputError(f"a URL with parameters: {NO_SECRETS}")
    return url


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart: the store, the account (of Azure alone), and the bucket with the key behind it."""

    scheme: str
    account: str
    path: str

    @classmethod
    def of(cls, url: str) -> Address:
        match = _URL.match(url)
        scheme, rest = (match["scheme"].lower(), match["rest"]) if match else ("", url)
        if scheme not in ("s3", "gs", "az", "abfs"):
            raise errors.InputError(
                f"{scheme or 'this'}: expected a path, or a URL that begins with s3://, gs://, az:// or abfs://."
            )
        bucket, _, key = rest.partition("/")
        account = _CONTAINER.fullmatch(bucket) if scheme in ("az", "abfs") else None
        if ":" in bucket or ("@" in bucket and not account):
            raise errors.InputError(f"a URL of {scheme}:// with credentials: {NO_SECRETS}")
        if scheme in ("az", "abfs"):
            if account is None:
                raise errors.InputError(
                    f"{scheme}://{bucket}: expected a container and its account. Name both: "
                    f"{scheme}://CONTAINER@ACCOUNT.dfs.core.windows.net/folder"
                )
            return cls(scheme, account["account"], f"{account['container']}/{key}".rstrip("/"))
        if not _BUCKET.fullmatch(bucket):
            raise errors.InputError(f"{scheme}://{bucket}: expected the name of a bucket behind {scheme}://.")
        return cls(scheme, "", f"{bucket}/{key}".rstrip("/"))


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

    def name(self, found: Object) -> str:
        """The name of an object below this folder, or of this very object."""
        return found.key[len(self.path) + 1 :] or found.key.rpartition("/")[2]

    def url_of(self, found: Object) -> str:
        """The URL of an object at or below this place."""
        return self.url + found.key[len(self.path) :]

    def objects(self) -> list[Object]:
        """What there is: this object alone, or all that are below this folder, by key. Raises `InputError` if there is
        nothing and this is not said to be a folder by a slash at its end."""
        from pyarrow import fs

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
        """This object as a stream of its bytes as they are stored."""
        with _one_line(self.url, "read"):
            stream = self._files.open_input_stream(self.path, compression=None)
        with stream:
            yield stream

    def _pieces(self, stream: Any) -> Iterator[bytes]:
        """What the stream gives; its errors are those of the store, not of the disk that the pieces go to."""
        while True:
            with _one_line(self.url, "read"):
                piece = stream.read(PIECE)
            if not piece:
                return
            yield piece

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
        with _one_line(self.url, "read"), self._files.open_input_file(self.path) as file:
            file.seek(max(0, file.size() - length))
            return bytes(file.read())

    def standing(self) -> Object | None:
        """This object as it stands, or None."""
        from pyarrow import fs

        with _one_line(self.url, "read"):
            (found,) = self._files.get_file_info([self.path])
        return _object(found) if found.type == fs.FileType.File else None

    def put(self, path: Path) -> None:
        """Has the bytes of a file stand as this object: all of them, in place of what stood there, or none.

        They are given away as one: a stream that is left half-way would end the object with what it has so far.
        """
        from pyarrow import memory_map

        with files.input_errors(path):
            size = path.stat().st_size
            content = memory_map(str(path)).read_buffer() if size else b""
        with _one_line(self.url, "written"), self._files.open_output_stream(self.path, compression=None) as stream:
            stream.write(content)
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
        from pyarrow import fs

        (bucket,) = self._files.get_file_info([self.bucket])
        if bucket.type == fs.FileType.NotFound:
            raise errors.StoreError(f"{self.url}: there is no bucket {self.bucket}. Name another one, or make it.")

    @property
    def _files(self) -> Any:
        return _file_system(self._address.scheme, self._address.account, self.bucket, self._endpoint)


@lru_cache
def _file_system(scheme: str, account: str, bucket: str, endpoint: str | None) -> Any:
    """The file system of a store; it has the connections, so all objects of a bucket share it."""
    from pyarrow import fs

    if scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=ATTEMPTS * ANSWER_SECONDS))
    if account:
        return fs.AzureFileSystem(account)
    where = {"endpoint_override": endpoint} if endpoint else {"region": fs.resolve_s3_region(bucket)}
    return fs.S3FileSystem(
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
