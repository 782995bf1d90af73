"""The play: day after day dumps, scoring runs, labels, trainings, and what goes wrong on that day."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from tasks.lib.layout import Layout
from tasks.lib.models import releases
from tests.support.tables import flip
from tests.tools.year import dumps, faults, reviews
from tests.tools.year.commands import Done, Product
from tests.tools.year.people import People
from tests.tools.year.reviews import Times

SCORE = ["flows/score.py", "--unscored-only", "--max-quarantine", "0.5"]
# A small network of the production preset, on the labels alone: their words become its word index, so that it learns
# the words of a subject that is new. Most of what it gets right it owes to the n-grams.
TRAIN = [
    "flows/train.py", "--corpus", "own", "--preset", "fast", "--num-words", "5000", "--maxlen", "40",
    "--embedding-dim", "32", "--units", "16", "--epochs", "4", "--batches", "random", "--learning-rate", "0.01",
    "--word-dropout", "0.05", "--vector-dropout", "0", "--head-dropout", "0.2",
]  # fmt: skip
LABELS_TO_BEGIN_WITH = 1_500
ASKED_A_WEEK, ANSWERED_A_DAY = 210, 30
BACK = 7  # days, of which a dump may be corrected or copied


@dataclass(frozen=True)
class Plan:
    """What is played: from which day on and how long, how many dumps a day, how often a month each fault."""

    first: date
    days: int
    dumps: int
    each: int
    seed: int

    @property
    def calendar(self) -> list[date]:
        return [self.first + timedelta(number) for number in range(self.days)]

    @property
    def times(self) -> Times:
        """When the reviews change: some day in July and in September."""
        chance = random.Random(f"{self.seed} times")
        return Times(date(self.first.year, 7, chance.randint(4, 14)), date(self.first.year, 9, chance.randint(4, 14)))


class Play:
    """One simulated stretch of days over a folder; each day is drawn from the seed alone, whatever was before it."""

    def __init__(self, folder: Path, plan: Plan, product: Product) -> None:
        self.folder, self.plan, self.product = folder, plan, product
        self.data = Layout(product.data)
        self.truth = dumps.Truth(folder / "truth")
        self.people = People(self.data.labels, self.truth)
        self.backup = folder / "backup"
        self.faults = faults.calendar(plan.calendar, plan.each, random.Random(f"{plan.seed} faults"))
        self.findings: list[str] = []
        self.usual = {"score": 6.0, "train": 30.0, "release": 2.0}  # seconds, until it is known better

    def day(self, day: date) -> dict[str, Any]:
        """Plays a day; returns what the product said of it."""
        chance = random.Random(f"{self.plan.seed} {day}")
        wrong = self.faults.get(day, [])
        if day == self.plan.first:
            to_begin = reviews.draw(self.plan.seed, self.plan.times, day - timedelta(1), LABELS_TO_BEGIN_WITH, "begin")
            self.people.begin(day, to_begin, chance)
        if day == self.plan.first or day.weekday() == 0:
            self._train(day, wrong, chance)
        if faults.KILLED_RELEASE in wrong:
            self._release(day, chance)
        self._score(day, wrong, chance)
        if day == self.plan.first or day.weekday() == 0:
            self.run("label", ["flows/label.py", "--rows", str(ASKED_A_WEEK)], at(day, 12))
        answered = self.people.answer(day, ANSWERED_A_DAY, chance)
        return {
            "day": day.isoformat(),
            "faults": wrong,
            "labels": answered,
            "model": releases.current_id(self.data.models),
            "alarms": self._alarms(day),
            "findings": self.told(),
        }

    def told(self) -> list[str]:
        """What was at fault since this was asked last."""
        findings, self.findings = self.findings, []
        return findings

    # Scoring.

    def _score(self, day: date, wrong: Sequence[str], chance: random.Random) -> None:
        made = self._dumps_of(day, chance)
        late = made[len(made) // 2 :] if faults.CLOCK_BACK in wrong else []
        self._deliver(made[: len(made) - len(late)])
        if late:
            self.run("score, disturbed", SCORE, at(day, 9))
            self._deliver(late)
        before: dict[str, Callable[[], None]] = {
            faults.BIT_IN_TABLE: lambda: self._flip_table(chance),
            faults.NO_LEDGER: self.data.ledger.unlink,
            faults.OLD_LEDGER: self._restore_ledger,
        }
        for name, spoil in before.items():
            if name in wrong:
                spoil()
        if faults.BIT_IN_MODEL in wrong:
            self._refuse_model(day, chance)
        if faults.KILLED_SCORING in wrong:
            self._kill("score", SCORE, at(day, 8), chance)
        if faults.FULL_DISK in wrong:
            # A limit on the size of files stands for the disk: it needs no rights, and ends writes at any place.
            done, output = self.product.run(
                "score, disturbed", SCORE, at(day, 8), file_limit=chance.randint(4, 200) << 10
            )
            self._blame(done, output, (0, 1))
        if faults.TWO_AT_ONCE in wrong:
            both = [self.product.start("score, disturbed", SCORE, at(day, 8)) for _ in range(2)]
            for running in both:
                self._blame(running.end(), running.text)
        done = self.run("score, disturbed" if wrong else "score", SCORE, at(day, 8, 10))
        self._note_usual("score", done, not wrong)

    def _dumps_of(self, day: date, chance: random.Random) -> list[dumps.Dump]:
        """The dumps of the day, with a half that is to be completed, a correction or a copy now and then."""
        count = self.plan.dumps
        sizes = dumps.sizes(day, count)
        rows = reviews.draw(self.plan.seed, self.plan.times, day, sum(sizes), f"{day:%Y%m%d}")
        made = dumps.of_day(day, rows, count, chance)
        if day.toordinal() % 2:
            place = next(
                number for number, dump in enumerate(made) if dump.truth.kind == "usual" and sizes[number] >= 10
            )
            start = sum(sizes[:place])
            made[place], whole = dumps.halved(made[place], rows[start : start + sizes[place]], chance)
            self._complete_later(day + timedelta(1), whole)
        earlier = [] if day == self.plan.first else self._earlier(day)
        if earlier and day.toordinal() % 3 == 0:
            content = chance.choice(earlier)
            made.append(dumps.corrected(day, self.data.inbox / content.name, content))
        if earlier and day.toordinal() % 3 == 1:
            content = chance.choice(earlier)
            copied = (self.data.inbox / content.name).read_bytes()
            name = f"copy-of-{content.name}"
            made.append(dumps.Dump(name, copied, content._replace(name=name)))
        return [*self._completed(day), *made]

    def _to_come(self, day: date) -> Path:
        """Where the whole of a dump waits whose first half came the day before."""
        return self.folder / "to-come" / day.isoformat()

    def _completed(self, day: date) -> list[dumps.Dump]:
        folder = self._to_come(day)
        if not folder.exists():
            return []
        truth = dumps.Content(*json.loads((folder / "truth.json").read_text()))
        return [dumps.Dump(truth.name, (folder / truth.name).read_bytes(), truth)]

    def _complete_later(self, day: date, whole: dumps.Dump) -> None:
        folder = self._to_come(day)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / whole.name).write_bytes(whole.content)
        (folder / "truth.json").write_text(json.dumps(whole.truth))

    def _earlier(self, day: date) -> list[dumps.Content]:
        """The contents of the last days that are usual, and stand in the inbox as they came."""
        return [
            content
            for content in self.truth.days(day - timedelta(BACK), day - timedelta(2))
            if content.kind == "usual" and not content.name.startswith("copy-of-")
            and dumps.sha256_of(self.data.inbox / content.name) == content.sha256
        ]  # fmt: skip

    def _deliver(self, made: Sequence[dumps.Dump]) -> None:
        """Puts dumps into the inbox: under a hidden name first, as the docs ask for."""
        self.data.inbox.mkdir(parents=True, exist_ok=True)
        self.truth.add([dump.truth for dump in made])
        for dump in made:
            hidden = self.data.inbox / f".{dump.name}"
            hidden.write_bytes(dump.content)
            hidden.replace(self.data.inbox / dump.name)

    # Training and release.

    def _train(self, day: date, wrong: Sequence[str], chance: random.Random) -> None:
        if faults.KILLED_TRAINING in wrong:
            self._kill("train", TRAIN, at(day, 2), chance)
        given = self.people.given()
        done, output = self.product.run("train, disturbed" if wrong else "train", TRAIN, at(day, 3))
        self._blame(done, output)
        if faults.BIT_IN_SHARD in wrong:
            newest = max(self.data.shards.glob("[!.]*"), key=lambda path: path.stat().st_mtime_ns)
            self._flip(chance.choice(sorted(newest.glob("**/*.parquet"))), chance)
            done, output = self.product.run("train, disturbed", TRAIN, at(day, 4))
            self._blame(done, output)
        self._note_usual("train", done, not wrong)
        if trained := re.findall(r"^Model: .*/(\S+)$", output, re.MULTILINE):
            (self.truth.folder / "trained.json").write_text(json.dumps({"model_id": trained[-1], "labels": given}))
        self._back_up(day)

    def _back_up(self, day: date) -> None:
        """Keeps what docs/tables.md asks to keep, and the ledger of this week and of the week before."""
        for folder in self.data.models.glob("[!.]*/"):
            if folder.is_dir() and not (self.backup / folder.name).exists():
                shutil.copytree(folder, self.backup / folder.name)
        ledger = self.backup / "ledger.sqlite"
        if ledger.exists():
            ledger.replace(self.backup / "ledger-before.sqlite")
        if self.data.ledger.exists():
            shutil.copy(self.data.ledger, ledger)

    def _restore_ledger(self) -> None:
        before = self.backup / "ledger-before.sqlite"
        shutil.copy(before if before.exists() else self.backup / "ledger.sqlite", self.data.ledger)

    def _release(self, day: date, chance: random.Random) -> None:
        """A rollback that is killed, made once more, and taken back."""
        current = releases.read_current(self.data.models)
        if current is None or not current.earlier:
            return
        back = ["flows/release.py", "rollback", current.model_id]
        self._kill("release", back, at(day, 6), chance)
        self.run("release", back, at(day, 6, 10))
        if releases.current_id(self.data.models) != current.earlier[-1]:
            self.findings.append(f"{day}: {current.model_id} is current after it was rolled back")
        self.run("release", ["flows/release.py", "promote", current.model_id], at(day, 6, 20))

    # Faults.

    def _kill(self, what: str, arguments: Sequence[str], moment: datetime, chance: random.Random) -> None:
        seconds = chance.uniform(0.3, 1) * self.usual[what]
        done, output = self.product.run(f"{what}, killed", arguments, moment, kill_after=seconds)
        if not done.killed:
            self._blame(done, output)

    def _flip(self, path: Path, chance: random.Random) -> None:
        flip(path, chance.randrange(path.stat().st_size))

    def _flip_table(self, chance: random.Random) -> None:
        """Flips a bit in a table whose dump is at hand."""
        inbox = {dumps.sha256_of(path)[:16] for path in self.data.inbox.iterdir()}
        tables = [path for path in self.data.scores.glob("model=*/[!.]*.parquet") if path.stem[-16:] in inbox]
        self._flip(chance.choice(sorted(tables)), chance)

    def _refuse_model(self, day: date, chance: random.Random) -> None:
        """Flips a bit in the current model: a run has to refuse it. Then the backup is put in its place."""
        model_id = releases.current_id(self.data.models)
        folder = self.data.models / model_id
        self._flip(folder / "model.keras", chance)
        done, output = self.product.run("score, disturbed", SCORE, at(day, 7))
        self._blame(done, output, (1,))
        shutil.rmtree(folder)
        shutil.copytree(self.backup / model_id, folder)

    # What the product says.

    def _alarms(self, day: date) -> list[str]:
        """The kinds of drift that were reported on that day."""
        paths = sorted(self.data.reports.glob(f"{day:%Y%m%d}T*.json"), key=lambda path: path.stat().st_mtime_ns)
        kinds: list[str] = json.loads(paths[-1].read_bytes())["drift"]["day"]["reported"] if paths else []
        return kinds

    def run(self, what: str, arguments: Sequence[str], moment: datetime) -> Done:
        """Runs a command that has to end well."""
        done, output = self.product.run(what, arguments, moment)
        self._blame(done, output)
        return done

    def _blame(self, done: Done, output: str, expected: Sequence[int] = (0,)) -> None:
        if done.status not in expected or "Traceback" in output or (done.status == 1 and "error: " not in output):
            self.findings.append(f"{done.at} {done.what}: exit status {done.status}: {done.last}")

    def _note_usual(self, what: str, done: Done, undisturbed: bool) -> None:
        if undisturbed and not done.status:
            self.usual[what] = done.seconds


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """A time of a day."""
    return datetime.combine(day, time(hour, minute), UTC)
