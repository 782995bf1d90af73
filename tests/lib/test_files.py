"""Publishing: complete or not at all."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.lib import errors, files, tokens
from tasks.lib.corpus import imdb, shards, sources
from tasks.lib.models import bundles, releases
from tasks.training import artifacts
from tests.support.models import add


def test_a_file_that_stands_half_written_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), files.new_file(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_that_stands_half_written_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.new_folder(tmp_path / "a") as temporary:
        (temporary / "part").write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_keeps_files_of_the_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("damaged")
    with files.new_folder(tmp_path / "a") as temporary:
        (temporary / "new").write_text("whole")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["new"]


def test_a_new_folder_that_is_said_to_have_failed_for_what_stays_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.rmdir

    def stuck(path: Any, **options: Any) -> None:
        if "replaced" in str(path):
            raise OSError(errno.EBUSY, "Device or resource busy")
        original(path, **options)

    (tmp_path / "a").mkdir()
    monkeypatch.setattr(os, "rmdir", stuck)
    with files.new_folder(tmp_path / "a") as temporary:
        (temporary / "new").touch()
    assert (tmp_path / "a" / "new").exists()


def test_what_a_killed_run_left_that_stays(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_text("half")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".b.partial").mkdir()
    (tmp_path / "folder" / "c").write_text("whole")
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "c"]


def test_a_leftover_that_cannot_be_removed_and_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for name in (".stuck.partial", ".gone.partial"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(os, "rmdir", refused)
    assert files.sweep(tmp_path) == []
    monkeypatch.undo()
    assert len(files.sweep(tmp_path)) == 2


def test_a_folder_in_the_way_that_is_said_to_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(os, "rmdir", refused)
    with pytest.raises(OSError, match="Read-only"):
        files.remove(tmp_path / "folder")


def test_a_partial_file_in_use_that_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_text("half")
    assert files.sweep(tmp_path, unused=lambda path: False) == []
    assert (tmp_path / ".a.partial").exists()


def test_a_system_error_that_says_neither_where_nor_what(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.OutputError, match=r"file: cannot be written: Not a directory|File exists"):
        files.write(tmp_path / "file" / "below", b"")


def test_a_digest_that_depends_on_the_order_of_keys() -> None:
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})
    assert files.digest("a", "b") != files.digest("ab", "")


def bundle(folder: Path) -> str:
    (model_id,) = bundles.model_ids(folder) or [add(folder, 1, 0.5)]
    return model_id


def release(folder: Path) -> None:
    releases.release(folder, bundle(folder))


# What is read, how it is read, and with which error that ends.
READERS: dict[str, tuple[str, Callable[[Path], object], type[errors.PipelineError]]] = {
    "a file of a bundle": (bundles.METRICS, lambda at: bundles.read_bundle(at, bundle(at)), errors.ModelError),
    "the metrics": (bundles.METRICS, lambda at: bundles.read_metrics(at, bundle(at)), errors.ModelError),
    "the current release": (releases.CURRENT, releases.read_current, errors.InputError),
    "the current release, at a promotion": (
        releases.CURRENT, lambda at: releases.promote(at, bundle(at)), errors.InputError,
    ),
    "the verdicts": (releases.RELEASES, lambda at: releases.roll_back(at), errors.InputError),
    "an archive": ("imdb.npz", lambda at: imdb.load(at / "imdb.npz"), errors.InputError),
    "a word index": ("index.json", lambda at: tokens.read_word_index(at / "index.json"), errors.InputError),
    "the manifest of shards": (
        shards.MANIFEST, lambda at: shards.read_manifest(at / "data" / "shards"), errors.InputError,
    ),
    "a corpus of one's own": (
        "imdb.npz",
        lambda at: sources._source("imdb.npz", str(at / "imdb.npz"), None, "--archive"),
        errors.InputError,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "read", "kind"), READERS.values(), ids=READERS)
def test_a_disk_that_does_not_read_and_ends_in_a_traceback(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    read: Callable[[Path], object],
    kind: type[errors.PipelineError],
) -> None:
    release(tmp_path)
    (tmp_path / "data" / "shards").mkdir(parents=True)
    for path in ("imdb.npz", "index.json", f"data/shards/{shards.MANIFEST}"):
        (tmp_path / path).write_text("{}")
    with monkeypatch.context() as patch:
        unreadable(patch, name)
        with pytest.raises(kind, match=rf"{name}: cannot be read: Input/output error\.") as caught:
            read(tmp_path)
    assert "\n" not in str(caught.value)


def unreadable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Lets files of that name fail as a broken disk does."""
    opened = io.open

    def fail(path: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(path, int) and Path(path).name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(io, "open", fail)
    monkeypatch.setattr("builtins.open", fail)


def test_a_made_file_that_cannot_be_read_and_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"made")
    record = artifacts.Record(identity="x", made_files={"a": files.sha256(tmp_path / "a")})
    unreadable(monkeypatch, "a")
    assert record.damage(tmp_path) == "a cannot be read (Input/output error)"
