"""The training flow: what it leaves behind, and when it may use what it made before."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.score import score
from flows.train import pipeline
from tasks.lib import errors
from tasks.lib.config import FitConfig, ReleaseConfig
from tasks.lib.layout import CLONE, Layout
from tasks.lib.models import bundles, releases
from tasks.training import caching
from tests.support import tally
from tests.support.training import SMALL, train_small

STEPS = ["download", "prepare", "fit", "baseline", "calibrate", "evaluate", "plot", "bundle"]


@pytest.fixture
def made(caplog: pytest.LogCaptureFixture) -> Made:
    """What the steps of the last run said."""
    caplog.set_level("INFO", "sentiment")
    return Made(caplog)


class Made:
    """Reads from the log which steps ran, and why."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog

    def reasons(self) -> dict[str, str]:
        """Step -> "from the cache" or the reason why it ran, of the runs since the last call."""
        lines = [record.getMessage().split(None, 1) for record in self.caplog.records]
        self.caplog.clear()
        return {line[0]: line[1] for line in lines if len(line) == 2 and line[0] in STEPS}

    def again(self) -> set[str]:
        """The steps that ran since the last call."""
        return {step for step, reason in self.reasons().items() if reason != "from the cache"}


def test_a_bundle_that_lacks_what_scoring_needs(trained: Layout, model_id: str) -> None:
    folder = trained.models / model_id
    expected = {"model.keras", "word_index.json", "manifest.json", "metrics.json", "history.csv", "predictions.parquet"}
    expected.add("reference.json")
    assert {path.name for path in folder.iterdir()} == expected | {"loss.png", "evaluation.png"}
    manifest = bundles.read_bundle(trained.models, model_id)
    assert manifest["corpus"] == "sample"
    assert set(manifest["sha256"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}


def test_metrics_that_do_not_agree_with_each_other(trained: Layout, model_id: str) -> None:
    measured = json.loads((trained.models / model_id / "metrics.json").read_text())
    counts = measured["confusion"]
    assert sum(counts.values()) == 500
    assert measured["accuracy"] == (counts["true_positive"] + counts["true_negative"]) / 500
    history = pd.read_csv(trained.models / model_id / "history.csv")
    assert list(history["epoch"]) == list(range(1, measured["epochs"] + 1))
    assert measured["best_epoch"] == int(history["val_loss"].argmin()) + 1
    assert measured["keras_difference"] < 1e-5


def test_predictions_that_are_not_those_of_the_test_reviews(trained: Layout, model_id: str, sample: Path) -> None:
    measured = bundles.read_metrics(trained.models, model_id)
    found = pd.read_parquet(trained.models / model_id / bundles.PREDICTIONS)
    facts = dict.fromkeys(["words", "known_words", "negations"], "int32")
    assert found.dtypes.astype(str).to_dict() == {"label": "uint8", "positive_probability": "float32"} | facts
    score(paths=[sample / "reviews-test.csv.gz"], data_dir=trained.root)
    (path,) = trained.scores.glob("model=*/*.parquet")
    table = pd.read_parquet(path).iloc[keras_order(2000, 500)]
    assert list(found["label"] == 1) == list(table["sentiment"] == "positive")
    np.testing.assert_allclose(found["positive_probability"], table["positive_probability"], atol=1e-6)
    assert list(found["words"]) == list(table["known_tokens"])  # the corpus has the words of the word index alone
    assert (found["known_words"] < found["words"]).any()
    assert (found["known_words"] <= found["words"]).all()
    negations = r"\b(?:not?|(?:ca|could|does|do|is)n't)\b"  # all that its word index has
    assert list(found["negations"]) == list(table["review"].str.lower().str.count(negations))
    right = (found["positive_probability"] >= measured["threshold"]) == found["label"]
    assert right.mean() == measured["accuracy"]


def keras_order(train: int, test: int) -> list[int]:
    """Where `keras.datasets.imdb.load_data` takes the test reviews from: it shuffles both splits."""
    chance = np.random.RandomState(113)
    chance.shuffle(np.arange(train))
    indices = np.arange(test)
    chance.shuffle(indices)
    return indices.tolist()


def test_a_second_run_that_makes_anything_again(trained: Layout, model_id: str, made: Made) -> None:
    train_small(trained.root)
    assert made.again() == set()
    assert releases.current_id(trained.models) == model_id


@pytest.mark.parametrize(
    ("pattern", "step", "damage"),
    [
        ("raw/*.npz", "download", "flipped"),
        ("shards/*/train-00000-of-*.parquet", "prepare", "truncated"),
        ("work/fit-*/model.keras", "fit", "missing"),
        ("work/predictions-*.parquet", "evaluate", "flipped"),
        ("models/*/model.keras", "bundle", "flipped"),
        ("models/*/predictions.parquet", "bundle", "flipped"),
        ("models/*/metrics.json", "bundle", "missing"),
    ],
)
def test_a_damaged_file_that_is_believed(
    trained: Layout, model_id: str, made: Made, pattern: str, step: str, damage: str
) -> None:
    path = next(trained.root.glob(pattern))
    whole = path.read_bytes()
    spoil(path, damage, random.Random(pattern))
    train_small(trained.root)
    reasons = made.reasons()
    assert {name for name, reason in reasons.items() if reason != "from the cache"} == {step}
    assert path.name in reasons[step]
    assert releases.current_id(trained.models) == model_id
    if step != "fit":  # a `.keras` file carries the time of its making
        assert path.read_bytes() == whole


def test_a_damaged_result_that_is_believed(trained: Layout, model_id: str, made: Made) -> None:
    spoil(next(trained.cache.glob("evaluate-*")), "truncated", random.Random(0))
    train_small(trained.root)
    assert made.reasons()["evaluate"] == "cached result is damaged"
    assert releases.current_id(trained.models) == model_id


def test_random_faults_in_results_and_files_that_go_unseen(trained: Layout) -> None:
    """Hundreds of faults; each has to be found, unless it left the record as it was."""
    asked: dict[str, Any] = {}

    def remember(task: Any, *inputs: Any) -> Any:
        asked[task.name] = (task, inputs, caching.look_up(task, inputs, trained)[0])
        return asked[task.name][2]

    pipeline(remember, **SMALL)
    chance = random.Random(1)
    unseen = 0
    for number in range(400):
        task, inputs, record = asked[chance.choice(STEPS)]
        places = [trained.cache / caching.key(task, *inputs), *(trained.root / name for name in record.made_files)]
        path = chance.choice(places)
        whole = path.read_bytes()
        tally.tried["spoilt results and files"] += 1
        damage = chance.choice(["flipped"] * 5 + ["truncated", "zeroed", "empty", "missing"])
        spoil(path, damage, chance)
        found, reason = caching.look_up(task, inputs, trained)
        assert found in (None, record), f"fault {number} in {path.name}"
        if path != places[0]:
            assert found is None
            assert path.name in reason
        elif damage in ("truncated", "zeroed", "empty"):
            assert reason == "cached result is damaged"
        unseen += found is not None
        path.write_bytes(whole)
    assert unseen < 40  # flips in what Prefect notes beside the record


def spoil(path: Path, damage: str, chance: random.Random) -> None:
    """Does to a file what crashes and bad disks do."""
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
        return
    if damage == "flipped":
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    changed = {"truncated": content[: len(content) // 2], "zeroed": bytearray(len(content)), "empty": bytearray()}
    path.write_bytes(changed.get(damage, content))


def test_a_result_that_asks_to_be_unpickled(trained: Layout, made: Made) -> None:
    path = next(trained.cache.glob("plot-*"))
    content = json.loads(path.read_text())
    content["metadata"]["serializer"] = {"type": "pickle", "picklelib": "cloudpickle", "picklelib_version": None}
    path.write_text(json.dumps(content))
    train_small(trained.root)
    assert made.again() == {"plot"}


def test_another_configuration_that_runs_more_than_it_must(trained: Layout, model_id: str, made: Made) -> None:
    train_small(trained.root, fit=FitConfig(epochs=1, device="cpu"))
    reasons = made.reasons()
    assert {step for step, reason in reasons.items() if reason == "from the cache"} == {
        "download", "prepare", "baseline",
    }  # fmt: skip
    assert reasons["fit"] == "changed: config epochs 2 -> 1"
    assert len(bundles.model_ids(trained.models)) == 2


def test_edited_code_that_does_not_run_its_step(trained: Layout, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    original = caching.source_digests

    def edited(module: str) -> dict[str, str]:
        return {
            name: digest + ("!" if name.endswith(("metrics.py", "regression.py")) else "")
            for name, digest in original(module).items()
        }

    monkeypatch.setattr(caching, "source_digests", edited)
    train_small(trained.root)
    reasons = made.reasons()
    assert {step for step, reason in reasons.items() if reason != "from the cache"} == {"evaluate", "baseline"}
    assert reasons["baseline"] == "changed: code tasks/lib/network/regression.py"


def test_another_library_version_that_does_not_run_its_step(
    trained: Layout, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = metadata.version
    monkeypatch.setattr(caching, "version", lambda name: "0.0" if name == "matplotlib" else original(name))
    train_small(trained.root)
    assert made.again() == {"plot", "bundle"}


def test_explain_that_runs_something_or_tells_other_than_the_run(trained: Layout, made: Made) -> None:
    before = sorted(trained.root.rglob("*"))
    explanation = caching.Explanation(trained)
    pipeline(explanation, **(SMALL | {"fit": FitConfig(epochs=1, device="cpu")}))
    assert sorted(trained.root.rglob("*")) == before
    said = {step.name: step for step in explanation.done}
    assert [name for name, step in said.items() if not step.reason] == ["download", "prepare", "baseline"]
    assert said["fit"].reason == "changed: config epochs 2 -> 1"
    assert said["evaluate"].reason == "waits for a step that would run (fitted, calibrated)"


def test_the_same_seed_with_other_weights(trained: Layout, model_id: str, tmp_path: Path) -> None:
    other = train_small(tmp_path / "other")
    assert releases.current_id(other.models) == model_id


def test_a_worse_model_that_becomes_current_unless_forced(trained: Layout, model_id: str) -> None:
    worse = FitConfig(epochs=1, seed=3, device="cpu")
    train_small(trained.root, fit=worse)
    accuracies = {
        name: bundles.read_metrics(trained.models, name)["accuracy"] for name in bundles.model_ids(trained.models)
    }
    assert len(accuracies) == 2
    best = max(accuracies.values())
    assert accuracies[releases.current_id(trained.models)] == best
    assert releases.current_id(trained.models) == model_id
    train_small(trained.root, fit=worse, release=ReleaseConfig(force=True))
    assert releases.current_id(trained.models) != model_id
    assert releases.roll_back(trained.models).model_id == model_id


def test_a_missing_archive_without_a_word_of_help(tmp_path: Path, prefect: None) -> None:
    corpus = SMALL["corpus"].model_copy(update={"archive": str(tmp_path / "nowhere.npz")})
    with pytest.raises(errors.InputError, match=r"nowhere\.npz: no such file.*--archive"):
        train_small(tmp_path, corpus=corpus)


def test_results_that_are_pickled(trained: Layout, sample: Path) -> None:
    """A pickle runs what code it likes when it is read."""
    score(paths=[sample / "reviews-columns.csv"], data_dir=trained.root)
    results = [path for path in trained.cache.rglob("*") if path.is_file() and path.parent.name not in STEPS]
    assert len(results) >= len(STEPS)
    for path in results:
        assert json.loads(path.read_text())["metadata"]["serializer"]["type"] == "json"
    pickled = [path for path in trained.root.rglob("*") if path.is_file() and path.read_bytes()[:1] == b"\x80"]
    assert pickled == []


def test_explain_as_a_command_that_starts_a_server_or_writes(trained: Layout, tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = states(trained.root)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "flows/train.py", "--corpus", "sample", "--explain", "--data-dir", str(trained.root)]
    explained = subprocess.run(
        command, cwd=CLONE, env=environment | {"PREFECT_HOME": str(home)}, capture_output=True, text=True, timeout=120
    )
    assert explained.returncode == 0, explained.stderr
    assert [line.split()[0] for line in (explained.stdout + explained.stderr).splitlines()] == STEPS
    assert states(trained.root) == before
    assert not list(home.rglob("*.db"))  # a server makes its database first of all
    assert servers(home) == []


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of the last change of everything in the folder."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def servers(home: Path) -> list[str]:
    """The processes that were started with this Prefect home and still run."""
    mark = f"PREFECT_HOME={home}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            if mark in (folder / "environ").read_bytes():
                found.append(folder.name)
    return found
