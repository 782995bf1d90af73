"""`python -m tests.tools.benchmarks`: this pipeline beside plain scripts, in turn, each in a process of its own.

Prints medians and ratios. For the figures of memory and growth the dump is repeated ten times, and ten times again
as far as `--rows 2500000` allows (default: ten times once). `small` measures many small dumps alone, `forms` the
same reviews as CSV, JSON lines and Parquet, and `cluster` one Dask worker and two.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import platform
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from tasks.running import environment
from tests.support import servers

ROOT = Path(__file__).resolve().parents[3]
FORMS = {"csv": "CSV", "jsonl": "JSON lines", "parquet": "Parquet"}
app = App(name="python -m tests.tools.benchmarks", help=__doc__, version_flags=[])


@app.command
def one(name: str, *arguments: Path, memory: bool = False) -> None:
    """Measure one thing and print the figure, and with `--memory` the peak memory in kB."""
    from tests.tools.benchmarks import cluster as on_cluster
    from tests.tools.benchmarks import ours, reference

    source, measure = name.split(".")
    if source != "reference":
        environment.prepare(command_line=False)  # as the flows do; the reference runs as it comes
    if name == "reference.score":
        model_file, word_index, dump, out = arguments
        print(reference.score(model_file, json.loads(word_index.read_bytes()), dump, out))
    else:
        print(getattr({"ours": ours, "reference": reference, "cluster": on_cluster}[source], measure)(*arguments))
    if memory:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


class Bench:
    """A data folder with a trained model, and processes to measure over it."""

    def __init__(self, folder: Path, repeats: int) -> None:
        self.folder, self.repeats = folder, repeats
        self.data = folder / "data"
        self.whole_script = 0.0
        real = os.environ.get("IMDB_DIR")
        source = Path(real) if real else ROOT / "data" / "sample"
        self.corpus = "IMDB" if real else "sample"
        self.archive = source / ("imdb.npz" if real else "corpus.npz")
        self.word_index = source / ("imdb_word_index.json" if real else "word_index.json")
        self.dump = source / ("reviews_test.csv.gz" if real else "reviews-test.csv.gz")
        self.environment = os.environ | {"PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(ROOT)}

    def run(self, *command: object) -> tuple[str, float]:
        """Runs a Python command; gives what it printed and its wall time in seconds."""
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            env=self.environment, cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr[-2000:]}")
        return done.stdout, time.perf_counter() - started

    def figure(self, name: str, *arguments: object) -> float:
        """One figure from a process of its own."""
        return float(self.run("-m", "tests.tools.benchmarks", "one", name, *arguments)[0].split()[-1])

    def train(self, *options: object) -> float:
        """Wall seconds of a training run."""
        archive = ["--archive", self.archive, "--word-index", self.word_index]
        return self.run("flows/train.py", *archive, "--data-dir", self.data, *options)[1]

    def prefect(self, *arguments: str) -> None:
        """Runs a command of Prefect's."""
        self.run("-m", "prefect", "--no-prompt", *arguments)

    def medians(self, **figures: tuple[object, ...]) -> dict[str, float]:
        """Medians of figures that are taken in turn, so that a slow minute hits all of them."""
        taken: dict[str, list[float]] = {name: [] for name in figures}
        for _ in range(self.repeats):
            for name, (measure, *arguments) in figures.items():
                taken[name].append(self.figure(str(measure), *arguments))
        return {name: statistics.median(values) for name, values in taken.items()}


@app.command
def write(dump: Path, path: Path, rows: int) -> None:
    """Write the rows of a packed CSV dump over and over, in the form that the suffix of the path says."""
    if path.suffix == ".csv":
        repeated(dump, path, rows)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    with gzip.open(dump, "rt", newline="", encoding="utf-8") as file:
        header, *records = csv.reader(file)
    starts = range(0, rows, len(records))
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(header, record, strict=True)), ensure_ascii=False) + "\n" for record in records]
        with path.open("w", encoding="utf-8") as file:
            for start in starts:
                file.writelines(lines[: rows - start])
    else:
        table = pa.table([list(column) for column in zip(*records, strict=True)], header)
        with pq.ParquetWriter(path, table.schema) as writer:
            for start in starts:
                writer.write_table(table[: rows - start])


