"""Which model is current, and the verdict on every model.

`current.json` names the model that scoring uses, and `releases.jsonl` has one line for each verdict. The former is
written first: if the command is killed before it writes the latter, the next command does.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tasks.lib import clock, errors, files
from tasks.lib.config import ReleaseConfig
from tasks.lib.models import bundles, comparison

CURRENT = "current.json"
OWN = "own"  # the corpus of one's own labelled reviews alone
RELEASES = "releases.jsonl"
FEWEST_OWN = 100  # of one's own test reviews: with fewer, the interval is wider than 10 points or says nothing

Verdict = Literal["first", "promoted", "held", "forced", "rolled back"]


@dataclass(frozen=True)
class Current:
    """The content of `current.json`: the model in use, those before it, and those that were rolled back."""

    model_id: str
    verdict: Verdict
    reason: str
    released_at: str
    earlier: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)


def read_current(models: Path) -> Current | None:
    """The current release, or None if there is none yet.

    Raises `ModelError` if the file is damaged, and `InputError` if it cannot be read: after a temporary disk failure,
    a release must not lose the models before it.
    """
    path = models / CURRENT
    if not path.exists():
        return None
    with files.input_errors(path):
        content = path.read_bytes()
    try:
        return Current(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise errors.ModelError(
            f"{path}: not readable as the current release. Name the model again with "
            "`python flows/release.py promote MODEL_ID`."
        ) from error


def current_id(models: Path) -> str:
    """The id of the current model. Raises `ModelError` if there is none."""
    current = read_current(models)
    if current is None:
        raise errors.ModelError(
            f"{models / CURRENT}: there is no current model. Train one with `python flows/train.py`, or promote "
            "one with `python flows/release.py promote MODEL_ID`."
        )
    return current.model_id


def current_or_none(models: Path) -> str | None:
    """The id of the current model, or None if there is none or `current.json` is damaged."""
    current = _readable(models)
    return current.model_id if current else None


def _readable(models: Path) -> Current | None:
    """The current release, or None if there is none or `current.json` is damaged: a new release repairs that."""
    try:
        return read_current(models)
    except errors.ModelError:
        return None


def judge(models: Path, candidate: str, config: ReleaseConfig = ReleaseConfig()) -> tuple[Verdict, str]:
    """Whether `candidate` should become the current model, and why: (verdict, reason).

    The reason of a model that is worse than the n-gram baseline says so. The verdict does not depend on it.
    """
    verdict, reason = _compare(models, candidate, config)
    metrics = bundles.read_metrics(models, candidate)
    baseline = metrics.get("baseline_accuracy", 0.0)  # a bundle may lack it
    if metrics["accuracy"] < baseline:
        reason += f"; below the n-gram baseline of {baseline:.2%}"
    return verdict, reason


def _compare(models: Path, candidate: str, config: ReleaseConfig) -> tuple[Verdict, str]:
    """Compares `candidate` to the current model."""
    current = read_current(models)
    if current is None:
        return "first", "there was no current model"
    if config.force:
        return "forced", f"it replaces {current.model_id} because --force was given"
    if candidate in current.rolled_back:
        return "held", f"it was rolled back before; promote it by hand to use it instead of {current.model_id}"
    new, old = _tested(models, candidate), _tested(models, current.model_id)
    if old is None or new is None:
        return "promoted", f"the current model {current.model_id} is gone or damaged"
    if new.corpus != old.corpus:
        if old.corpus != "sample":  # nor do reviews of other subjects or languages say which model is better
            return "held", f"it was trained on the {new.corpus} corpus, {current.model_id} on {old.corpus}"
        return "promoted", f"{current.model_id} was trained on the {old.corpus} corpus"
    own = comparison.compare_own(new, old)
    if own and own.difference.reviews >= FEWEST_OWN:
        return _compare_own(new, old, own, config.margin)
    return _compare_accuracies(new, old, config.margin)


def _compare_own(
    new: comparison.Tested, old: comparison.Tested, own: comparison.OwnComparison, margin: float
) -> tuple[Verdict, str]:
    """Compares by one's own test reviews first: the model is held if it is worse there by more than chance explains.

    Then by those of the corpus, if it has others.
    """
    reason = f"on {own.difference.reviews:,} own test reviews {own.accuracy:.2%} against {own.other:.2%} of "
    reason += f"{old.model_id}: {own.difference}"
    worse = own.difference.upper < 0
    if worse:
        reason += ", which is worse by more than chance"
    if new.corpus == OWN:
        return ("held" if worse else "promoted"), reason
    verdict, others = _compare_accuracies(new, old, margin)
    return ("held" if worse else verdict), f"{reason}; {others}"


def _compare_accuracies(new: comparison.Tested, old: comparison.Tested, margin: float) -> tuple[Verdict, str]:
    """Compares by the interval of the difference and by slices, or by the accuracies alone if there is no interval."""
    accuracy, before = new.metrics["accuracy"], old.metrics["accuracy"]
    reason = f"test accuracy {accuracy:.2%} against {before:.2%} of {old.model_id}"
    try:
        difference = comparison.compare(new, old)
    except errors.ModelError as error:
        return ("promoted" if accuracy >= before else "held"), f"{reason}; no interval: {error}"
    reason += f": {difference}"
    held = difference.lower < margin
    if held:
        reason += f", which begins below --margin {margin:g}"
    try:
        worse = [found for found in comparison.compare_slices(new, old) if found.is_worse]
    except errors.ModelError as error:
        return ("held" if held else "promoted"), f"{reason}; no slices: {error}"
    if worse:
        reason += f"; significantly worse in slices: {', '.join(map(str, worse))}"
    return ("held" if held or worse else "promoted"), reason


def _tested(models: Path, wanted: str) -> comparison.Tested | None:
    try:
        return comparison.read(models, wanted)
    except errors.ModelError:
        return None


def release(models: Path, candidate: str, config: ReleaseConfig = ReleaseConfig()) -> tuple[Verdict, str]:
    """Judges `candidate`, records the verdict, and makes it current unless it is held: (verdict, reason).

    Releasing the current model changes nothing and returns the verdict of its release. Raises `ModelError` if the
    candidate is damaged.
    """
    bundles.read_bundle(models, candidate)
    _catch_up(models)
    current = read_current(models)
    if current is not None and current.model_id == candidate:
        return current.verdict, current.reason
    verdict, reason = judge(models, candidate, config)
    if verdict == "held":
        _record(models, Current(candidate, verdict, reason, _now()))
    else:
        _make_current(models, candidate, verdict, reason)
    return verdict, reason


def promote(models: Path, wanted: str) -> Current:
    """Makes a model current, whatever its accuracy; changes nothing if it is. Raises `ModelError` if it is damaged."""
    bundles.read_bundle(models, wanted)
    _catch_up(models)
    current = _readable(models)
    if current and current.model_id == wanted:
        return current
    return _make_current(models, wanted, "forced", "promoted by hand")


def roll_back(models: Path, rejected: str | None = None) -> Current:
    """Makes the previous model current.

    Completes an earlier rollback instead if that was killed, and changes nothing if `rejected`, the model to roll back,
    was rolled back before. Raises `ModelError` if there is no earlier model or it is damaged, or if `rejected` is not
    current.
    """
    pending = _catch_up(models)
    if pending and pending.verdict == "rolled back":
        return pending
    current = read_current(models)
    if current and rejected not in (None, current.model_id):
        if rejected in current.rolled_back:
            return current
        raise errors.ModelError(f"{models / CURRENT}: {rejected} is not the current model, {current.model_id} is.")
    if current is None or not current.earlier:
        raise errors.ModelError(f"{models / CURRENT}: there is no earlier model to roll back to.")
    wanted = current.earlier[-1]
    bundles.read_bundle(models, wanted)
    rolled_back = sorted({*current.rolled_back, current.model_id} - {wanted})
    return _write_current(
        models,
        Current(wanted, "rolled back", f"instead of {current.model_id}", _now(), current.earlier[:-1], rolled_back),
    )


def _make_current(models: Path, wanted: str, verdict: Verdict, reason: str) -> Current:
    old = _readable(models)
    earlier = old.earlier if old else []
    if old and old.model_id != wanted:
        earlier = [*earlier, old.model_id]
    rolled_back = [name for name in old.rolled_back if name != wanted] if old else []
    return _write_current(models, Current(wanted, verdict, reason, _now(), earlier, rolled_back))


def _write_current(models: Path, current: Current) -> Current:
    files.write(models / CURRENT, files.json_bytes(asdict(current)))
    _record(models, current)
    return current


def _catch_up(models: Path) -> Current | None:
    """Records the current release if the command that made it was killed before it did; returns it then."""
    current = _readable(models)
    return current if current and _record(models, current) else None


def _record(models: Path, release: Current) -> bool:
    """Adds a verdict to `releases.jsonl` if it is not there, as after a killed run; returns whether it was added."""
    fields = {"model_id": release.model_id, "verdict": release.verdict, "reason": release.reason}
    content = json.dumps(fields).encode()[:-1]
    line = content + f', "at": "{release.released_at}"}}'.encode()
    path = models / RELEASES
    with files.input_errors(path):
        before = path.read_bytes().splitlines() if path.exists() else []
    if line in before or (release.verdict == "held" and before and before[-1].startswith(content)):
        return False
    files.write(path, b"".join(record + b"\n" for record in [*before, line]))
    return True


def _now() -> str:
    return clock.now().isoformat()
