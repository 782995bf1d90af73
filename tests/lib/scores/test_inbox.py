"""What counts as a new dump, and what is refused."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.lib import errors, files
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores import inbox, tables
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.ledger import Ledger

MODEL = "gru-000000000000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inbox" / "sub").mkdir(parents=True)
    (tmp_path / "inbox" / "a.csv").write_text("review\nfine\n")
    return tmp_path / "inbox"


def find(*places: Path, config: ScoreConfig = ScoreConfig()) -> list[Dump]:
    """What there is in the places; the data folder is the one above the inbox."""
    root = next((parent for parent in places[0].parents if (parent / "inbox").exists()), places[0].parent)
    with Ledger.open(Layout(root)) as ledger:
        return list(inbox.find(places, inbox.Looked(ledger, ledger.look([MODEL]), config, MODEL)))


def found(folder: Path) -> dict[str, inbox.Status]:
    return {dump.name: dump.status for dump in find(folder)}


def test_dumps_in_subfolders_that_are_passed_over(folder: Path) -> None:
    (folder / "sub" / "b.TSV.gz").write_text("review\nother\n")
    assert found(folder) == {"a.csv": "new", "sub/b.TSV.gz": "new"}


def test_tables_and_other_things_of_our_own_that_are_scored(folder: Path) -> None:
    data = Layout(folder.parent)
    for path in (*data.own, data.csv, data.root / "sample"):
        path.mkdir(parents=True, exist_ok=True)
        (path / "r.csv").write_text(f"review\n{path}\n")
    with Ledger.open(data) as ledger:
        looked = inbox.Looked(ledger, ledger.look([MODEL]), ScoreConfig(), MODEL)
        places = [list(inbox.find([place], looked)) for place in (data.root, data.labels)]
    whole, named = ({dump.name for dump in place if dump.status == "new"} for place in places)
    assert whole == {"inbox/a.csv", "sample/r.csv"}
    assert named == {"r.csv"}


def test_hidden_and_foreign_files_that_are_scored(folder: Path) -> None:
    for name in ("b.jsonl", "c.ndjson.zst", "d.PARQUET"):
        (folder / name).write_text(name)
    for name in (".a.csv.swp", ".hidden.csv", "notes.txt", "a.csv.part"):
        (folder / name).write_text("review\nx\n")
    dumps = dict.fromkeys(["a.csv", "b.jsonl", "c.ndjson.zst", "d.PARQUET"], "new")
    assert found(folder) == {**dumps, "notes.txt": "not a dump", "a.csv.part": "not a dump"}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("r.xlsx", "save its sheet as CSV"), ("R.XLS", "save its sheet as CSV"), ("r.ods", "save its sheet as CSV"),
        ("r.zip", "unpack it"),
        ("r.parquet.gz", "unpack the file"), ("r.csv.zip", "unpack it"),
    ],
)  # fmt: skip
def test_reviews_in_a_form_that_is_not_read_and_that_nobody_is_told_of(folder: Path, name: str, advice: str) -> None:
    (folder / name).write_bytes(b"PK")
    for dump in (*find(folder), *find(folder / name)):
        assert dump.name == "a.csv" or (dump.status == "unreadable" and advice in dump.reason)
        assert "\n" not in dump.reason


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

    with Ledger.open(Layout(folder.parent)) as ledger:
        looked = inbox.Looked(ledger, ledger.look([MODEL]), ScoreConfig(), MODEL)
        monkeypatch.setattr(Path, "stat", locked)
        with pytest.raises(errors.InputError, match="inbox: cannot be read: Permission denied"):
            list(inbox.find([folder], looked))


@pytest.mark.parametrize("name", ["notes.txt", "x.csv.xz"])
def test_a_file_that_is_named_and_no_dump_and_is_passed_over(folder: Path, name: str) -> None:
    (folder / name).write_text("review\nx\n")
    (dump,) = find(folder / name)
    assert dump.status == "unreadable"
    assert "expected a name that ends in .csv, .tsv" in dump.reason


def test_a_damaged_table_that_is_made_again_in_silence(folder: Path) -> None:
    """It is made again in its place, though the dump has another name by now."""
    (dump,) = find(folder)
    assert dump.reason == ""
    damaged = folder.parent / "scores" / f"model={MODEL}" / tables.table_name("old.csv", dump.sha256)
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"PAR1")
    (dump,) = find(folder)
    assert (dump.status, folder.parent / dump.table) == ("new", damaged)
    assert "not readable" in dump.reason


def test_a_damaged_table_of_another_model_that_is_made_again_among_its_tables(folder: Path) -> None:
    """With `--unscored-only` tables of all models count; what this model scores is not to stand under another."""
    other, data = "gru-ffffffffffff", Layout(folder.parent)
    (dump,) = find(folder)
    damaged = tables.folder(data.scores, other) / tables.table_name("a.csv", dump.sha256)
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"PAR1")
    with Ledger.open(data) as ledger:
        (dump,) = inbox.find([folder], inbox.Looked(ledger, ledger.look([MODEL, other]), ScoreConfig(), MODEL))
    assert (dump.status, Path(dump.table).parent.name) == ("new", f"model={MODEL}")
    assert data.root / dump.replaces == damaged
    assert "not readable" in dump.reason


def test_a_file_that_is_taken_while_it_is_still_written(folder: Path) -> None:
    ages = {"young.csv": 5, "old.csv": 100, "from-tomorrow.csv": -86_400}
    for name, age in ages.items():
        (folder / name).write_text(f"review\n{name}\n")
        os.utime(folder / name, (time.time() - age,) * 2)
    (folder / "notes.txt").touch()
    named = folder / "a.csv"  # whoever names a file knows that it is complete
    dumps = find(folder, named, config=ScoreConfig(min_age=60))
    assert [(dump.name, dump.status) for dump in dumps] == [
        ("a.csv", "too new"),
        ("from-tomorrow.csv", "new"),
        ("notes.txt", "not a dump"),
        ("old.csv", "new"),
        ("young.csv", "too new"),
        ("a.csv", "new"),
    ]
    assert dumps[4].reason == "changed 5 s ago; it waits until that is 60 s"


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
    assert found(folder)[errors.printable(name)] == "new"
    assert all(shown.isprintable() for shown in found(folder))


def test_a_missing_folder_that_is_nothing_new(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match="no such file or folder"):
        find(tmp_path / "nowhere")


def hashed(monkeypatch: pytest.MonkeyPatch, *places: Path) -> list[str]:
    """The names of the files that looking at the places reads."""
    names: list[str] = []
    original = files.sha256

    def noted(path: Path) -> str:
        names.append(path.name)
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "sha256", noted)
        find(*places)
    return names


@pytest.fixture
def settled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder when its files have been read long after their last change."""
    monkeypatch.setattr(inbox, "TICK_NS", -1)
    find(folder)
    return folder


