"""How scoring grows with the workers of a Dask cluster: of one core each, with the processes of the run beside them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support import clusters

# One core each: libraries that would take more are told so.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}


def untrained(preset: Path, archive: Path, word_index: Path, data_dir: Path) -> str:
    """Writes a model in the shape of the preset; returns its id."""
    from tests.support import untrained as networks

    return networks.write(data_dir / "models", preset.name, archive, word_index)


def seconds(address: Path, data_dir: Path, warm: Path, dumps: Path) -> float:
    """Seconds to score the dumps in a folder by the workers: whole, or in blocks if the folder is called `large`.

    Start-up is left out: a small dump has been scored before, and the time ends with the last table.
    """
    from prefect import flow

    from tasks.lib.config import RunnerConfig, ScoreConfig
    from tasks.scoring.batches import score_dumps, scorers
    from tasks.scoring.find import find_dumps
    from tasks.scoring.run import scoring_run

    config = RunnerConfig(runner="dask", dask_address=f"tcp://{address}", dask_split=0 if dumps.name == "large" else 64)

    @flow(name="benchmark", persist_result=False, validate_parameters=False)
    def timed() -> float:
        taken = 0.0
        for folder in (warm, dumps):
            with scoring_run(data_dir, ScoreConfig(rescore=True)) as run:
                found = find_dumps(run, [folder])
                with scorers(run, found, config) as cluster:
                    started = time.perf_counter()
                    score_dumps(run, found.new, cluster)
                    taken = time.perf_counter() - started
                failed = [report.reason for report in run.reports if report.status == "failed"]
                if failed:
                    raise RuntimeError(failed[0])
        return taken

    return float(timed())


def measured(
    cores: Sequence[int], environment: dict[str, str], measure: Callable[[str, Path], float], kinds: Sequence[Path]
) -> dict[tuple[int, str], float]:
    """Seconds for each number of workers, up to one for each core, and each kind of dumps."""
    found = {}
    for count in range(1, len(cores) + 1):
        pinned = [["taskset", "-c", str(core)] for core in cores[:count]]
        with (
            tempfile.TemporaryDirectory() as folder,
            clusters.running(Path(folder), pinned, environment={**os.environ, **environment, **ONE_THREAD}) as address,
        ):
            for kind in kinds:
                found[count, kind.name] = measure(address, kind)
    return found
