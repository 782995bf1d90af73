"""`python -m tests.tools.quality`: every preset, trained with several seeds on the real corpus, as a table.

IMDB_DIR names the folder with imdb.npz, imdb_word_index.json, reviews_test.csv.gz and reviews_unlabelled.csv.gz. Means
of the seeds, in brackets the lowest and the highest. Minutes are those of the first seed, with all steps; word vectors
and pre-training do not depend on the seed, so the others take them from the cache.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from tasks.running import environment

ROOT = Path(__file__).resolve().parents[2]
HEAD = "| preset | accuracy, % | loss | calibration error | last 20 words: AUC | minutes | reviews/s | over Keras |"
app = App(name="python -m tests.tools.quality", help=__doc__, version_flags=[])


@app.default
def main(
    *,
    presets: Annotated[tuple[str, ...], Parameter(help="Which presets.", consume_multiple=True)] = (
        "article",
        "fast",
        "best",
    ),
    seeds: Annotated[int, Parameter(help="How many seeds, from 0.")] = 3,
    data_dir: Annotated[Path | None, Parameter(help="Where to keep the models; default: nowhere.")] = None,
) -> None:
    """Train, measure and print a row of the table for each preset."""
    print(HEAD + "\n" + "|---" * 8 + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for preset in presets:
            found = [measured(preset, seed, data_dir or Path(folder)) for seed in range(seeds)]
            figures = {name: [one[name] for one in found] for name in found[0]}
            row = (
                f"`{preset}`",
                spread([100 * value for value in figures["accuracy"]], ".2f"),
                spread(figures["loss"], ".4f"),
                spread(figures["calibration_error"], ".4f"),
                spread(figures["short_auc"], ".3f"),
                f"{figures['minutes'][0]:.1f}",
                f"{statistics.median(figures['rate']):,.0f}",
                f"{statistics.median(figures['ratio']):.1f}",
            )
            print("| " + " | ".join(row) + " |", flush=True)


def spread(values: list[float], form: str) -> str:
    """The mean, and the lowest and the highest."""
    return f"{statistics.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def measured(preset: str, seed: int, data_dir: Path) -> dict[str, float]:
    """The figures of one training."""
    real = Path(os.environ["IMDB_DIR"])
    command = [
        *("flows/train.py", "--preset", preset, "--seed", seed, "--data-dir", data_dir, "--force"),
        *("--archive", real / "imdb.npz", "--word-index", real / "imdb_word_index.json"),
        *(("--unlabelled", real / "reviews_unlabelled.csv.gz") if preset == "best" else ()),
    ]
    started = time.perf_counter()
    run(*command)
    minutes = (time.perf_counter() - started) / 60
    current = json.loads((data_dir / "models" / "current.json").read_bytes())["model_id"]
    metrics: dict[str, Any] = json.loads((data_dir / "models" / current / "metrics.json").read_bytes())
    ours, keras = (
        float(run("-m", "tests.tools.quality", "rate", name, data_dir / "models" / current).split()[-1])
        for name in ("ours", "keras")
    )
    return {
        "accuracy": metrics["accuracy"],
        "loss": metrics["loss"],
        "calibration_error": metrics["calibration_error"],
        "short_auc": metrics["short_reviews"]["auc"],
        "minutes": minutes,
        "rate": ours,
        "ratio": ours / keras,
    }


def run(*command: object) -> str:
    """Runs a Python command; gives what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout


@app.command
def rate(name: str, bundle: Path) -> None:
    """Print how many test reviews a second are scored: by `ours` from the dump to its tables, by `keras` from ids."""
    environment.prepare(command_line=False)
    dump = Path(os.environ["IMDB_DIR"]) / "reviews_test.csv.gz"
    print({"ours": _ours, "keras": _keras}[name](bundle, dump))


def _ours(bundle: Path, dump: Path) -> float:
    from tests.tools.benchmarks import ours

    with tempfile.TemporaryDirectory() as folder:
        return _reviews(dump) / ours.score(bundle.parent, dump, Path(folder))


def _keras(bundle: Path, dump: Path) -> float:
    from tasks.lib import scoring
    from tasks.lib.dumps import reader
    from tasks.lib.network import model

    encoder = scoring.Model.open(bundle.parent, bundle.name).encoder
    with reader.open(dump) as rows:
        blocks = [encoder.encode(block.strings(rows.review_index)) for block in rows]
    network = model.load(bundle / "model.keras")
    inputs = [(block.ids, block.ngram_ids) for block in blocks]
    model.predict(network, *inputs[0])  # compiles it
    started = time.perf_counter()
    for ids, ngram_ids in inputs:
        model.predict(network, ids, ngram_ids)
    return sum(len(ids) for ids, _ in inputs) / (time.perf_counter() - started)


def _reviews(dump: Path) -> int:
    from tests.tools.benchmarks.__main__ import rows_in

    return rows_in(dump)


if __name__ == "__main__":
    app()
