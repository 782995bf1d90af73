"""The files of a corpus: fetched from an address or a local path, and checked."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from urllib.parse import urlsplit

import requests
from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from tasks.lib import errors, files, tokens
from tasks.lib.config import CorpusConfig
from tasks.lib.corpus import imdb, unlabelled
from tasks.lib.layout import SAMPLE

ARCHIVE, WORD_INDEX = "imdb.npz", "imdb_word_index.json"
CHECKS: dict[str, Callable[[Path], object]] = {ARCHIVE: imdb.check, WORD_INDEX: tokens.read_word_index}
OFFICIAL = {
    imdb.ARCHIVE_URL: imdb.ARCHIVE_SHA256,
    imdb.WORD_INDEX_URL: imdb.WORD_INDEX_SHA256,
    unlabelled.ARCHIVE_URL: unlabelled.ARCHIVE_SHA256,
}
# A download that brings less than this in this time has stalled. The timeouts of a connection do not notice: a server
# that sends a byte a second stays within them, and looking up a name has none.
STALL_BYTES, STALL_SECONDS = 10_000, 20
MOST_WAITING = 100  # parts that are received and not yet written


class Source(BaseModel):
    """One file of a corpus: its name, address or path, and sha256 if that is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    location: str
    sha256: str | None = None
    options: str = "--archive and --word-index"
    """What names local files instead"""

    @property
    def identity(self) -> str:
        """The sha256 of the file, or its address."""
        return self.sha256 or self.location

    @property
    def is_url(self) -> bool:
        """Whether the location is an http or https address."""
        return urlsplit(self.location).scheme in ("http", "https")


class UnlabelledSource(Source):
    """Reviews without labels: the official archive, or a dump and the name of its review column."""

    review_column: str

    @property
    def identity(self) -> str:
        """The digest of the file and the column."""
        return files.digest(super().identity, self.review_column)


