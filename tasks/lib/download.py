"""Fetching one file of a corpus: from an address, or from a path of this machine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from pydantic import BaseModel, ConfigDict

from tasks.lib import errors, files, imdb
from tasks.lib.config import CorpusConfig

CONNECT_SECONDS, READ_SECONDS = 10, 30


class Source(BaseModel):
    """One file of a corpus: where it is, under which name it is kept, its sha256 if that is known before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    location: str
    sha256: str | None = None

    @property
    def identity(self) -> str:
        """What the file is: its sha256, or the address that stands for it."""
        return self.sha256 or self.location

    @property
    def is_url(self) -> bool:
        """Whether the location is an address, not a path."""
        return urlsplit(self.location).scheme in ("http", "https")


def sources(config: CorpusConfig, sample: Path) -> tuple[Source, Source]:
    """The archive and the word index that the configuration names.

    A local file is read here for its sha256, so that an edited file is a new source, whatever its name.
    Raises `InputError` if a local file is missing or has another sha256 than was asked for.
    """
    if config.corpus == "sample":
        archive, word_index = str(sample / "corpus.npz"), str(sample / "word_index.json")
    else:
        archive, word_index = imdb.ARCHIVE_URL, imdb.WORD_INDEX_URL
    return (
        _source("imdb.npz", config.archive or archive, config.archive_sha256, "--archive"),
        _source("imdb_word_index.json", config.word_index or word_index, None, "--word-index"),
    )


def _source(name: str, location: str, expected: str | None, option: str) -> Source:
    official = {imdb.ARCHIVE_URL: imdb.ARCHIVE_SHA256, imdb.WORD_INDEX_URL: imdb.WORD_INDEX_SHA256}
    source = Source(name=name, location=location, sha256=expected or official.get(location))
    if source.is_url:
        return source
    path = Path(location).expanduser()
    if not path.is_file():
        raise errors.InputError(f"{path}: no such file. Name the file with {option}, as a path or an https address.")
    found = files.sha256(path)
    if expected and found != expected:
        raise errors.InputError(
            f"{path}: expected sha256 {expected}, found {found}. Get the file again, or leave out --archive-sha256."
        )
    return source.model_copy(update={"location": str(path.resolve()), "sha256": found})


def fetch(source: Source, folder: Path, *, progress: bool = False) -> Path:
    """The path of the file in `folder`, named `<first 16 of its sha256>-<name>`; fetched if it is not there.

    Raises `DownloadError` if it cannot be fetched or is not what was expected; then nothing stands under the
    final name.
    """
    if source.sha256:
        final = folder / f"{source.sha256[:16]}-{source.name}"
        if final.is_file() and files.sha256(final) == source.sha256:
            return final
    files.make_folder(folder)
    with (
        files.output_errors(folder),
        tempfile.TemporaryDirectory(prefix=".", suffix=files.PARTIAL, dir=folder) as box,
    ):
        fetched = Path(box) / source.name
        if source.is_url:
            _download(source, Path(box), progress=progress)
        else:
            shutil.copyfile(source.location, fetched)
        final = folder / f"{files.sha256(fetched)[:16]}-{source.name}"
        with files.new_file(final) as temporary:
            fetched.replace(temporary)
    return final


def _download(source: Source, folder: Path, *, progress: bool) -> None:
    downloader = pooch.HTTPDownloader(progressbar=progress, timeout=(CONNECT_SECONDS, READ_SECONDS))
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(
            source.location,
            known_hash=f"sha256:{source.sha256}" if source.sha256 else None,
            fname=source.name,
            path=folder,
            downloader=downloader,
        )
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise _failed(source, f"the server answered {status}") from error
    except requests.RequestException as error:
        raise _failed(source, f"no answer ({type(error).__name__})") from error
    except ValueError as error:  # what pooch raises for a wrong checksum
        raise _failed(source, f"what came does not have the sha256 {source.sha256}") from error


def _failed(source: Source, problem: str) -> errors.DownloadError:
    return errors.DownloadError(
        f"{source.location}: {problem}. Without a network, name local files with --archive and --word-index, or "
        "train on the bundled reviews with --corpus sample."
    )
