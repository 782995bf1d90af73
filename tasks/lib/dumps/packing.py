"""Files as streams of bytes: plain, gzip, zstd or bz2, told apart by their first bytes; memory stays flat."""

import bz2
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import zstandard

from tasks.lib.errors import InputError

PIECE = 1 << 18  # bytes read, or decompressed, at a time
PACKED_PIECE = 1 << 17
# zstandard's streaming object has no bound on its output, and four bytes can stand for 128 KiB: this much opens
# to 32 MiB at most.
ZSTD_PIECE = 1 << 10

# What a file that is no review dump may be; the first bytes are enough to say so.
_FOREIGN_FORMATS = (
    (b"\x1f\x8b\x08", "packed twice"),
    (b"\x28\xb5\x2f\xfd", "packed twice"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\xfd7zXZ", "an xz file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"\x1f\x9d", "a compress (.Z) file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"ORC\x01", "an ORC file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
)


class _Unpacker(Protocol):
    """Opens one member. After `feed` is exhausted: has the member ended, and what data are behind its end."""

    eof: bool
    rest: bytes

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class Stream:
    """One file, read once from its start. `name` is fit for a message; `compression` is None if plain.

    `input_bytes` and `sha256` are those of the stored bytes, and final when `pieces` is exhausted.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None, follow_symlinks: bool = True) -> None:
        self.name = printable(path.name)
        self.input_bytes = 0
        self.bytes = 0  # decompressed
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._descriptor = _open(path, self.name, follow_symlinks)
        try:
            self._before = self._state()
            if not stat.S_ISREG(self._before.st_mode):
                found = _kind(self._before.st_mode)
                raise InputError(f"{self.name}: expected a regular file, found {found}.")
            self._head = self._read(PACKED_PIECE)
            self.compression = _recognise(self._head)
        except BaseException:
            self.close()
            raise

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def pieces(self) -> Iterator[bytes]:
        """The decompressed bytes, in pieces of no promised length, none empty.

        Raises InputError when the data are damaged, cut off, followed by something else or larger than
        `max_bytes`, and when the file is changed while it is read.
        """
        unpacked = self._stored()
        if self.compression:
            unpacked = _unpack(unpacked, *_UNPACKERS[self.compression])
        try:
            for piece in unpacked:
                self.bytes += len(piece)
                if self._max_bytes is not None and self.bytes > self._max_bytes:
                    raise InputError(
                        f"{self.name}: opens to more than the limit of {self._max_bytes} bytes. "
                        "Raise the limit if the file is to be trusted."
                    )
                yield piece
        except _DamagedError as error:
            raise InputError(
                f"{self.name}: the {self.compression} data are {error}. Fetch or export the file again."
            ) from error
        self.check_unchanged()

    def _stored(self) -> Iterator[bytes]:
        data = self._head
        self._head = b""
        size = PACKED_PIECE if self.compression else PIECE
        while data:
            self._hash.update(data)
            self.input_bytes += len(data)
            yield data
            data = self._read(size)

    def _read(self, size: int) -> bytes:
        with self._read_errors():
            return os.read(self._descriptor, size)

    def _state(self) -> os.stat_result:
        with self._read_errors():
            return os.fstat(self._descriptor)

    @contextmanager
    def _read_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self.name}: could not be read: {error.strerror}. Mend that and run the same command again."
            ) from error

    def check_unchanged(self) -> None:
        """Raises InputError if the file is another than when it was opened, or not all of it was read."""
        now = self._state()
        same = (now.st_size, now.st_mtime_ns) == (self._before.st_size, self._before.st_mtime_ns)
        if not same or self.input_bytes != now.st_size:
            raise InputError(f"{self.name}: changed while it was read. Run again when it is complete.")


def printable(name: str) -> str:
    """`name` on one line: what a terminal would not show as it stands becomes a question mark."""
    return name if name.isprintable() else "".join(c if c.isprintable() else "?" for c in name)


def foreign_format(head: bytes) -> str | None:
    """What data that start so are, if that is known and no delimited text: "a PDF document"."""
    return next((what for magic, what in _FOREIGN_FORMATS if head.startswith(magic)), None)


class _DamagedError(Exception):
    """The packed data are not whole; the message completes 'the gzip data are ...'."""


def _open(path: Path, name: str, follow_symlinks: bool) -> int:
    # O_NONBLOCK: opening a FIFO must not wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_symlinks else os.O_NOFOLLOW)
    try:
        return os.open(path, flags)
    except OSError as error:
        raise InputError(f"{name}: could not be opened: {error.strerror}.") from error


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _recognise(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    # A zstd file may begin with a frame to be skipped, as pzstd writes it.
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    # The three letters alone could begin a column name: the block's magic number, or that of an empty file.
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bz2"
    return None


def _unpack(stored: Iterator[bytes], make: Callable[[], _Unpacker], padding: bytes = b"") -> Iterator[bytes]:
    """The members (frames, streams) of a packed file in turn; anything else behind them is an error."""
    unpacker: _Unpacker | None = None
    first = True
    try:
        for data in stored:
            rest = data
            while rest:
                if unpacker is None:
                    rest = rest if first else rest.lstrip(padding)
                    if not rest:
                        break
                    unpacker = make()
                yield from filter(None, unpacker.feed(rest))
                rest = unpacker.rest
                if unpacker.eof:
                    unpacker, first = None, False
    except (zlib.error, zstandard.ZstdError, OSError) as error:  # bz2 says OSError
        raise _DamagedError("damaged" if first else "damaged, or followed by something else") from error
    if unpacker is not None:
        raise _DamagedError("cut off")


class _Gzip:
    def __init__(self) -> None:
        self._object = zlib.decompressobj(wbits=31)
        self.eof = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        piece = b""
        while not self._object.eof and (data or len(piece) == PIECE):
            piece = self._object.decompress(data, PIECE)
            data = self._object.unconsumed_tail
            yield piece
        self.eof, self.rest = self._object.eof, self._object.unused_data


class _Bz2:
    def __init__(self) -> None:
        self._object = bz2.BZ2Decompressor()
        self.eof = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._object.decompress(data, PIECE)
        while not (self._object.eof or self._object.needs_input):
            yield self._object.decompress(b"", PIECE)
        self.eof, self.rest = self._object.eof, self._object.unused_data


class _Zstd:
    def __init__(self) -> None:
        self._object = zstandard.ZstdDecompressor().decompressobj()
        self.eof = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_PIECE):
            yield self._object.decompress(data[start : start + ZSTD_PIECE])
            if self._object.eof:
                self.eof, self.rest = True, self._object.unused_data + data[start + ZSTD_PIECE :]
                return


_UNPACKERS: dict[str, tuple[Callable[[], _Unpacker], bytes]] = {
    "gzip": (_Gzip, b"\0"),  # zeros behind the last member are padding, as gzip(1) has it
    "bz2": (_Bz2, b""),
    "zstd": (_Zstd, b""),
}
