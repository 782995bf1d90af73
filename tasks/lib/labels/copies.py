"""Files of labels in a bucket: on the disk there is a copy of each, read once."""

from __future__ import annotations

import os
import time
from collections.abc import Container
from pathlib import Path

from tasks.lib import errors, files
from tasks.lib.dumps import reader
from tasks.lib.stores import Object, Store

FOLDER = ".copies"  # in the folder of the labels
KEPT_SECONDS = 86_400  # another training may still read what is not in the bucket any more


def fetch(store: Store, folder: Path) -> list[Path]:
    """Copies of the files of labels in a folder of a bucket, below the folder of labels on the disk.

    As on the disk, hidden files, other files and those of subfolders do not count. An object is read if this version of
    it was not read before; its copy has the time at which it was modified. Raises `StoreError` if the bucket cannot be
    read, `InputError` if an object changes meanwhile, `OutputError` if the disk fails.
    """
    listed = [one for one in store.objects() if _counts(store.name(one))]
    copies = []
    for one, version in zip(listed, store.versions(listed), strict=True):
        place = store.at(one)
        path = folder / FOLDER / files.digest(place.url, one.state, version)[:16] / place.file_name
        if not path.exists():
            _copy(place, one, version, path)
        copies.append(path)
    with files.output_errors(folder):
        _remove_others(folder / FOLDER, {path.parent.name for path in copies})
    return copies


def _counts(name: str) -> bool:
    return "/" not in name and not name.startswith(".") and reader.is_dump(name)


def _copy(place: Store, one: Object, version: str, path: Path) -> None:
    files.make_folder(path.parent, mode=files.PRIVATE_FOLDER)
    with files.new_file(path, files.PRIVATE_FILE) as temporary:
        if place.fetch(one.size, temporary).version != version:
            raise errors.InputError(f"{place}: changed while it was read. Run the same command again.")
        os.utime(temporary, (one.modified, one.modified))


def _remove_others(folder: Path, kept: Container[str]) -> None:
    for path in folder.glob("*"):
        if path.name not in kept and path.stat().st_mtime < time.time() - KEPT_SECONDS:
            files.remove(path)