def rows_in(dump: Path) -> int:
    """How many records a packed dump holds, without its header."""
    with gzip.open(dump, "rt", newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def repeated(dump: Path, path: Path, rows: int) -> Path:
    """A plain CSV with the rows of the dump over and over, `rows` in all."""
    with gzip.open(dump, "rt", newline="", encoding="utf-8") as file:
        header, *records = csv.reader(file)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for start in range(0, rows, len(records)):
            writer.writerows(records[: rows - start])
    return path


Repeats = Annotated[int, Parameter(help="How often each figure is taken.")]
Many = Annotated[int, Parameter(help="Small dumps that are new at once.")]
History = Annotated[int, Parameter(help="Small dumps that are scored when a run finds nothing new.")]


@app.default
def main(
    *,
    repeats: Repeats = 3,
    rows: Annotated[int | None, Parameter(help="Reviews of the largest dump.")] = None,
    many: Many = 4_000,
    history: History = 20_000,
) -> None:
    """Measure everything and print the table."""
    with trained(repeats) as bench:
        training(bench)
        scoring(bench, rows)
        every_form(bench, rows or 10 * rows_in(bench.dump))
        runs(bench)
        dask(bench)
        small_dumps(bench, many, history)


@app.command
def small(*, repeats: Repeats = 3, many: Many = 4_000, history: History = 20_000) -> None:
    """Measure many small dumps alone."""
    with trained(repeats) as bench:
        small_dumps(bench, many, history)


@app.command
def forms(*, repeats: Repeats = 3, rows: Annotated[int, Parameter(help="Reviews of each dump.")] = 1_000_000) -> None:
    """Measure the same reviews as CSV, JSON lines and Parquet alone."""
    with trained(repeats) as bench:
        every_form(bench, rows)


@app.command
def cluster(
    *,
    presets: Annotated[tuple[str, ...], Parameter(help="Shapes of networks.", consume_multiple=True)] = (
        "fast",
        "best",
    ),
    data_dir: Annotated[
        Path | None, Parameter(help="Score with the current model of this data folder instead.")
    ] = None,
    rows: Annotated[int, Parameter(help="Reviews of each run.")] = 40_000,
    dumps: Annotated[int, Parameter(help="Dumps that they are in, unless in one.")] = 16,
    cores: Annotated[tuple[int, ...], Parameter(help="A worker on each.", consume_multiple=True)] = (0, 1),
) -> None:
    """Measure one worker of a Dask cluster beside several, each on a core: whole dumps, and one dump in blocks.

    The process that reads and writes in the latter case runs on all cores, beside the workers.
    """
    from tests.tools.benchmarks import cluster as on_cluster

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), 1)
        whole, large, warm = (bench.folder / name for name in ("whole", "large", "warm"))
        for path in (whole, large, warm):
            path.mkdir()
        dump = repeated(bench.dump, bench.folder / "all.csv", rows)
        split(dump, whole, dumps)
        shutil.move(repeated(bench.dump, bench.folder / "large.csv", rows), large)
        repeated(bench.dump, warm / "warm.csv", min(rows, 200))
        print(f"{bench.corpus} corpus, {rows:,} reviews, {dump.stat().st_size / 1e6:.0f} MB, cores {cores}\n")
        print("| network | dumps | workers | reviews/s | over one |\n|---|---|---|---|---|", flush=True)
        with server(bench):
            for name in [data_dir.name] if data_dir else presets:
                data = bench.folder / name
                if data_dir:
                    shutil.copytree(data_dir / "models", data / "models")
                else:
                    bench.run(
                        *("-m", "tests.tools.benchmarks", "one", "cluster.untrained"),
                        *(name, bench.archive, bench.word_index, data),
                    )

                def measure(address: str, kind: Path, data: Path = data) -> float:
                    return bench.figure("cluster.seconds", address.removeprefix("tcp://"), data, warm, kind)

                found = on_cluster.measured(cores, bench.environment, measure, (whole, large))
                for (count, kind), taken in sorted(found.items(), key=lambda one: one[0][::-1]):
                    over = f"{found[1, kind] / taken:.2f}"
                    what = f"{dumps} whole" if kind == "whole" else "one in blocks"
                    print(f"| {name} | {what} | {count} | {rows / taken:,.0f} | {over} |", flush=True)


