"""What is broken on purpose, behind the product's back: the checker of the year has to find it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.lib import files, scoring
from tasks.lib.config import LabelsConfig, ScoreConfig
from tasks.lib.corpus import own
from tasks.lib.corpus.unlabelled import Texts
from tasks.lib.labels import answers
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tasks.lib.scores import quarantine, tables
from tasks.lib.scores.inbox import Dump
from tasks.lib.scores.ledger import Ledger
from tests.support.dumps import Fake, model
from tests.support.tables import alter, put_right, rewrite
from tests.tools.year import dumps, reviews
from tests.tools.year.check import MADE_OF, Checked, check
from tests.tools.year.dumps import Truth
from tests.tools.year.people import FIRST, NO_LABEL, People
from tests.tools.year.reviews import Row, Times

DAY = date(2027, 1, 5)
TIMES = Times(date(2027, 7, 5), date(2027, 9, 5))
COUNT, LABELS = 12, 300


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two days leave behind: dumps of all kinds, their tables, a model, labels and what was trained on."""
    folder = tmp_path_factory.mktemp("year")
    data, truth, chance = Layout(folder / "data"), Truth(folder / "truth"), random.Random(1)
    sizes = dumps.sizes(DAY, COUNT)
    rows = reviews.draw(1, TIMES, DAY, sum(sizes), "r")
    label(data, truth, rows[:LABELS], chance)
    made = dumps.of_day(DAY, rows, COUNT, chance)
    place = next(number for number, dump in enumerate(made) if dump.truth.kind == "usual" and sizes[number] > 9)
    start = sum(sizes[:place])
    made[place], whole = dumps.halved(made[place], rows[start : start + sizes[place]], chance)
    deliver(data, truth, made)
    deliver(data, truth, [whole])
    deliver(data, truth, [dumps.corrected(DAY + timedelta(2), data.inbox / whole.name, whole.truth)])
    return folder


@pytest.fixture
def data(made_once: Path, tmp_path: Path) -> Layout:
    """A copy of it, to be broken."""
    shutil.copytree(made_once, tmp_path / "year")
    return Layout(tmp_path / "year" / "data")


def label(data: Layout, truth: Truth, rows: Sequence[Row], chance: random.Random) -> None:
    """A file of labels, a model, and the labels that it was trained on."""
    people = People(data.labels, truth)
    people.begin(DAY, rows, chance)
    content = answers.read(data.labels / FIRST, "review", LabelsConfig())
    assert len(content.spans) == sum(NO_LABEL in line for line in people.notes.read_text().splitlines()) > 0
    files.make_folder(data.labels / "quarantine")
    quarantine.write(data.labels / "quarantine" / "q.parquet", FIRST, content.spans)
    kept, _ = answers.merged([content])
    identities, _, labels = zip(*kept, strict=True)
    files.make_folder(data.work)
    none = np.zeros(len(kept), np.int64)
    own.save(data.work / "labels-0.npz", own.collected(Texts(np.zeros(0, np.int32), none), none, labels, identities))
    index = b"{}"
    made_of = dict.fromkeys(MADE_OF, "known") | {"word_index": hashlib.sha256(index).hexdigest()}
    model_id = bundles.model_id("gru", made_of)
    facts = {
        "model_id": model_id,
        "cell": "gru",
        "threshold": "known",
        "made_of": made_of,
        "used": ["work/labels-0.npz"],
    }
    bundles.write_bundle(data.models / model_id, {bundles.MODEL: b"weights", bundles.WORD_INDEX: index}, facts)
    (truth.folder / "trained.json").write_text(json.dumps({"model_id": model_id, "labels": len(rows)}))


def deliver(data: Layout, truth: Truth, made: Sequence[dumps.Dump]) -> None:
    """Puts dumps into the inbox, scores them by a made-up network, and reports that."""
    truth.add([dump.truth for dump in made])
    files.make_folder(data.inbox)
    (model_id,) = bundles.model_ids(data.models)
    scorer = scoring.Model(model_id, model().encoder, Fake(), 0.5)  # type: ignore[arg-type]
    reports = []
    with Ledger.open(data) as ledger:
        for dump in made:
            path = data.inbox / dump.name
            path.write_bytes(dump.content)
            table = tables.folder(data.scores, model_id) / tables.table_name(dump.name, dump.truth.sha256)
            found = Dump(str(path), dump.name, "new", sha256=dump.truth.sha256, table=data.relative(table))
            reports.append(scoring.score(found, scorer, ScoreConfig(), data))
        ledger.enter_tables(reports)
    entries = [report.model_dump(mode="json", exclude={"profile"}) for report in reports]
    number = len(list(data.reports.glob("*.json")))
    files.write(data.reports / f"{number}.json", files.json_bytes({"files": entries}))


def checked(data: Layout) -> Checked:
    return check(data, Truth(data.root.parent / "truth"))


