"""What counts as a new dump, and what is refused."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.lib import errors
from tasks.lib.config import ScoreConfig
from tasks.lib.scores import inbox, tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inbox" / "sub").mkdir(parents=True)
    (tmp_path / "inbox" / "a.csv").write_text("review\nfine\n")
    return tmp_path / "inbox"


def found(folder: Path) -> dict[str, inbox.Status]:
    return {dump.name: dump.status for dump in inbox.find([folder], folder.parent / "scores", "gru-000000000000")}


def test_dumps_in_subfolders_that_are_passed_over(folder: Path) -> None:
    (folder / "sub" / "b.TSV.gz").write_text("review\nother\n")
    assert found(folder) == {"a.csv": "new", "sub/b.TSV.gz": "new"}


def test_hidden_and_foreign_files_that_are_scored(folder: Path) -> None:
    for name in (".a.csv.swp", ".hidden.csv", "notes.txt", "a.csv.part"):
        (folder / name).write_text("review\nx\n")
    assert found(folder) == {"a.csv": "new", "notes.txt": "not a dump", "a.csv.part": "not a dump"}


def test_a_folder_that_cannot_be_listed_and_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sub" / "deep").mkdir()
    (folder / "sub" / "b.csv").write_text("review\nother\n")
    original = os.scandir

    def locked(path: str) -> Any:
        if Path(path).name == "deep":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", locked)
    assert found(folder) == {"a.csv": "new", "sub/b.csv": "new", "sub/deep": "unreadable"}


def test_an_inbox_that_cannot_be_listed_and_is_empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", locked)
    assert found(folder) == {"inbox": "unreadable"}


def test_a_place_that_cannot_be_reached_and_ends_in_a_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: Path, **options: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", locked)
    with pytest.raises(errors.InputError, match="inbox: cannot be read: Permission denied"):
        inbox.find([folder], folder.parent / "scores", "gru-000000000000")


@pytest.mark.parametrize("name", ["notes.txt", "x.csv.xz"])
def test_a_file_that_is_named_and_no_dump_and_is_passed_over(folder: Path, name: str) -> None:
    (folder / name).write_text("review\nx\n")
    (dump,) = inbox.find([folder / name], folder.parent / "scores", "gru-000000000000")
    assert dump.status == "unreadable"
    assert "expected a name that ends in .csv or .tsv" in dump.reason


def test_a_damaged_table_that_is_made_again_in_silence(folder: Path) -> None:
    """It is made again in its place, though the dump has another name by now."""
    scores = folder.parent / "scores"
    (dump,) = inbox.find([folder], scores, "gru-000000000000")
    assert dump.reason == ""
    damaged = tables.table_path(scores, "gru-000000000000", tables.table_name("old.csv", dump.sha256))
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"PAR1")
    (dump,) = inbox.find([folder], scores, "gru-000000000000")
    assert (dump.status, dump.table) == ("new", damaged)
    assert "not readable" in dump.reason


def test_a_file_that_is_taken_while_it_is_still_written(folder: Path) -> None:
    ages = {"young.csv": 5, "old.csv": 100, "from-tomorrow.csv": -86_400}
    for name, age in ages.items():
        (folder / name).write_text(f"review\n{name}\n")
        os.utime(folder / name, (time.time() - age,) * 2)
    (folder / "notes.txt").touch()
    named = folder / "a.csv"  # whoever names a file knows that it is complete
    dumps = inbox.find([folder, named], folder.parent / "scores", "gru-000000000000", ScoreConfig(min_age=60))
    assert [(dump.name, dump.status) for dump in dumps] == [
        ("a.csv", "too new"),
        ("from-tomorrow.csv", "new"),
        ("notes.txt", "not a dump"),
        ("old.csv", "new"),
        ("young.csv", "too new"),
        ("a.csv", "new"),
    ]
    assert dumps[4].reason == "changed 5 s ago; it waits till that is 60 s"


def test_the_same_bytes_that_are_new_twice(folder: Path) -> None:
    (folder / "b.csv").write_bytes((folder / "a.csv").read_bytes())
    assert found(folder) == {"a.csv": "new", "b.csv": "same content"}


def test_a_link_that_reaches_outside(folder: Path) -> None:
    (folder.parent / "secret.csv").write_text("review\nsecret\n")
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "gone.csv").symlink_to(folder / "nowhere")
    assert found(folder) == {
        "a.csv": "new",
        "link.csv": "unreadable",
        "gone.csv": "unreadable",
        "sub/loop": "not a dump",
    }


def test_a_pipe_that_blocks(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    assert found(folder)["pipe.csv"] == "unreadable"


@pytest.mark.parametrize(
    "name", ["line\nbreak.csv", "quote'\".csv", "ümlaut.csv", b"\xff\xfe.csv".decode("utf-8", "surrogateescape")]
)
def test_a_strange_name_that_stops_the_run(folder: Path, name: str) -> None:
    (folder / name).write_text("review\nother\n")
    assert found(folder)[inbox._printable(name)] == "new"
    assert all(shown.isprintable() for shown in found(folder))


def test_a_missing_folder_that_is_nothing_new(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match="no such file or folder"):
        inbox.find([tmp_path / "nowhere"], tmp_path, "gru-000000000000")


def test_a_name_that_is_forgotten(folder: Path) -> None:
    (folder / "b.csv").write_bytes((folder / "a.csv").read_bytes())
    dumps = inbox.find([folder], folder.parent / "scores", "gru-000000000000")
    for _ in range(2):
        inbox.remember_names(folder.parent / "names", dumps)
    (path,) = (folder.parent / "names").iterdir()
    assert '"a.csv",\n    "b.csv"\n' in path.read_text()


def test_a_new_model_that_takes_up_old_files_against_the_users_will(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = folder.parent / "scores"
    (scores / "model=lstm-000000000000").mkdir(parents=True)
    monkeypatch.setattr(tables, "find", lambda _, model_id, __: Path("a") if model_id.startswith("lstm") else None)
    for options, status in ((ScoreConfig(), "new"), (ScoreConfig(unscored_only=True), "scored")):
        (dump,) = inbox.find([folder], scores, "gru-000000000000", options)
        assert dump.status == status
