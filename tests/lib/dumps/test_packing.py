"""Packed files and what is no file: nothing is left out, and nothing damaged is read to its end."""

import gzip
import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from backports import zstd

from tasks.lib.dumps import reader
from tasks.lib.errors import InputError
from tests.support.known_dumps import PACKERS, TEXT, THREE, counted, outcome, read, refused

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_file_is_known_by_its_bytes(kind: str, tmp_path: Path) -> None:
    plain = tmp_path / "reviews.csv"
    plain.write_bytes(TEXT)
    packed = tmp_path / "misnamed.csv"
    packed.write_bytes(PACKERS[kind](TEXT))
    assert outcome(packed) == outcome(plain)
    dump, _ = read(packed)
    assert (dump.stream.compression, dump.counts.bytes) == (kind, len(TEXT))
    assert dump.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()
    plain.rename(tmp_path / "plain.csv.gz")
    assert read(tmp_path / "plain.csv.gz")[0].stream.compression is None


@pytest.mark.parametrize("kind", PACKERS)
def test_no_member_is_left_out(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    pack = PACKERS[kind]
    path.write_bytes(pack(TEXT[:1000]) + pack(b"") + pack(TEXT[1000:1001]) + pack(TEXT[1001:]))
    dump, blocks = read(path)
    assert (counted(blocks), dump.counts.bytes) == ((3000, 0), len(TEXT))


@pytest.mark.parametrize("kind", PACKERS)
def test_cut_file_is_never_read_to_its_end(kind: str, tmp_path: Path) -> None:
    packed = PACKERS[kind](TEXT)
    for length in [11, 20, len(packed) // 2, *range(len(packed) - 12, len(packed))]:
        assert kind in refused(tmp_path, packed[:length])
    assert kind in refused(tmp_path, packed + packed[:-1])


@pytest.mark.parametrize("kind", PACKERS)
def test_damaged_file_is_never_read_to_its_end(kind: str, tmp_path: Path) -> None:
    packed = PACKERS[kind](TEXT)
    path = tmp_path / "reviews.csv"
    right = hashlib.sha256(TEXT).digest()
    for place in range(0, len(packed), len(packed) // 60):
        damaged = bytearray(packed)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            _, blocks = read(path)
        except InputError:
            continue
        # A flip in what no checksum covers, such as a time stamp, alters nothing.
        found = "".join(f'{a},"{b.replace(chr(34), chr(34) * 2)}",{c}\n' for block in blocks for a, b, c in block.rows)
        assert hashlib.sha256(THREE + found.encode()).digest() == right


@pytest.mark.parametrize("kind", PACKERS)
def test_what_follows_packed_data_is_not_left_out(kind: str, tmp_path: Path) -> None:
    assert kind in refused(tmp_path, PACKERS[kind](TEXT) + b"4,lost,pos\n")
    assert kind in refused(tmp_path, PACKERS[kind](TEXT) + b"\0\0x")


def test_gzip_padding_is_no_data(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv.gz"
    path.write_bytes(gzip.compress(TEXT) + bytes(1000))
    assert counted(read(path)[1]) == (3000, 0)


def test_size_limit_holds_for_what_a_file_opens_to(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    assert "limit of 2000 bytes" in refused(tmp_path, packed, max_bytes=2000)
    assert "limit" in refused(tmp_path, TEXT, max_bytes=len(TEXT) - 1)
    path = tmp_path / "reviews.csv"
    path.write_bytes(packed)
    assert counted(read(path, max_bytes=len(TEXT))[1]) == (3000, 0)


BOMB = """
import resource, sys
from pathlib import Path
from tasks.lib.dumps import reader
with reader.open(Path(sys.argv[1])) as dump:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spans = [span for block in dump for span in block.spans]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
good = dump.counts.rows - len(spans)
print((after - before) // 1024, good, [(span.reason, span.raw_bytes) for span in spans], dump.counts.bytes)
"""


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_memory_stays_flat_while_a_bomb_is_read(kind: str, tmp_path: Path) -> None:
    million = bytes(1_000_000).replace(b"\0", b"a")
    path = tmp_path / "bomb.csv"
    if kind == "gzip":
        member = gzip.compress(million * 100, 1)
        path.write_bytes(gzip.compress(b"review\nfine\n") + member * 2 + gzip.compress(b"\nfine\n"))
    else:
        packer = zstd.ZstdCompressor(level=1)
        parts = [packer.compress(b"review\nfine\n"), *(packer.compress(million) for _ in range(200))]
        path.write_bytes(b"".join([*parts, packer.compress(b"\nfine\n"), packer.flush()]))
    done = subprocess.run([sys.executable, "-c", BOMB, path], cwd=ROOT, capture_output=True, text=True, check=True)
    memory, rest = done.stdout.split(maxsplit=1)
    assert rest.strip() == f"2 [('field_too_large', {200_000_001})] {200_000_018}"
    assert int(memory) < 150


def test_missing_file_folder_and_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.csv: could not be opened: No such file"):
        reader.open(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="expected a regular file"):
        reader.open(tmp_path)
    with pytest.raises(InputError, match="expected a regular file"):
        reader.open(Path("/dev/null"))


def test_fifo_and_socket_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.csv")
    with pytest.raises(InputError, match="expected a regular file"):
        reader.open(tmp_path / "fifo.csv")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.csv"))
        with pytest.raises(InputError, match="could not be opened"):
            reader.open(tmp_path / "s.csv")


def test_file_name_cannot_break_a_message(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        reader.open(tmp_path / "a\n\x1b[31m\udcff.csv")
    assert str(caught.value).startswith("a??[31m?.csv: ")


def test_refused_file_is_closed(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)  # the lowest free number
    os.close(descriptor)
    refused(tmp_path, b"id,text\n")
    refused(tmp_path, gzip.compress(TEXT)[:-1])
    again = os.open(tmp_path, os.O_RDONLY)
    os.close(again)
    assert again == descriptor
