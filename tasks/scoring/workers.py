"""What the workers of a Dask cluster do. They need this code, and nothing else of the machine that a run is on.

The model comes to each of them once, through Dask, and stays until there is another one. Where they reach the dumps
and the place of the tables, they score whole dumps; else blocks of reviews.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin, get_worker
from prefect import task
from prefect.client.schemas.objects import State

from tasks.lib import errors, files, scoring, stores, urls
from tasks.lib.config import ScoreConfig
from tasks.lib.layout import Layout
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.reports import FileReport
from tasks.lib.stores import Fetched
from tasks.running.buckets import open_store
from tasks.scoring import fetch
from tasks.scoring.predict import no_text_in_errors, run_name, score_all


class Reviews(list[str]):
    """Reviews on their way to a worker. Dask writes the arguments of what fails into its log: these stay hidden."""

    def __repr__(self) -> str:
        return f"<{len(self)} reviews>"


class KeptModel(WorkerPlugin):  # type: ignore[misc]  # Dask has no types
    """A model on its way to all workers of a cluster, those to come included; there it is opened, once.

    `contents` are the files of its bundle by name. They are checked as those on a disk are.
    """

    def __init__(self, name: str, model_id: str, contents: dict[str, bytes]) -> None:
        self.name, self.model_id, self.contents = name, model_id, contents
        self.model: scoring.Model | None = None

    def setup(self, worker: Any) -> None:
        """Opens the model. Raises `ModelError` if a file is not that of the manifest, `OutputError` without room."""
        with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
            bundle = Path(folder, self.model_id)
            with files.output_errors(bundle):
                bundle.mkdir()
                for name, content in self.contents.items():
                    (bundle / name).write_bytes(content)
            self.model = scoring.Model.open(Path(folder), self.model_id)
        self.contents = {}


def kept_names(prefix: str, dask_worker: Any = None) -> list[str]:
    """The names, with this prefix, of the models that a worker keeps. Dask puts in the worker."""
    return [name for name, one in dask_worker.plugins.items() if name.startswith(prefix) and one.model]


def unreachable(places: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Those places that this worker cannot reach, each with the reason: files of so many bytes, and URLs of buckets."""
    found = {}
    for place, size in places:
        try:
            if urls.is_url(place):
                open_store(place).check()
            else:
                with Path(place).open("rb") as file:
                    if os.fstat(file.fileno()).st_size != size:
                        found[place] = "is another file there"
        except (OSError, errors.PipelineError) as error:
            found[place] = getattr(error, "strerror", None) or str(error)
    return found


def identify(objects: Sequence[Dump]) -> list[Fetched | errors.PipelineError]:
    """Reads objects of buckets for their sha256, and keeps nothing; or why one cannot be read."""
    with ThreadPoolExecutor(stores.AT_ONCE) as threads:
        return list(threads.map(lambda dump: fetch.attempt(dump, Path(os.devnull)), objects))


def score_block(model: str, reviews: Reviews) -> Any:
    """The scores of some reviews, with the model kept under this name."""
    with no_text_in_errors("a block of reviews"):
        return _kept(model)(reviews)


@task(name="score", task_run_name=run_name, persist_result=False)
def score_there(
    batch: list[Dump], model: str, options: ScoreConfig, data_dir: Path | None, marker: Path
) -> list[FileReport] | State[list[FileReport]]:
    """Scores each dump on a worker, which publishes the tables itself: in a bucket, or in the data folder.

    Raises `OutputError` if the data folder, which the `marker` lies in, is not on a disk that this worker sees.
    """
    own = Layout(Path(get_worker().local_directory, "sentiment"))
    if data_dir and unreachable([(str(marker), 0)]):  # it joined the cluster later than the run looked
        raise errors.OutputError(f"a Dask worker does not see {data_dir}. Run the same command again.")
    data = Layout(data_dir) if data_dir else own
    return score_all(batch, _kept(model), options, data, bring=partial(_brought, own))


def _kept(name: str) -> scoring.Model:
    plugin = get_worker().plugins.get(name)
    if plugin is None or plugin.model is None:
        raise errors.ModelError("a Dask worker has not got the model. Run the same command again.")
    return plugin.model


@contextmanager
def _brought(own: Layout, dump: Dump) -> Iterator[Dump]:
    """The dump as a file: an object of a bucket is copied to this worker's own folder for the block."""
    if not urls.is_url(dump.path):
        yield dump
        return
    place = fetch.place(own, dump)
    try:
        fetch.copy(dump, place)
        yield replace(dump, path=str(place))
    finally:
        files.remove(place.parent)
