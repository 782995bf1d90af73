"""Disks that are full, read-only or broken: one line that says so, nothing half-published, and on when mended."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.lib import errors, files
from tests.support import crash, dumps, tally
from tests.support.folders import contents, visible, write_bundle, write_shards


@pytest.fixture(params=[pytest.param(3, id="every few calls"), pytest.param(1, id="each call", marks=pytest.mark.slow)])
def stride(request: pytest.FixtureRequest) -> int:
    """From one fault to the next, in calls."""
    return int(request.param)


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, at: int, number: int = 0) -> Iterator[crash.Counter]:
    """Lets call number `at` fail with the error `number`, as a disk does."""

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    counter = crash.Counter(at, fail)
    with monkeypatch.context() as patch:
        for owner, name in crash.CALLS:
            patch.setattr(owner, name, counter.wrapped(owner, name))
        yield counter


@pytest.fixture
def score_dump(tmp_path: Path) -> Callable[[Path], None]:
    path = dumps.write(tmp_path / "d.csv", rows=2_500, bad=5)
    sha256 = files.sha256(path)
    return lambda folder: dumps.score(path, folder, sha256=sha256)


def error_of(work: Callable[[Path], None], folder: Path) -> str | None:
    """The one line with which the work failed, or None."""
    try:
        work(folder)
    except errors.PipelineError as error:
        return str(error)
    return None


def faults_at_each_call(
    work: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, stride: int
) -> int:
    """How many calls were let fail. After each: one line, whole files or none, and the same command goes on."""
    work(tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    with failing(monkeypatch, at=0) as counter:
        work(tmp_path / "counted")
    for at in range(1, counter.count + 1, stride):
        folder = tmp_path / f"fault-{at}"
        tally.tried["disk faults"] += 1
        with failing(monkeypatch, at, number):
            said = error_of(work, folder)
        if said is None:
            assert contents(folder) == expected, f"fault {at} went unsaid"
        else:
            assert os.strerror(number) in said
            assert "\n" not in said
        found = visible(folder)
        assert all(digest == expected.get(name) for name, digest in found.items()), f"fault {at}: {sorted(found)}"
        left = contents(folder).keys() - found.keys()
        assert at >= counter.count - 4 or not left, f"fault {at}: {left}"  # the last ones let the removal itself fail
        work(folder)
        files.sweep(folder / "scores")
        assert contents(folder) == expected, f"fault {at}"
    return counter.count


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_error_that_leaves_half_a_table(
    score_dump: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, stride: int
) -> None:
    assert faults_at_each_call(score_dump, tmp_path, monkeypatch, number, stride) > 50


@pytest.mark.parametrize("work", [write_shards, write_bundle])
def test_a_disk_error_that_leaves_half_a_folder(
    work: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    assert faults_at_each_call(work, tmp_path, monkeypatch, errno.ENOSPC, stride) > 30


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk with these options; for root only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        how = ["-o", f"remount,{options}"] if mounted else ["-t", "tmpfs", "-o", options, "none"]
        done = subprocess.run(["mount", *how, str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting a small disk is not permitted here")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", ["4k", "16k", "64k", "90k", "100k", "110k"])
def test_a_full_disk_that_keeps_half_a_table(
    score_dump: Callable[[Path], None], tmp_path: Path, small_disk: Callable[[str], Path], size: str
) -> None:
    disk = small_disk(f"size={size}")
    said = error_of(score_dump, disk)
    if said is not None:
        assert "No space left on device" in said or "disk is full" in said
        assert contents(disk) == {}
    small_disk("size=4m")
    score_dump(disk)
    score_dump(tmp_path / "undisturbed")
    assert contents(disk) == contents(tmp_path / "undisturbed")


def test_a_read_only_disk_that_ends_in_a_traceback(
    score_dump: Callable[[Path], None], tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("size=4m,ro")
    with pytest.raises(errors.OutputError, match="Read-only file system"):
        score_dump(disk)
    small_disk("rw")
    score_dump(disk)
    assert contents(disk)


def test_a_file_in_place_of_a_folder_that_is_a_traceback(score_dump: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(errors.OutputError, match="cannot be written"):
        score_dump(tmp_path / "data")
    files.remove(tmp_path / "data")
    score_dump(tmp_path / "data")
