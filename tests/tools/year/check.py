"""Whether nothing was lost, doubled or altered: `python -m tests.tools.year.check FOLDER [--first DAY] [--last DAY]`.

Reads the dumps, the truth, and what the product published: tables, quarantine, models, the labels that were trained
on. Not the ledger: it is an index of these. Prints one finding a line, and the figures as JSON in the last one.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from cyclopts import App, Parameter

from tasks.lib import errors, files
from tasks.lib.corpus import own
from tasks.lib.layout import Layout
from tasks.lib.models import bundles
from tests.tools.year.dumps import Content, Truth, digest_of
from tests.tools.year.people import NO_LABEL

LABELS = ("negative", "positive")
MADE_OF = ("corpus", "word_index", "shards", "shard_config", "network", "fit", "weights", "threshold")
app = App(name="python -m tests.tools.year.check", help=__doc__, version_flags=[])


@dataclass
class Checked:
    """What was found at fault, how much was looked at, and how many rows each model got right by the truth."""

    findings: list[str] = field(default_factory=list)
    tables: int = 0
    rows: int = 0
    quarantined: int = 0
    labels: int = 0
    scored_by: Counter[str] = field(default_factory=Counter)
    right_by: Counter[str] = field(default_factory=Counter)
    scored_on: Counter[str] = field(default_factory=Counter)  # the day
    right_on: Counter[str] = field(default_factory=Counter)

    def blame(self, where: str, expected: object, found: object) -> None:
        self.findings.append(f"{where}: expected {expected}, found {found}")


def check(data: Layout, truth: Truth, first: date = date.min, last: date = date.max) -> Checked:
    """Checks the tables of what was delivered on these days, their models, and all labels."""
    found = Checked()
    _check_dumps(data, truth, found)
    standing = _by_digits(data.scores.glob("model=*/[!.]*.parquet"))
    quarantines = _by_digits(data.quarantine.glob("[!.]*.parquet"))
    published = _published(data)
    for content in truth.days(first, last):
        _check_content(data, content, standing[content.sha256[:16]], quarantines[content.sha256[:16]], published, found)
    known = {content.sha256[:16] for content in truth.days(date.min, date.max)}
    for path in (
        path for digits in {*standing, *quarantines} - known for path in standing[digits] + quarantines[digits]
    ):
        found.blame(data.relative(path), "a dump that was delivered", "none with these digits")
    for model_id in sorted(found.scored_by):
        _check_model(data, model_id, found)
    _check_shards(data, found)
    _check_labels(data, truth, found)
    return found


def _by_digits(paths: Iterator[Path]) -> dict[str, list[Path]]:
    """The tables by the first digits of the sha256 of their dump."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[path.stem[-16:]].append(path)
    return found