def test_a_file_that_is_read_again_though_nothing_has_changed(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hashed(monkeypatch, settled) == []
    assert hashed(monkeypatch, settled / "a.csv") == []


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_file_of_the_same_size_that_is_taken_for_the_one_before(
    settled: Path, monkeypatch: pytest.MonkeyPatch, keep_time: bool
) -> None:
    """Who sets the mtime back still changes the ctime."""
    before = (settled / "a.csv").stat()
    (settled / "a.csv").write_text("review\nevil\n")
    if keep_time:
        os.utime(settled / "a.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hashed(monkeypatch, settled) == ["a.csv"]


def test_a_file_changed_within_the_tick_of_the_clock_that_is_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(folder)
    assert hashed(monkeypatch, folder) == ["a.csv"]


def test_names_in_an_order_in_which_their_neighbours_are_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has them in the order of their bytes; a folder is above a dump whose name goes on as its own."""
    (folder / "a").mkdir()
    for name in (b"a/b.csv", b"a.tsv", b"a-.csv", b"\xff.csv", "\uffee.csv".encode(), "\U0001f600.csv".encode()):
        (folder / os.fsdecode(name)).write_bytes(b"review\n" + name + b"\n")
    find(folder)
    monkeypatch.setattr(inbox, "TICK_NS", -1)
    assert len(hashed(monkeypatch, folder)) == 7
    assert hashed(monkeypatch, folder) == []
    (folder / "a.tsv").unlink()
    assert hashed(monkeypatch, folder) == []


def test_a_file_that_was_removed_and_stays_in_the_ledger(settled: Path) -> None:
    (settled / "a.csv").unlink()
    find(settled)
    with Ledger.open(Layout(settled.parent)) as ledger:
        assert not list(ledger.known_files(b"inbox"))


def test_a_name_that_is_forgotten(folder: Path) -> None:
    (folder / "b.csv").write_bytes((folder / "a.csv").read_bytes())
    for _ in range(2):
        (first, _second) = find(folder)
    with Ledger.open(Layout(folder.parent)) as ledger:
        assert ledger.names(first.sha256) == ["a.csv", "b.csv"]
