"""Training with labels of one's own: what they change, what they must not, and a corpus of them alone."""

from __future__ import annotations

import json
import random
import shutil
import stat
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from flows import release
from flows.score import score
from flows.train import main, pipeline
from tasks.lib import errors, tokens
from tasks.lib.config import CorpusConfig, LabelsConfig, ReleaseConfig
from tasks.lib.corpus import imdb, own, shards
from tasks.lib.labels import asked
from tasks.lib.labels.sample import Chosen
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.lib.network import words
from tasks.training import artifacts, caching, report
from tasks.training.find import find_labels
from tasks.training.labels import own_corpus
from tests.support import labels
from tests.support.buckets import Bucket
from tests.support.training import SMALL, train_small

COUNT = 400


def reviews(sample: Path) -> list[list[str]]:
    """Reviews of common words of the sample corpus, whose label shows in one of them."""
    index = json.loads((sample / "word_index.json").read_text())
    common = sorted(index, key=lambda word: index[word])[:300]
    chance = random.Random(1)
    rows = []
    for number in range(COUNT):
        text = chance.choices(common, k=12) + ["superb" if number % 2 else "dreadful"] * 3
        chance.shuffle(text)
        rows.append([" ".join(text), "positive" if number % 2 else "neg"])
    return rows


@pytest.fixture(scope="module")
def labelled_once(trained_once: Layout, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The trained folder, trained once more with labels: 400 reviews, one of them twice, and rows of other kinds."""
    data = Layout(shutil.copytree(trained_once.root, tmp_path_factory.mktemp("labelled") / "data"))
    rows = reviews(sample)
    labels.write(data.labels / "mine.csv", [*rows, ["not yet", ""], ["who knows", "maybe"]], age=10)
    labels.write(data.labels / "theirs.csv", [[f"{rows[0][0]}!", "1"]])
    train_small(data.root, labels=LabelsConfig(labels_weight=2), release=ReleaseConfig(force=True))
    return data


@pytest.fixture
def labelled(labelled_once: Layout, tmp_path: Path) -> Layout:
    return Layout(shutil.copytree(labelled_once.root, tmp_path / "data"))


def explained(data: Layout) -> dict[str, str]:
    """Why each step would run; those from the cache are left out."""
    explanation = caching.Explanation(data)
    found = find_labels(data, CorpusConfig())
    pipeline(explanation, **SMALL, found=found, labels=LabelsConfig(labels_weight=2))
    return {step.name: step.reason for step in explanation.done if step.reason}


def test_own_reviews_on_another_side_or_of_another_weight(labelled_once: Layout, sample: Path) -> None:
    data, model_id = labelled_once, releases.current_id(labelled_once.models)
    identities = [words.identity(review) for review, _ in reviews(sample)]
    sides = np.bincount([own.side(identity) for identity in identities], minlength=3)
    made_of = bundles.read_bundle(data.models, model_id)["made_of"]
    (folder,) = [
        path.parent
        for path in data.shards.glob("*/manifest.json")
        if shards.have_weights(shards.paths(path.parent, "train"))
    ]
    _, truth, weights = shards.read(folder, "train")
    assert weights is not None
    assert (len(truth), (weights == 2).sum(), (weights == 1).sum()) == (1600 + sides[0], sides[0], 1600)
    assert len(shards.read(folder, "validation")[0]) == 400 + sides[1]
    assert len(shards.read(folder, "test")[0]) == 500
    found = pd.read_parquet(data.models / model_id / bundles.OWN_PREDICTIONS)
    assert set(found["review"]) == {identity for identity in identities if own.side(identity) == 2}
    measured = bundles.read_metrics(data.models, model_id)
    assert measured["own"]["reviews"] == sides[2]
    assert measured["own"]["accuracy"] == ((found["positive_probability"] >= 0.5) == found["label"]).mean()
    assert set(measured["own"]) == {"reviews", "accuracy", "loss", "auc", "calibration_error"}
    assert "labels" in made_of
    reference = bundles.read_reference(data.models, model_id)
    assert reference is not None
    assert reference.rows == 400 + sides[1] + sides[2]
    assert sum(reference.unknown) == sides[1] + sides[2]  # the corpus has no words that are not in its index


def test_own_test_reviews_that_score_otherwise(labelled: Layout, sample: Path) -> None:
    score(paths=[labelled.labels / "mine.csv"], data_dir=labelled.root)
    (path,) = labelled.scores.glob("model=*/*.parquet")
    table = pd.read_parquet(path)
    scores = dict(zip(map(words.identity, table["review"]), table["positive_probability"], strict=True))
    model_id = releases.current_id(labelled.models)
    found = pd.read_parquet(labelled.models / model_id / bundles.OWN_PREDICTIONS)
    expected = [scores[identity] for identity in found["review"]]
    np.testing.assert_allclose(found["positive_probability"], expected, atol=1e-6)


def test_a_row_with_an_unknown_label_that_is_lost(labelled_once: Layout) -> None:
    (table,) = (labelled_once.labels / "quarantine").glob("*.parquet")
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    assert stat.S_IMODE(table.parent.stat().st_mode) == 0o700
    (row,) = pq.read_table(table).to_pylist()
    assert (row["reason"], row["raw"]) == ("unknown_label", b"who knows,maybe\r\n")


def test_a_model_made_of_a_quarantine_that_the_next_training_replaces(labelled: Layout) -> None:
    used = bundles.read_bundle(labelled.models, releases.current_id(labelled.models))["used"]
    assert not [name for name in used if name.startswith("labels/")]
    unused = [path.name for path in artifacts.unused_results(labelled, {*used, "models"})]
    assert not [name for name in unused if name.startswith("labels-")]  # that step is not run again after pruning


def test_answers_that_change_nothing_and_train_again_or_are_not_reported(
    labelled: Layout, sample: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert explained(labelled) == {}
    model_id, (text, label) = releases.current_id(labelled.models), reviews(sample)[1]
    rows = [Chosen(f"0-{number}", text, "", model_id, label, at_random=True) for number in (1, 2)]
    path = asked.write(labelled.labels, date(2026, 1, 1), rows)
    labels.write(path, [["0-1", text, model_id, label], ["0-2", "a new one", model_id, ""]], asked.HEADER)
    assert set(explained(labelled)) > {"labels", "fit"}  # it cannot be known before the file is read
    caplog.set_level("INFO", "sentiment")
    sent: dict[str, str] = {}
    monkeypatch.setattr(report, "send", lambda _, key, **content: sent.update({key: content.get("markdown", "")}))
    train_small(labelled.root, labels=LabelsConfig(labels_weight=2))
    steps = {line.split()[0]: line for line in caplog.messages if line.strip()}
    assert [name for name in ("prepare", "fit", "baseline", "evaluate", "bundle") if "cache" not in steps[name]] == []
    assert "changed: input found" in steps["labels"]
    measured = bundles.read_metrics(labelled.models, model_id)["own"]
    assert f"Own test reviews: {measured['accuracy']:.2%} of {measured['reviews']}" in caplog.messages
    assert f"| own accuracy | {measured['accuracy']:.2%} |  | |" in sent["train-report"].splitlines()
    assert f"reviews that {model_id} scored: right on {asked.Accuracy(1, 1)}." in sent["train-report"]
    assert f"What people say of the reviews that {model_id} scored: right on {asked.Accuracy(1, 1)}" in caplog.messages
    release.list_models(data_dir=labelled.root)
    assert f"own test reviews {measured['accuracy']:.2%} of {measured['reviews']}  own reviews 100.0%" in "\n".join(
        caplog.messages
    )


def test_files_in_a_bucket_that_are_not_those_of_the_folder(tmp_path: Path, bucket: Bucket, sample: Path) -> None:
    data, config = Layout(tmp_path), CorpusConfig(labels=bucket.url("labels"))
    labels.write(data.labels / "mine.csv", [*reviews(sample), ["who knows", "maybe"]], age=10)
    before = find_labels(data, CorpusConfig())
    of_folder = own_corpus.fn(before, LabelsConfig(), data.root)
    bucket.put("labels/mine.csv", (data.labels / "mine.csv").read_bytes())
    (data.labels / "mine.csv").unlink()
    assert find_labels(data, CorpusConfig()) is None
    found = find_labels(data, config)
    assert before
    assert found
    assert found.identity == before.identity
    assert own_corpus.fn(found, LabelsConfig(), data.root) == of_folder
    assert [Path(name).parent.name for name in of_folder.made_files] == ["quarantine", "work", "work"]
    bucket.put("labels/theirs.csv", b"review,label\nanother one,1\n")
    changed = find_labels(data, config)
    assert changed
    assert [Path(file.name).name for file in changed.files] == ["mine.csv", "theirs.csv"]


@pytest.mark.parametrize("place", ["elsewhere/labels", "s3://key:secret@bucket/labels"])
def test_a_folder_of_labels_that_is_no_url_or_has_credentials_in_it(tmp_path: Path, place: str) -> None:
    with pytest.raises(errors.InputError, match=r"expected (the URL of|a bucket and a key alone)") as caught:
        main(corpus=CorpusConfig(labels=place), data_dir=tmp_path, explain=True)
    assert "secret" not in str(caught.value)


def test_files_without_labels_alone_that_train_again(trained: Layout) -> None:
    labels.write(trained.labels / "to-label.csv", [["a new one", ""]])
    model_id = releases.current_id(trained.models)
    train_small(trained.root)
    assert bundles.model_ids(trained.models) == [model_id]


def test_a_review_of_the_corpus_that_is_trained_on_again_or_does_not_test(
    trained: Layout, sample: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = releases.current_id(trained.models)
    word = {rank: word for word, rank in tokens.read_word_index(sample / "word_index.json").items()}
    learned = imdb.load(sample / "corpus.npz")[0].ranks[:20]
    labels.write(trained.labels / "learned.csv", [[" ".join(word[rank] for rank in ranks), "1"] for ranks in learned])
    shutil.copy(sample / "reviews-test.csv.gz", trained.labels)
    caplog.set_level("INFO", "sentiment")
    train_small(trained.root)
    assert "labels: left out 20 that are training reviews of the corpus" in caplog.messages
    assert "labels: 500 reviews, 0 train, 0 validation, 500 test" in caplog.messages
    steps = {line.split()[0]: line for line in caplog.messages if line.strip()}
    assert [name for name in ("prepare", "fit", "baseline", "calibrate") if "from the cache" not in steps[name]] == []
    (model_id,) = set(bundles.model_ids(trained.models)) - {before}
    made_of, made_of_before = (bundles.read_bundle(trained.models, name)["made_of"] for name in (model_id, before))
    assert made_of["weights"] == made_of_before["weights"]
    measured = bundles.read_metrics(trained.models, model_id)
    assert (measured["own"]["reviews"], measured["own"]["accuracy"]) == (500, measured["accuracy"])


@pytest.mark.parametrize("count", [0, 199])
def test_a_corpus_of_too_few_labels(tmp_path: Path, prefect: None, sample: Path, count: int) -> None:
    if count:
        labels.write(tmp_path / "labels" / "mine.csv", reviews(sample)[:count])
    with pytest.raises(errors.InputError, match=rf"200 labelled reviews or more .* found {count}\."):
        train_small(tmp_path, corpus=CorpusConfig(corpus="own"))


def test_a_corpus_of_ones_own_that_knows_other_words(labelled: Layout, sample: Path) -> None:
    before = releases.current_id(labelled.models)
    identities = [words.identity(review) for review, _ in reviews(sample)]
    in_doubt = [
        Chosen(f"0-{number}", "asked", identity, before, "negative", at_random=number >= COUNT / 2)
        for number, identity in enumerate(identities, start=1)
    ]
    asked.write(labelled.labels, date(2026, 1, 1), in_doubt)
    train_small(labelled.root, corpus=CorpusConfig(corpus="own"))
    (model_id,) = [
        name
        for name in bundles.model_ids(labelled.models)
        if bundles.read_bundle(labelled.models, name)["corpus"] == "own"
    ]
    rows = reviews(sample)
    train = [review for review, _ in rows if own.side(words.identity(review)) == 0]
    index = json.loads((labelled.models / model_id / bundles.WORD_INDEX).read_text())
    assert index == words.index(train)
    measured = bundles.read_metrics(labelled.models, model_id)
    assert measured["own"]["accuracy"] == measured["accuracy"]
    assert releases.current_id(labelled.models) == model_id != before  # before it was one of the sample corpus
    reference = bundles.read_reference(labelled.models, model_id)
    assert reference is not None
    drawn = [row.identity for row in in_doubt if row.at_random]
    assert reference.rows == sum(reference.unknown) == sum(own.side(identity) > 0 for identity in drawn)
    score(paths=[labelled.labels / "mine.csv"], data_dir=labelled.root)
    (path,) = labelled.scores.glob(f"model={model_id}/*.parquet")
    known = pd.read_parquet(path)["known_tokens"]
    assert known[0] == sum(word in index for word in rows[0][0].split())