class Sources(BaseModel):
    """The files of a corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: str
    archive: Source
    word_index: Source

    @property
    def identity(self) -> str:
        """The digest of what the files are."""
        return files.digest(self.corpus, self.archive.identity, self.word_index.identity)


def sources(config: CorpusConfig) -> Sources:
    """The archive and the word index that the configuration names.

    The sha256 of a local file is taken here, so an edited file is a new source. Raises `InputError` if a local file is
    missing or does not have the given sha256.
    """
    if config.corpus == "sample":
        archive, word_index = str(SAMPLE / "corpus.npz"), str(SAMPLE / "word_index.json")
    else:
        archive, word_index = imdb.ARCHIVE_URL, imdb.WORD_INDEX_URL
    return Sources(
        corpus=config.corpus,
        archive=_source(ARCHIVE, config.archive or archive, config.archive_sha256, "--archive"),
        word_index=_source(WORD_INDEX, config.word_index or word_index, None, "--word-index"),
    )


def unlabelled_source(config: CorpusConfig) -> UnlabelledSource:
    """The reviews without labels that `config.unlabelled` names. Raises `InputError` if a local file is missing."""
    official = str(SAMPLE / "reviews-columns.csv") if config.corpus == "sample" else unlabelled.ARCHIVE_URL
    location = official if config.unlabelled in (None, "official") else str(config.unlabelled)
    source = _source(Path(urlsplit(location).path).name, location, None, "--unlabelled")
    return UnlabelledSource(
        **source.model_dump(exclude={"options"}), options="--unlabelled", review_column=config.review_column
    )


def _source(name: str, location: str, expected: str | None, option: str) -> Source:
    source = Source(name=name, location=location, sha256=expected or OFFICIAL.get(location))
    if source.is_url:
        return source
    path = Path(location).expanduser()
    if not path.is_file():
        raise errors.InputError(f"{path}: no such file. Name the file with {option}, as a path or an https address.")
    with files.input_errors(path):
        found = files.sha256(path)
    if expected and found != expected:
        raise errors.InputError(
            f"{path}: expected sha256 {expected}, found {found}. Get the file again, or leave out --archive-sha256."
        )
    return source.model_copy(update={"location": str(path.resolve()), "sha256": found})


def fetch(source: Source, folder: Path, *, progress: bool = False) -> Path:
    """The path of the file in `folder`, named `<first 16 of its sha256>-<name>`; fetched if it is not there.

    Raises `DownloadError` if it cannot be fetched or is not the expected one; then nothing gets the final name.
    """
    if source.sha256:
        final = folder / f"{source.sha256[:16]}-{source.name}"
        with files.input_errors(final):
            if final.is_file() and files.sha256(final) == source.sha256:
                return final
    files.make_folder(folder)
    with (
        files.output_errors(folder),
        tempfile.TemporaryDirectory(prefix=".", suffix=files.PARTIAL, dir=folder) as box,
    ):
        fetched = Path(box) / source.name
        if source.is_url:
            _download(source, fetched, progress=progress)
        else:
            shutil.copyfile(source.location, fetched)
            if files.sha256(fetched) != source.sha256:
                raise errors.InputError(
                    f"{source.location}: changed while it was read. Run the same command again when it is complete."
                )
        _check(source, fetched)
        final = folder / f"{files.sha256(fetched)[:16]}-{source.name}"
        with files.new_file(final) as temporary:
            fetched.replace(temporary)
    return final


def _check(source: Source, fetched: Path) -> None:
    """Raises an error unless the file has the form of its name: without a sha256, a login page would pass for it."""
    try:
        if check := CHECKS.get(source.name):
            check(fetched)
    except errors.InputError as error:
        if source.is_url:
            raise _failed(source, f"the answer is not a complete {source.name}") from error
        raise errors.InputError(f"{source.location}: not a complete {source.name}. {error}") from error


def _download(source: Source, path: Path, *, progress: bool) -> None:
    parts: Queue[bytes | Exception] = Queue(MOST_WAITING)
    # A thread, as nothing bounds the time that looking up a name takes; one that is stuck does not keep the process.
    threading.Thread(target=_receive, args=(source.location, parts), daemon=True).start()
    with path.open("wb") as file, tqdm(unit="B", unit_scale=True, leave=False, disable=not progress) as bar:
        try:
            while part := parts.get(timeout=STALL_SECONDS):
                if isinstance(part, Exception):
                    raise _explained(source, part) from part
                file.write(part)
                bar.update(len(part))
        except Empty:
            problem = f"less than {STALL_BYTES} bytes arrived in {STALL_SECONDS} s"
            raise _failed(source, problem, retryable=False) from None
    if source.sha256 and files.sha256(path) != source.sha256:
        raise _failed(source, f"checksum mismatch: the answer does not have the sha256 {source.sha256}")


def _receive(url: str, parts: Queue[bytes | Exception]) -> None:
    """Puts the file into the queue in parts of `STALL_BYTES`, then b"" or the error that ended it."""
    try:
        with requests.get(url, stream=True, timeout=2 * STALL_SECONDS) as response:
            response.raise_for_status()
            for part in response.iter_content(STALL_BYTES):
                parts.put(part)
        parts.put(b"")
    except Exception as error:  # noqa: BLE001  raised again by the thread that waits
        parts.put(error)


def _explained(source: Source, error: Exception) -> Exception:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        return _failed(source, f"the server answered {status}", retryable=status >= 500 or status in (408, 429))
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return _failed(source, "the connection was cut")
    if isinstance(error, requests.RequestException):
        return _failed(source, f"no answer ({type(error).__name__})")
    return error


def _failed(source: Source, problem: str, *, retryable: bool = True) -> errors.DownloadError:
    error = errors.DownloadError(
        f"{source.location}: {problem}. Without a network, name local files with {source.options}, or train on the "
        "bundled reviews with --corpus sample."
    )
    error.retryable = retryable
    return error
