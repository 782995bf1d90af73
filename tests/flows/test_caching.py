"""When a step's key changes: with what shapes its result, and with nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from prefect import Task

from tasks.lib.config import (
    CorpusConfig,
    FitConfig,
    LabelsConfig,
    LanguageConfig,
    NetworkConfig,
    ShardConfig,
    SplitConfig,
    StageConfig,
    VectorsConfig,
)
from tasks.lib.corpus import sources
from tasks.lib.labels.answers import LabelFiles
from tasks.lib.layout import CLONE
from tasks.training import caching, publish
from tasks.training.artifacts import Record
from tasks.training.baseline import evaluate_baseline
from tasks.training.calibrate import calibrate_network
from tasks.training.download import download_corpus
from tasks.training.evaluate import evaluate_network
from tasks.training.fit import fit_network
from tasks.training.labels import own_corpus, read_labels
from tasks.training.plot import render_plots
from tasks.training.prepare import write_shards
from tasks.training.pretrain import pretrain_network
from tasks.training.publish import write_bundle
from tasks.training.unlabelled import read_unlabelled
from tasks.training.vectors import learn_vectors

RECORD = Record(identity="0")
LABELS = LabelFiles(review_column="review", files=())
INPUTS: dict[Task[..., Any], list[Any]] = {
    download_corpus: [sources.sources(CorpusConfig(corpus="sample"))],
    read_labels: [RECORD, LABELS, LabelsConfig()],
    own_corpus: [LABELS, LabelsConfig()],
    write_shards: [RECORD, RECORD, ShardConfig()],
    read_unlabelled: [RECORD, RECORD, sources.unlabelled_source(CorpusConfig(corpus="sample"))],
    learn_vectors: [RECORD, RECORD, RECORD, VectorsConfig(validation_split=0.2, num_words=100, embedding_dim=4)],
    pretrain_network: [RECORD, RECORD, RECORD, RECORD, LanguageConfig.of(ShardConfig(), NetworkConfig())],
    fit_network: [RECORD, RECORD, NetworkConfig(), FitConfig()],
    calibrate_network: [RECORD] * 5,
    evaluate_network: [RECORD] * 5,
    evaluate_baseline: [RECORD, RECORD, SplitConfig(validation_split=0.2)],
    render_plots: [RECORD] * 3,
    write_bundle: [RECORD] * 11,
}
ALL = {task.name for task in INPUTS}
OWN = {"labels", "corpus"}  # those that read one's own labels
REVIEWS = ALL - {"download", "fit", "plot", "bundle"}  # those that take reviews as words

# Source file -> the steps that run again when it is edited. A file that is not here concerns no step.
CODE: dict[str, set[str]] = {
    "training/download.py": {"download"},
    "training/prepare.py": {"prepare"},
    "training/labels.py": OWN,
    "training/vectors.py": {"vectors"},
    "training/unlabelled.py": {"unlabelled"},
    "training/pretrain.py": {"pretrain"},
    "training/fit.py": {"fit"},
    "training/calibrate.py": {"calibrate"},
    "training/evaluate.py": {"evaluate"},
    "training/baseline.py": {"baseline"},
    "training/plot.py": {"plot"},
    "training/publish.py": {"bundle"},
    "lib/files.py": ALL,
    "lib/corpus/sources.py": {"download", "unlabelled"},
    "lib/corpus/unlabelled.py": REVIEWS | {"download"},
    "lib/corpus/own.py": REVIEWS,
    "lib/corpus/reviews.py": REVIEWS,
    "lib/dumps/blocks.py": {"unlabelled"} | OWN,
    "lib/dumps/delimited.py": {"unlabelled"} | OWN,
    "lib/dumps/header.py": {"unlabelled"} | OWN,
    "lib/dumps/json_lines.py": {"unlabelled"} | OWN,
    "lib/dumps/packing.py": {"unlabelled"} | OWN,
    "lib/dumps/parquet.py": {"unlabelled"} | OWN,
    "lib/dumps/reader.py": {"unlabelled"} | OWN,
    "lib/dumps/records.py": {"unlabelled"} | OWN,
    "lib/network/encoder.py": {"unlabelled"} | OWN,
    "lib/network/words.py": OWN,
    "lib/labels/answers.py": OWN,
    "lib/labels/asked.py": OWN,
    "lib/labels/sample.py": OWN,
    "lib/scores/exports.py": OWN,
    "lib/scores/quarantine.py": OWN,
    "lib/scores/tables.py": OWN,
    "lib/network/language.py": {"pretrain"},
    "lib/corpus/imdb.py": ALL - {"plot", "bundle"},
    "lib/tokens.py": ALL - {"plot"},
    "lib/arrow.py": ALL - {"download", "plot"},
    "lib/corpus/shards.py": ALL - {"download", "plot", "bundle"},
    "lib/corpus/dataset.py": {"fit"},
    "lib/network/model.py": {"pretrain", "fit", "calibrate", "evaluate"},
    "lib/network/checkpoint.py": {"pretrain", "fit", "calibrate", "evaluate"},
    "lib/network/unrolled.py": {"pretrain", "fit", "calibrate", "evaluate"},
    "lib/network/distribution.py": {"pretrain", "fit", "calibrate", "evaluate"},
    "lib/network/archive.py": {"calibrate", "evaluate"},
    "lib/network/cells.py": {"calibrate", "evaluate"},
    "lib/network/forward.py": {"calibrate", "evaluate"},
    "lib/network/calibration.py": {"calibrate"},
    "lib/network/metrics.py": {"evaluate"},
    "lib/network/ngrams.py": REVIEWS - {"prepare"},
    "lib/network/table.py": REVIEWS - {"prepare"},
    "lib/network/regression.py": {"baseline"},
    "lib/network/vectors.py": {"vectors"},
    "lib/figures.py": {"plot"},
    "lib/profiles.py": {"labels", "corpus", "calibrate", "bundle"},
    "lib/clock.py": {"bundle"},
    "lib/models/bundles.py": {"bundle"},
    "lib/models/slices.py": {"calibrate", "evaluate", "bundle"},
    "lib/models/predictions.py": {"evaluate", "bundle"},
    "lib/models/comparison.py": {"bundle"},
    "lib/models/releases.py": {"bundle"},
}
VERSIONS: dict[str, set[str]] = {
    "numpy": ALL - {"download", "plot"},
    "pyarrow": {"prepare", "evaluate", "bundle"} | OWN,
    "scipy": {"vectors", "calibrate", "evaluate", "baseline", "bundle"},
    "scikit-learn": {"vectors", "evaluate", "baseline", "bundle"},
    "tensorflow": {"pretrain", "fit", "calibrate", "evaluate", "bundle"},
    "keras": {"pretrain", "fit", "calibrate", "evaluate", "bundle"},
    "matplotlib": {"plot", "bundle"},
    "prefect": {"bundle"},
    "pandas": set(),
    "pydantic": set(),
}


def keys() -> dict[str, str]:
    """The key of each step."""
    return {task.name: caching.key(task, *inputs) for task, inputs in INPUTS.items()}


def changed(before: dict[str, str]) -> set[str]:
    return {name for name, key in keys().items() if key != before[name]}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the source from which keys are made for the time of the test."""
    shutil.copytree(CLONE / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(caching, "CLONE", tmp_path)
    imports = caching._imports
    monkeypatch.setattr(caching, "_imports", cache(lambda source: list(imports(source))))  # one file differs each time
    caching.source_digests.cache_clear()
    yield tmp_path
    caching.source_digests.cache_clear()


def test_an_edited_file_that_runs_the_wrong_steps(tree: Path) -> None:
    before = keys()
    found: dict[str, set[str]] = {}
    for path in sorted(tree.rglob("*.py")):
        source = path.read_bytes()
        path.write_bytes(source + b"# edited\n")
        caching.source_digests.cache_clear()
        found[path.relative_to(tree / "tasks").as_posix()] = changed(before)
        path.write_bytes(source)
    assert len(found) > 30
    assert {name: steps for name, steps in found.items() if steps} == CODE


def test_an_edited_file_that_a_model_does_not_tell_of(tree: Path) -> None:
    stages = {*publish.STAGES, *publish.OPTIONAL_STAGES.values(), "download"}
    before = caching.code_digest(stages)
    for path in sorted(tree.rglob("*.py")):
        source = path.read_bytes()
        path.write_bytes(source + b"# edited\n")
        caching.source_digests.cache_clear()
        edited = path.relative_to(tree / "tasks").as_posix()
        assert (caching.code_digest(stages) != before) == (edited in CODE), edited
        path.write_bytes(source)


@pytest.mark.parametrize(("library", "steps"), VERSIONS.items())
def test_another_library_version_that_runs_the_wrong_steps(
    monkeypatch: pytest.MonkeyPatch, library: str, steps: set[str]
) -> None:
    before = keys()
    original = metadata.version
    monkeypatch.setattr(caching, "version", lambda name: "0.0" if name == library else original(name))
    assert changed(before) == steps


def test_another_python_that_runs_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "99", "0"))
    assert changed(before) == ALL


@pytest.mark.parametrize(
    ("edited", "steps"),
    [
        (ShardConfig(maxlen=7), {"prepare"}),
        (SplitConfig(validation_split=0.5), {"baseline"}),
        (NetworkConfig(units=7), {"fit"}),
        (FitConfig(seed=7), {"fit"}),
        (LabelsConfig(labels_weight=2), {"labels", "corpus"}),
    ],
)
def test_another_option_that_runs_the_wrong_steps(
    monkeypatch: pytest.MonkeyPatch, edited: StageConfig, steps: set[str]
) -> None:
    """The steps after them run since the record that they take has another identity then."""
    before = keys()
    for task, inputs in INPUTS.items():
        monkeypatch.setitem(INPUTS, task, [edited if type(value) is type(edited) else value for value in inputs])
    assert changed(before) == steps


def test_another_input_that_runs_the_wrong_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    for task, inputs in INPUTS.items():
        monkeypatch.setitem(INPUTS, task, [Record(identity="1") if value is RECORD else value for value in inputs])
    assert changed(before) == ALL - {"download", "corpus"}