def _published(data: Layout) -> dict[str, str]:
    """The sha256 of each table as the run that made it last reported it."""
    found: dict[str, str] = {}
    for path in sorted(data.reports.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        entries = json.loads(path.read_bytes())["files"]
        found |= {entry["table"]: entry["table_sha256"] for entry in entries if entry["status"] == "scored"}
    return found


def _check_dumps(data: Layout, truth: Truth, found: Checked) -> None:
    """The truth is that of the files which stand in the inbox."""
    known = {content.sha256 for content in truth.days(date.min, date.max)}
    for path in sorted(data.inbox.iterdir()):
        if (sha256 := files.sha256(path)) not in known:
            found.blame(path.name, "a dump as it was delivered", f"sha256 {sha256}")


def _check_content(
    data: Layout,
    content: Content,
    standing: list[Path],
    quarantines: list[Path],
    published: dict[str, str],
    found: Checked,
) -> None:
    """A content has one table, as it was published; its rows are in there, and the rest in quarantine."""
    if len(standing) != 1:
        found.blame(content.name, "one table", [data.relative(path) for path in standing] or "none")
        return
    table, where = standing[0], data.relative(standing[0])
    if (sha256 := files.sha256(table)) != published.get(where):
        found.blame(where, f"the sha256 in its report, {published.get(where)}", sha256)
    try:
        with pq.ParquetFile(table, page_checksum_verification=True) as file:
            rows = file.read().to_pydict()
            footer = {name.decode(): value.decode() for name, value in (file.metadata.metadata or {}).items()}
        reasons = Counter(reason for path in quarantines for reason in pq.read_table(path)["reason"].to_pylist())
    except (OSError, ValueError, pa.ArrowException) as error:
        found.blame(where, "a table that can be read", type(error).__name__)
        return
    found.tables += 1
    found.rows += len(rows["row_id"])
    found.quarantined += reasons.total()
    if dict(reasons) != content.quarantined:
        found.blame(where, f"{content.quarantined} in quarantine", dict(reasons))
    _check_rows(where, table, content, rows, footer, found)


def _check_rows(
    where: str, table: Path, content: Content, rows: dict[str, list[Any]], footer: dict[str, str], found: Checked
) -> None:
    expected = [(f"{content.sha256[:16]}-{number}", id_, digest) for number, id_, digest, _, _ in content.rows]
    stand = list(zip(rows["row_id"], rows["id"], map(digest_of, rows["review"]), strict=True))
    if stand != expected:
        lost, more = Counter(expected) - Counter(stand), Counter(stand) - Counter(expected)
        names = f"{sum(lost.values())} lost or altered, {sum(more.values())} doubled or altered"
        found.blame(where, f"its {len(expected)} rows in their order", f"{len(stand)} rows: {names}")
        return
    models = {*rows["model_id"], footer.get("model_id"), table.parent.name.removeprefix("model=")}
    if len(models) != 1:
        found.blame(where, "one model in its rows, its footer and its folder", sorted(map(str, models)))
    threshold = float(footer["threshold"])
    for row_id, probability, label in zip(
        rows["row_id"], rows["positive_probability"], rows["predicted_label"], strict=True
    ):
        if not 0 <= probability <= 1 or label != LABELS[probability >= threshold]:
            found.blame(row_id, f"a label by the threshold {threshold:g}", f"{label} with {probability}")
    model_id = table.parent.name.removeprefix("model=")
    labels = [LABELS[label] for _, _, _, label, _ in content.rows]
    right = sum(map(str.__eq__, labels, rows["predicted_label"]))
    for scored, correct, name in (
        (found.scored_by, found.right_by, model_id),
        (found.scored_on, found.right_on, content.day),
    ):
        scored[name] += len(labels)
        correct[name] += right


def _check_model(data: Layout, model_id: str, found: Checked) -> None:
    """A model whose bundle is whole, and what it was made of is told and stands."""
    try:
        manifest = bundles.read_bundle(data.models, model_id)
    except errors.PipelineError as error:
        found.blame(model_id, "a whole model", str(error))
        return
    if missing := [name for name in MADE_OF if not manifest["made_of"].get(name)]:
        found.blame(model_id, "what it is made of", f"nothing on {', '.join(missing)}")
    if gone := [name for name in manifest["used"] if not (data.root / name).is_file()]:
        found.blame(model_id, f"{len(manifest['used'])} files that it was made from", f"{len(gone)} gone: {gone[0]}")


def _check_shards(data: Layout, found: Checked) -> None:
    """Shards are as they were written."""
    for path in sorted(data.shards.glob("[!.]*/manifest.json")):
        for name, expected in json.loads(path.read_bytes())["sha256"].items():
            if (sha256 := files.sha256(path.with_name(name))) != expected:
                found.blame(data.relative(path.with_name(name)), f"sha256 {expected}", sha256)


def _check_labels(data: Layout, truth: Truth, found: Checked) -> None:
    """Each label that somebody gave stands in its file; those before the last training were used or quarantined."""
    path = truth.folder / "labels.jsonl"
    notes = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    stand = {name: _labels_in(data.labels / name) for name in {note["file"] for note in notes}}
    found.labels = len({(note["file"], note["digest"]) for note in notes})
    for note in notes:
        if (label := stand[note["file"]].get(note["digest"], "nothing")) != note["label"]:
            found.blame(f"{note['file']}, review {note['digest']}", note["label"], label or "no label")
    trained_on = truth.folder / "trained.json"  # what stood in data/labels when the last training began
    if trained_on.exists():
        _check_use(data, json.loads(trained_on.read_text()), notes, found)


def _labels_in(path: Path) -> dict[str, str]:
    """The digest of each review in a file of labels, with its label."""
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""))) if path.exists() else []
    return {digest_of(row["review"]): row["label"] for row in rows}


def _check_use(data: Layout, trained: dict[str, Any], notes: Sequence[dict[str, str]], found: Checked) -> None:
    """`trained` has the model of the last training, and how many labels had been given when it began."""
    try:
        used = bundles.read_bundle(data.models, trained["model_id"])["used"]
        (archive,) = [name for name in used if name.startswith("work/labels-") and name.endswith(".npz")]
        learned = own.load(data.root / archive)
    except (errors.PipelineError, ValueError) as error:
        found.blame(trained["model_id"], "the labels that it was trained on", str(error))
        return
    labels = dict(zip(learned.identities.tolist(), learned.labels.tolist(), strict=True))
    quarantined = sum(pq.read_metadata(path).num_rows for path in (data.labels / "quarantine").glob("[!.]*.parquet"))
    given = notes[: trained["labels"]]
    unreadable = [note for note in given if note["label"] == NO_LABEL]
    if quarantined != len(unreadable):
        found.blame("data/labels/quarantine", f"{len(unreadable)} rows", quarantined)
    # The same words may have been labelled twice: the later one counts.
    last = {note["identity"]: note for note in given if note["label"] != NO_LABEL}
    for identity, note in last.items():
        if labels.get(identity) != LABELS.index(note["label"]):
            label = labels.get(identity)
            where = f"{note['file']}, review {note['digest']}, in the training of {trained['model_id']}"
            found.blame(where, note["label"], "nothing" if label is None else LABELS[label])


@app.default
def main(
    folder: Path,
    /,
    *,
    first: Annotated[date, Parameter(help="The first day of the dumps to check.")] = date.min,
    last: Annotated[date, Parameter(help="The last day of the dumps to check.")] = date.max,
) -> None:
    """Check what a simulated year left behind; the exit status is 1 if something is at fault."""
    found = check(Layout((folder / "data").resolve()), Truth(folder / "truth"), first, last)
    for finding in found.findings:
        print(finding)
    print(json.dumps(vars(found)))
    raise SystemExit(1 if found.findings else 0)


if __name__ == "__main__":
    app()