@contextmanager
def trained(repeats: int) -> Iterator[Bench]:
    """A bench with a model, below the head of the table."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), repeats)
        print(f"{bench.corpus} corpus, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
        print(", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "prefect", "pyarrow")))
        print("\n| what | plain script | this pipeline | ratio |\n|---|---|---|---|", flush=True)
        bench.train()
        yield bench


def row(what: str, reference: str, ours: str, ratio: str = "") -> None:
    """Prints one row of the table."""
    print(f"| {what} | {reference} | {ours} | {ratio} |", flush=True)


def training(bench: Bench) -> None:
    """Preparing, feeding and one epoch."""
    shards = next((bench.data / "shards").glob("[!.]*"))
    found = bench.medians(
        reference_prepare=("reference.prepare", bench.archive),
        prepare=("ours.prepare", bench.archive, bench.folder / "shards"),
        reference_epoch=("reference.epoch", bench.archive),
        epoch=("ours.epoch", shards, bench.folder / "checkpoint.npz"),
        feed=("ours.feed", shards),
    )
    for what, name in (("load, pad (and write shards)", "prepare"), ("one training epoch", "epoch")):
        theirs, mine = found[f"reference_{name}"], found[name]
        row(what, f"{theirs:.2f} s", f"{mine:.2f} s", f"{theirs / mine:.1f}")
    plain, quick = bench.run("-m", "tests.tools.benchmarks", "one", "ours.losses", shards)[0].split()[-2:]
    row(
        "loss after an epoch from the same weights, plain Keras and ours",
        plain,
        quick,
        f"{float(quick) - float(plain):+.0e}",
    )
    manifest = json.loads((shards / "manifest.json").read_bytes())
    taken = manifest["rows"]["train"] / found["epoch"]
    row(
        "feeding / what training takes, reviews/s",
        "",
        f"{found['feed']:,.0f} / {taken:,.0f}",
        f"{found['feed'] / taken:.0f}",
    )


def scoring(bench: Bench, rows: int | None) -> None:
    """Scoring with and without start-up, memory and growth."""
    models = bench.data / "models"
    model_file = next(models.glob("*/model.keras"))
    out = bench.folder / "out"
    out.mkdir()
    found = bench.medians(
        reference=("reference.score", model_file, bench.word_index, bench.dump, out / "reference.csv"),
        ours=("ours.score", models, bench.dump, out),
    )
    count = rows_in(bench.dump)
    theirs, mine = (count / found[name] for name in ("reference", "ours"))
    row("scoring, start-up left out", f"{theirs:,.0f} reviews/s", f"{mine:,.0f} reviews/s", f"{mine / theirs:.1f}")
    script = (
        "-m",
        "tests.tools.benchmarks",
        "one",
        "reference.score",
        model_file,
        bench.word_index,
        bench.dump,
        out / "r.csv",
    )
    whole = bench.whole_script = statistics.median(bench.run(*script)[1] for _ in range(bench.repeats))
    flow = ("flows/score.py", bench.dump, "--data-dir", bench.data, "--rescore")
    alone = statistics.median(bench.run(*flow)[1] for _ in range(bench.repeats))
    row(
        f"scoring {count:,} reviews with start-up, no server",
        f"{whole:.1f} s",
        f"{alone:.1f} s",
        f"{whole / alone:.1f}",
    )
    growth(bench, models, out, count, rows or 10 * count)


def growth(bench: Bench, models: Path, out: Path, count: int, rows: int) -> None:
    """Memory and time each time that the dump grows tenfold, from its own size up to `rows`."""
    size, before = count, None
    while size <= rows:
        dump = repeated(bench.dump, bench.folder / f"{size}.csv", size)
        taken = [peak(bench, models, dump, out) for _ in range(bench.repeats)]
        seconds, memory = (statistics.median(values) for values in zip(*taken, strict=True))
        if 10 * size > rows:
            whole_run(bench, dump)
        dump.unlink()
        if before:
            row(
                f"scoring time, {size // 10:,} -> {size:,} reviews",
                "",
                f"{before[0]:.1f} -> {seconds:.1f} s",
                f"{seconds / before[0]:.1f}",
            )
            row(
                f"peak memory, {size // 10:,} -> {size:,} reviews",
                "",
                f"{before[1]:.0f} -> {memory:.0f} MB",
                f"{memory / before[1]:.2f}",
            )
        size, before = size * 10, (seconds, memory)


def every_form(bench: Bench, rows: int) -> None:
    """The same reviews in every form: reading and scoring beside CSV, memory, and whether the scores differ."""
    models, read, scored, memory, scores = bench.data / "models", {}, {}, {}, {}
    for size in (rows // 10, rows):
        dumps = {form: bench.folder / f"{size}.{form}" for form in FORMS}
        for dump in dumps.values():  # elsewhere: what is started here would begin with the memory of this process
            bench.run("-m", "tests.tools.benchmarks", "write", bench.dump, dump, size)
        outs = {form: bench.folder / f"{form}-out" for form in FORMS}
        taken: dict[str, list[tuple[float, ...]]] = {form: [] for form in FORMS}
        for _ in range(bench.repeats):
            for form, dump in dumps.items():
                taken[form].append((bench.figure("ours.read", dump), *peak(bench, models, dump, outs[form])))
        for form, dump in dumps.items():
            memory[form, size] = statistics.median(found[2] for found in taken[form])
            read[form], scored[form] = (size / statistics.median(found[at] for found in taken[form]) for at in (0, 1))
            scores[form] = bench.run("-m", "tests.tools.benchmarks", "one", "ours.digest", outs[form])[0].split()[-1]
            dump.unlink()
    for form, name in FORMS.items():
        row(
            f"reading {rows:,} reviews as {name}", "", f"{read[form]:,.0f} reviews/s", f"{read[form] / read['csv']:.2f}"
        )
    for form, name in FORMS.items():
        speed, ratio = f"{scored[form]:,.0f} reviews/s", f"{scored[form] / scored['csv']:.2f}"
        row(f"scoring them as {name}", "", speed, ratio)
    for form, name in FORMS.items():
        few, many = memory[form, rows // 10], memory[form, rows]
        what = f"peak memory, {rows // 10:,} -> {rows:,} reviews as {name}"
        row(what, "", f"{few:.0f} -> {many:.0f} MB", f"{many / few:.2f}")
    row("scores of these dumps", "", "the same bits" if len(set(scores.values())) == 1 else "they differ")


def peak(bench: Bench, *arguments: object) -> tuple[float, float]:
    """Seconds to score, and the peak memory of the process in MB."""
    printed, _ = bench.run("-m", "tests.tools.benchmarks", "one", "--memory", "ours.score", *arguments)
    seconds, kilobytes = printed.split()[-2:]
    return float(seconds), float(kilobytes) / 1024


def whole_run(bench: Bench, dump: Path) -> None:
    """One run of the flow over a dump: what it took, and whether each of its rows is in a table."""
    started = time.perf_counter()
    command = [sys.executable, "flows/score.py", str(dump), "--data-dir", str(bench.data)]
    process = subprocess.Popen(command, env=bench.environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # its own peak memory, not that of the largest child
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds, memory = time.perf_counter() - started, usage.ru_maxrss / 1024
    report = json.loads(max((bench.data / "scores" / "_reports").glob("*.json")).read_bytes())
    row(
        f"one run of flows/score.py, {report['rows']:,} reviews: {report['scored']:,} scored, "
        f"{report['quarantined']:,} quarantined",
        "",
        f"{seconds:.1f} s, {memory:.0f} MB",
    )


def runs(bench: Bench) -> None:
    """Whole runs that find nothing to do, and scoring with a server at hand."""
    cached = statistics.median(bench.train() for _ in range(bench.repeats))
    row("training run from the cache, no server", "", f"{cached:.1f} s")
    nothing = ("flows/score.py", bench.dump, "--data-dir", bench.data)
    with server(bench):
        idle = statistics.median(bench.run(*nothing)[1] for _ in range(bench.repeats))
        scored = statistics.median(bench.run(*nothing, "--rescore")[1] for _ in range(bench.repeats))
        bench.prefect("work-pool", "create", "local", "--type", "process")
        bench.prefect("deploy", "--name", "backfill")
        scheduled = statistics.median(deployed_run(bench) for _ in range(bench.repeats))
    row("scoring run that finds nothing new, server running", "", f"{idle:.1f} s")
    row("the same as a deployed run, started as a worker does", "", f"{scheduled:.1f} s")
    theirs = bench.whole_script
    row(
        "scoring the dump with start-up, server running", f"{theirs:.1f} s", f"{scored:.1f} s", f"{theirs / scored:.1f}"
    )


def deployed_run(bench: Bench) -> float:
    """Wall seconds of the process of a deployed run that finds nothing new."""
    from prefect.client.orchestration import get_client  # here, or each thing measured would load Prefect
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: bench.environment["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        deployment = client.read_deployment_by_name("score/backfill")
        parameters = {"paths": [str(bench.dump)], "data_dir": str(bench.data)}
        run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    job = deployment.job_variables
    settings = bench.environment | job["env"] | {"PREFECT__FLOW_RUN_ID": str(run.id)}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *shlex.split(job["command"])[1:]], env=settings, cwd=ROOT, check=True, capture_output=True
    )
    return time.perf_counter() - started


def dask(bench: Bench) -> None:
    """20 dumps scored by two Dask workers of this machine, and by one process; start-up included."""
    count = rows_in(bench.dump)
    for size in (count, 10 * count):
        folder = bench.folder / f"twenty-{size}"
        folder.mkdir()
        whole = repeated(bench.dump, bench.folder / "whole.csv", size)
        split(whole, folder, 20)
        command = ("flows/score.py", folder, "--data-dir", bench.data, "--rescore", "--runner")
        with server(bench):
            taken = [[bench.run(*command, runner)[1] for runner in ("local", "dask")] for _ in range(bench.repeats)]
        alone, together = (statistics.median(times) for times in zip(*taken, strict=True))
        row(
            f"20 dumps of {size:,} reviews in all: one process -> two Dask workers",
            "",
            f"{alone:.1f} -> {together:.1f} s",
            f"{alone / together:.2f}",
        )


def split(dump: Path, folder: Path, parts: int) -> None:
    """The rows of a dump in `parts` dumps of about the same number of rows."""
    with dump.open(newline="", encoding="utf-8") as file:
        header, *records = csv.reader(file)
    for part in range(parts):
        with (folder / f"part-{part:02}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(records[part::parts])


ROWS = 20  # of a small dump


def small_dumps(bench: Bench, many: int, history: int) -> None:
    """Many new dumps of 20 reviews, and runs that find nothing new beside few and many that are scored."""
    history = max(history, 20 + many)
    data = bench.folder / "small"
    shutil.copytree(bench.data / "models", data / "models")
    (data / "inbox").mkdir()
    run = ("flows/score.py", "--data-dir", data)

    def score(upto: int) -> float:
        """Adds dumps until there are so many, and gives the seconds to score what is new."""
        write_small(bench.dump, data / "inbox", upto)
        seconds = bench.run(*run)[1]
        tables = len(list(data.glob("scores/model=*/[!.]*.parquet")))
        if tables != upto:
            raise RuntimeError(f"{tables:,} tables, expected {upto:,}")
        return seconds

    def idle() -> float:
        return statistics.median(bench.run(*run)[1] for _ in range(bench.repeats))

    with server(bench):
        score(20)
        few = idle()
        row(f"{many:,} new dumps of {ROWS} reviews, server running", "", f"{score(20 + many):.1f} s")
        score(history)
        row(f"run that finds nothing new, 20 -> {history:,} scored dumps", "", f"{few:.1f} -> {idle():.1f} s")


def write_small(dump: Path, folder: Path, upto: int) -> None:
    """Adds dumps of a few rows each, no two the same, until there are so many."""
    with gzip.open(dump, "rt", newline="", encoding="utf-8") as file:
        header, *records = csv.reader(file)
    for number in range(len(list(folder.iterdir())), upto):
        with (folder / f"small-{number:06}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*header, "number"])
            first = number * ROWS
            writer.writerows([*records[at % len(records)], at] for at in range(first, first + ROWS))


@contextmanager
def server(bench: Bench) -> Iterator[None]:
    """A Prefect server for the processes of `bench`."""
    with servers.running(bench.folder / "server.log", bench.environment) as address:
        bench.environment["PREFECT_API_URL"] = address
        try:
            yield
        finally:
            del bench.environment["PREFECT_API_URL"]


if __name__ == "__main__":
    app()