def finding(data: Layout) -> str:
    """The one finding."""
    (found,) = checked(data).findings
    return found


def a_table(data: Layout) -> Path:
    return sorted(data.scores.glob("model=*/*.parquet"))[0]


def report_anew(data: Layout) -> None:
    """Enters what stands as if it had been published so: in the ledger and in the reports."""
    put_right(data)
    for path in data.reports.glob("*.json"):
        content = json.loads(path.read_bytes())
        for entry in content["files"]:
            entry["table_sha256"] = files.sha256(data.root / entry["table"])
        path.write_bytes(files.json_bytes(content))


def test_a_fault_that_is_none(data: Layout) -> None:
    found = checked(data)
    assert found.findings == []
    assert (found.tables, found.labels) == (COUNT + 2, LABELS)
    assert found.quarantined > 2
    assert 0 < found.right_by.total() < found.scored_by.total() == found.rows


def test_a_table_that_is_gone_while_the_ledger_has_it(data: Layout) -> None:
    a_table(data).unlink()
    assert "expected one table, found none" in finding(data)


def test_a_table_that_stands_twice(data: Layout) -> None:
    other = data.scores / "model=gru-ffffffffffff" / a_table(data).name
    files.write(other, a_table(data).read_bytes())
    assert "expected one table, found ['scores/" in finding(data)


def test_a_row_that_is_doubled(data: Layout) -> None:
    rows = pq.read_table(a_table(data))
    rewrite(a_table(data), rows.take([0, *range(len(rows))]))
    report_anew(data)
    assert "0 lost or altered, 1 doubled or altered" in finding(data)


def test_a_row_that_is_lost(data: Layout) -> None:
    rewrite(a_table(data), pq.read_table(a_table(data)).slice(1))
    report_anew(data)
    assert "1 lost or altered, 0 doubled or altered" in finding(data)


def test_a_review_that_is_altered(data: Layout) -> None:
    found = pq.read_table(a_table(data))["review"].to_pylist()
    alter(a_table(data), {"review": [found[0].upper(), *found[1:]]})
    report_anew(data)
    assert "1 lost or altered, 1 doubled or altered" in finding(data)


def test_a_probability_that_is_changed(data: Layout) -> None:
    found = pq.read_table(a_table(data))["positive_probability"].to_pylist()
    alter(a_table(data), {"positive_probability": [found[0] + 1e-6, *found[1:]]})
    assert "expected the sha256 in its report" in finding(data)


def test_a_probability_that_is_changed_across_the_threshold_with_its_checksums(data: Layout) -> None:
    found = pq.read_table(a_table(data))["positive_probability"].to_pylist()
    alter(a_table(data), {"positive_probability": [1 - found[0], *found[1:]]})
    report_anew(data)
    assert "expected a label by the threshold" in finding(data)


def test_a_quarantined_record_that_is_lost(data: Layout) -> None:
    path = max(data.quarantine.glob("*.parquet"), key=lambda path: pq.read_metadata(path).num_rows)
    rewrite(path, pq.read_table(path).slice(1))
    assert "in quarantine, found" in finding(data)


def test_a_dump_that_is_altered(data: Layout) -> None:
    path = sorted(data.inbox.iterdir())[0]
    path.write_bytes(path.read_bytes() + b"one,more,row\n")
    assert "expected a dump as it was delivered" in finding(data)


def test_a_model_that_is_damaged(data: Layout) -> None:
    next(data.models.glob("*/model.keras")).write_bytes(b"others")
    (first, second) = checked(data).findings
    assert "expected a whole model" in first
    assert "expected the labels that it was trained on" in second


def test_a_shard_that_is_altered(data: Layout) -> None:
    shard = data.shards / "0123" / "train.parquet"
    files.write(shard, b"rows")
    files.write(shard.with_name("manifest.json"), files.json_bytes({"sha256": {shard.name: files.sha256(shard)}}))
    assert checked(data).findings == []
    shard.write_bytes(b"others")
    assert "shards/0123/train.parquet: expected sha256" in finding(data)


def test_a_label_that_is_dropped_from_its_file(data: Layout) -> None:
    path = data.labels / FIRST
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[2:]))
    assert "found nothing" in finding(data)


def test_a_label_that_no_training_used(data: Layout) -> None:
    path = data.work / "labels-0.npz"
    learned = own.load(path)
    own.save(path, learned.only(np.arange(len(learned.labels)) > 0))
    assert "in the training of gru-" in finding(data)
    assert "found nothing" in finding(data)


def test_a_label_that_was_turned_over(data: Layout) -> None:
    path = data.work / "labels-0.npz"
    learned = own.load(path)
    learned.labels[0] = 1 - learned.labels[0]
    own.save(path, learned)
    assert "in the training of gru-" in finding(data)
