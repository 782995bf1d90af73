"""Files as streams of bytes: plain, gzip, zstd or bz2, told apart by their first bytes; memory stays flat."""

import bz2
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from backports import zstd  # `compression.zstd` in the standard library of Python 3.14

from tasks.lib.errors import InputError, printable

PIECE = 1 << 18  # bytes read, or decompressed, at a time

# A zstd file may begin with a frame to be skipped. The letters BZh alone could begin a column name.
_MAGIC = re.compile(
    rb"(?P<gzip>\x1f\x8b\x08)|(?P<zstd>\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)|(?P<bz2>BZh\d(?:1AY&SY|\x17rE8P\x90))"
)
_UNPACKERS: dict[str, Callable[[], Any]] = {  # of one member (frame, stream)
    "gzip": lambda: zlib.decompressobj(wbits=31),  # `GzipFile` takes 1.2 times as long
    "zstd": zstd.ZstdDecompressor,
    "bz2": bz2.BZ2Decompressor,
}


class Stream:
    """One file, read once from its start. `hash` is the SHA-256 of the stored bytes; `name` is fit for a message."""

    def __init__(self, path: Path, *, max_bytes: int | None = None) -> None:
        self.name = printable(path.name)
        self.compression: str | None = None
        self.bytes = 0  # decompressed
        self.hash = hashlib.sha256()
        self._max_bytes = max_bytes
        try:
            # O_NONBLOCK: opening a FIFO must not wait for a writer.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"{self.name}: could not be opened: {error.strerror}.") from error

    def close(self) -> None:
        os.close(self._descriptor)

    def pieces(self) -> Iterator[bytes]:
        """The decompressed bytes. Raises InputError if this is no regular file, if it cannot be read, and if the data
        are damaged, cut off, followed by something else or larger than `max_bytes`."""
        try:
            self._check()
            data = self._read()
            magic = _MAGIC.match(data)
            self.compression = magic and magic.lastgroup
            packed = self.compression and self._members(data, _UNPACKERS[self.compression])
            for piece in packed or chain([data], iter(self._read, b"")):
                self.bytes += len(piece)
                if self._max_bytes is not None and self.bytes > self._max_bytes:
                    found = f"{self.name}: opens to more than the limit of {self._max_bytes} bytes"
                    raise InputError(f"{found}. Raise the limit if the file is to be trusted.")
                yield piece
        except (EOFError, OSError, zlib.error, zstd.ZstdError) as error:
            if isinstance(error, OSError) and error.strerror:  # `bz2` raises those without
                found = f"{self.name}: could not be read: {error.strerror}"
                raise InputError(f"{found}. Fix that and run the same command again.") from error
            found = "cut off" if isinstance(error, EOFError) else "damaged, or followed by something else"
            raise InputError(f"{self.name}: the {self.compression} data are {found}. Fetch it again.") from error

    def file(self) -> BinaryIO:
        """The stored bytes as a file, to be read here and there. Raises InputError if this is no regular file."""
        self._check()
        return open(self._descriptor, "rb", closefd=False)

    def read_hash(self) -> str:
        """The SHA-256 of the stored bytes, which are read from their start. Raises OSError."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while self._read():
            pass
        return self.hash.hexdigest()

    def _check(self) -> None:
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise InputError(f"{self.name}: expected a regular file, found a folder, a FIFO or a device.")

    def _members(self, data: bytes, new: Callable[[], Any]) -> Iterator[bytes]:
        """The members of the file in turn, a piece at a time; `BZ2File` would ignore what is none behind the last.

        NULs may stand behind a member: gzip data from a tape are padded with them.
        """
        member = new()
        while True:
            if piece := member.decompress(data, PIECE):
                yield piece
            if member.eof:
                data = member.unused_data.lstrip(b"\0")
                while not data and (data := self._read()):
                    data = data.lstrip(b"\0")
                if not data:
                    return
                member = new()
            else:
                data = getattr(member, "unconsumed_tail", b"")  # zlib gives back what the others keep
                if not data and getattr(member, "needs_input", True) and not (data := self._read()) and not piece:
                    raise EOFError

    def _read(self) -> bytes:
        """Some of the stored bytes; none at the end of the file."""
        data = os.read(self._descriptor, PIECE)
        self.hash.update(data)
        return data
