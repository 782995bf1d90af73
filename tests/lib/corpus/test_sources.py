"""Downloads from servers that misbehave: bounded in time, one clear line, nothing bad under a final name."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.lib import errors
from tasks.lib.config import CorpusConfig
from tasks.lib.corpus import sources
from tests.support import misbehaving

STALLING = ["silent", "stalled", "trickling-header", "trickling-body"]
# What goes wrong -> what the line says, where the sha256 is known.
WRONG = {
    "silent": "bytes arrived in",
    "stalled": "bytes arrived in",
    "trickling-header": "bytes arrived in",
    "trickling-body": "bytes arrived in",
    "truncated": "the connection was cut",
    "truncated-without-length": "does not have the sha256",
    "reset": "no answer",
    "html": "does not have the sha256",
    "altered": "does not have the sha256",
    "missing": "the server answered 404",
    "broken": "the server answered 500",
    "no-http": "no answer",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "STALL_SECONDS", 0.5)


@pytest.fixture
def server(sample: Path) -> Iterator[misbehaving.Server]:
    with misbehaving.serving((sample / "corpus.npz").read_bytes()) as server:
        yield server


def archive(server: misbehaving.Server, path: str, *, known: bool = True) -> sources.Source:
    sha256 = hashlib.sha256(server.content).hexdigest() if known else None
    return sources.Source(name=sources.ARCHIVE, location=server.url(path), sha256=sha256)


def check_refused(source: sources.Source, folder: Path, says: str) -> None:
    before = sorted(folder.iterdir()) if folder.exists() else []
    started = time.monotonic()
    with pytest.raises(errors.DownloadError, match=says) as caught:
        sources.fetch(source, folder)
    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(source.location)
    assert all(option in message for option in ("--archive", "--word-index", "--corpus sample"))
    assert sorted(folder.iterdir()) == before


def test_a_good_server_that_is_not_believed(server: misbehaving.Server, tmp_path: Path) -> None:
    path = sources.fetch(archive(server, "good"), tmp_path)
    assert path.read_bytes() == server.content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", WRONG)
def test_a_bad_answer_that_is_kept(server: misbehaving.Server, tmp_path: Path, path: str) -> None:
    check_refused(archive(server, path), tmp_path, WRONG[path])


@pytest.mark.parametrize("path", ["html", "truncated", "truncated-without-length", "altered"])
def test_a_bad_answer_that_is_kept_where_the_sha256_is_not_known(
    server: misbehaving.Server, tmp_path: Path, path: str
) -> None:
    check_refused(archive(server, path, known=False), tmp_path, "not a complete imdb.npz|was cut")


def test_a_login_page_that_is_kept_as_a_word_index(server: misbehaving.Server, tmp_path: Path) -> None:
    source = sources.Source(name=sources.WORD_INDEX, location=server.url("html"))
    check_refused(source, tmp_path, "not a complete imdb_word_index.json")


def test_a_closed_port_that_is_waited_for(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{misbehaving.closed_port()}/imdb.npz"
    check_refused(sources.Source(name=sources.ARCHIVE, location=url), tmp_path, "no answer")


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    source = sources.Source(name=sources.ARCHIVE, location="http://nowhere.invalid/imdb.npz")
    check_refused(source, tmp_path, "no answer|bytes arrived in")


@pytest.mark.parametrize("path", ["silent", "html", "missing"])
def test_a_cached_copy_that_is_not_used(server: misbehaving.Server, tmp_path: Path, path: str) -> None:
    kept = sources.fetch(archive(server, "good"), tmp_path)
    assert sources.fetch(archive(server, path), tmp_path) == kept
    assert server.asked[path] == 0


def test_a_damaged_copy_that_is_used(server: misbehaving.Server, tmp_path: Path) -> None:
    kept = sources.fetch(archive(server, "good"), tmp_path)
    kept.write_bytes(server.content[:-1])
    check_refused(archive(server, "missing"), tmp_path, "404")
    assert sources.fetch(archive(server, "good"), tmp_path).read_bytes() == server.content


@pytest.mark.parametrize(
    ("path", "retryable"),
    [("missing", False), ("silent", False), ("trickling-body", False), ("broken", True), ("reset", True)],
)
def test_trying_again_what_will_not_go_better(
    server: misbehaving.Server, tmp_path: Path, path: str, retryable: bool
) -> None:
    with pytest.raises(errors.DownloadError) as caught:
        sources.fetch(archive(server, path), tmp_path)
    assert caught.value.retryable is retryable


def test_a_server_that_comes_back(server: misbehaving.Server, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(errors.DownloadError, match="500"):
            sources.fetch(archive(server, "broken-at-first"), tmp_path)
    assert sources.fetch(archive(server, "broken-at-first"), tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"PK\x03\x04"])
def test_a_local_file_of_another_kind(tmp_path: Path, sample: Path, content: bytes) -> None:
    (tmp_path / "imdb.npz").write_bytes(content)
    config = CorpusConfig(corpus="imdb", archive=str(tmp_path / "imdb.npz"), word_index=str(sample / "word_index.json"))
    source = sources.sources(config).archive
    with pytest.raises(errors.InputError, match=r"imdb\.npz: not a complete imdb"):
        sources.fetch(source, tmp_path / "raw")
    assert not list((tmp_path / "raw").iterdir())


def test_a_local_file_that_changes_after_its_sha256_was_taken(tmp_path: Path, sample: Path) -> None:
    path = tmp_path / "imdb.npz"
    path.write_bytes((sample / "corpus.npz").read_bytes())
    source = sources.sources(CorpusConfig(corpus="sample", archive=str(path))).archive
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(errors.InputError, match="changed while it was read"):
        sources.fetch(source, tmp_path / "raw")
