"""Stage 7 of training: the model bundle, and the verdict whether it becomes the current model."""

from __future__ import annotations

import csv
import io
from importlib.metadata import version
from pathlib import Path

from prefect import task

from tasks.lib import files
from tasks.lib.config import ReleaseConfig
from tasks.lib.layout import Layout
from tasks.lib.models import bundles, releases
from tasks.running import locks
from tasks.training.artifacts import (
    Baseline,
    Bundle,
    Calibrated,
    Corpus,
    Evaluation,
    Fitted,
    Labels,
    Plots,
    Pretrained,
    Shards,
    Start,
    Unlabelled,
)
from tasks.training.caching import MadeFrom, code_digest

LIBRARIES = ("tensorflow", "keras", "numpy", "pyarrow", "scipy", "scikit-learn", "matplotlib", "prefect")
# The modules of the stages that every model has, and of those whose record is optional.
STAGES = ("prepare", "fit", "baseline", "calibrate", "evaluate", "plot", "publish")
OPTIONAL_STAGES = {"labels": "labels", "unlabelled": "unlabelled", "vectors": "vectors", "pretrained": "pretrain"}


@task(
    name="bundle",
    task_run_name="bundle {fitted.network.cell}, seed {fitted.config.seed}",
    cache_policy=MadeFrom(libraries=LIBRARIES),  # its manifest names their versions
)
def write_bundle(
    corpus: Corpus,
    prepared: Shards,
    fitted: Fitted,
    calibrated: Calibrated,
    evaluation: Evaluation,
    baseline: Baseline,
    plots: Plots,
    labels: Labels | None,
    unlabelled: Unlabelled | None,
    vectors: Start | None,
    pretrained: Pretrained | None,
    data_dir: Path,
) -> Bundle:
    """Publishes `data/models/<model_id>`: everything that scoring needs and all that is known of the model."""
    data = Layout(data_dir)
    made_of = {
        "weights": calibrated.weights,
        "corpus": corpus.identity,
        "word_index": corpus.made_files[corpus.word_index],
        "shards": prepared.manifest,
        "shard_config": prepared.config.model_dump(mode="json"),
        "network": fitted.network.model_dump(mode="json"),
        "fit": fitted.config.model_dump(mode="json"),
        "threshold": evaluation.metrics["threshold"],
    }
    if calibrated.ngrams:
        made_of["ngrams"] = baseline.made_files[calibrated.ngrams]
    optional = {"labels": labels, "unlabelled": unlabelled, "vectors": vectors, "pretrained": pretrained}
    made_of |= {name: record.identity for name, record in optional.items() if record}
    stages = [OPTIONAL_STAGES[name] for name, record in optional.items() if record]
    model_id = bundles.model_id(fitted.network.cell, made_of)
    records = (corpus, prepared, fitted, calibrated, evaluation, baseline, plots, *optional.values())
    facts = {
        "model_id": model_id,
        "corpus": corpus.corpus,
        "cell": fitted.network.cell,
        "seed": fitted.config.seed,
        "threshold": evaluation.metrics["threshold"],
        "device": fitted.device,
        "cudnn": fitted.cudnn,
        "parameters": fitted.parameters,
        "code": code_digest([*STAGES, "labels" if corpus.corpus == releases.OWN else "download", *stages]),
        "libraries": {name: version(name) for name in LIBRARIES},
        "made_of": made_of,
        # Without the quarantine of the labels: nothing was learned from it, and the next training makes it anew.
        "used": sorted(name for record in records if record for name in record.made_files if not data.is_label(name)),
    }
    measured = evaluation.metrics | {
        "baseline_accuracy": baseline.accuracy,
        "epochs": len(fitted.history["loss"]),
        "best_epoch": fitted.best_epoch,
        "stopped_early": fitted.stopped_early,
        "seconds": round(fitted.seconds, 3),
        "device": fitted.device,
    }
    some_have = {bundles.NGRAMS: calibrated.ngrams, bundles.OWN_PREDICTIONS: evaluation.own_predictions}
    contents = {
        bundles.MODEL: (data_dir / calibrated.model).read_bytes(),
        bundles.WORD_INDEX: (data_dir / corpus.word_index).read_bytes(),
        **{name: (data_dir / path).read_bytes() for name, path in some_have.items() if path},
        bundles.METRICS: files.json_bytes(measured),
        bundles.PREDICTIONS: (data_dir / evaluation.predictions).read_bytes(),
        bundles.REFERENCE: files.json_bytes(calibrated.reference.model_dump()),
        "history.csv": _history_csv(fitted.history),
        **{Path(name).name: (data_dir / name).read_bytes() for name in plots.made_files},
    }
    folder = data.models / model_id
    bundles.write_bundle(folder, contents, facts)
    return Bundle(
        identity=model_id,
        made_files={
            data.relative(folder / name): files.sha256(folder / name) for name in [*contents, bundles.MANIFEST]
        },
        model_id=model_id,
        folder=data.relative(folder),
        corpus=corpus.corpus,
        metrics=measured,
        baseline_seconds=baseline.seconds,
    )


def _history_csv(history: dict[str, list[float]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    writer.writerows([epoch, *values] for epoch, values in enumerate(zip(*history.values(), strict=True), start=1))
    return text.getvalue().encode()


@task(name="release", task_run_name="release {bundle.model_id}", persist_result=False)
def release_model(bundle: Bundle, config: ReleaseConfig, data_dir: Path) -> dict[str, str]:
    """Makes the model current, or holds it: {"verdict": ..., "reason": ...}. Never cached: it depends on today."""
    data = Layout(data_dir)
    with locks.waiting(data.locks / locks.RELEASE):
        verdict, reason = releases.release(data.models, bundle.model_id, config)
    return {"verdict": verdict, "reason": reason}
