"""Publishing: complete or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.lib import errors, files


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


def test_what_a_killed_run_left_that_stays(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_text("half")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".b.partial").mkdir()
    (tmp_path / "folder" / "c").write_text("whole")
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "c"]


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
