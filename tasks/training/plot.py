"""Stage 5 of training: the loss plot and the evaluation plot."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
from prefect import task

from tasks.lib import files
from tasks.lib.layout import Layout
from tasks.training.artifacts import Evaluation, Fitted, Plots
from tasks.training.caching import MadeFrom


@task(
    name="plot",
    task_run_name="plot {fitted.network.cell} on {fitted.corpus}",
    cache_policy=MadeFrom(libraries=("matplotlib",)),
)
def render_plots(fitted: Fitted, evaluation: Evaluation, data_dir: Path) -> Plots:
    """Renders the plots, which the bundle and the report show in this order."""
    from tasks.lib import figures  # Matplotlib takes a second to load

    data = Layout(data_dir)
    title = f"{fitted.network.cell} on the {fitted.corpus} corpus"
    pictures = {
        "loss.png": figures.loss(fitted.history, fitted.best_epoch, title=title),
        "evaluation.png": _evaluation(evaluation, title),
    }
    identity = files.digest({name: hashlib.sha256(picture).hexdigest() for name, picture in pictures.items()})
    folder = data.work / f"plots-{identity[:16]}"
    with files.new_folder(folder) as temporary:
        for name, picture in pictures.items():
            (temporary / name).write_bytes(picture)
    return Plots(
        identity=identity,
        made_files={data.relative(folder / name): files.sha256(folder / name) for name in pictures},
    )


def _evaluation(evaluation: Evaluation, title: str) -> bytes:
    from tasks.lib import figures

    points = {
        name: np.array(values, float)  # None becomes NaN
        for name, values in evaluation.curves.items()
    }
    counts, auc = evaluation.metrics["confusion"], evaluation.metrics["auc"]
    confusion = np.array(
        [
            [counts["true_negative"], counts["false_positive"]],
            [counts["false_negative"], counts["true_positive"]],
        ]
    )
    return figures.evaluation(
        roc=(points["fpr"], points["tpr"]),
        auc=math.nan if auc is None else auc,
        calibration=(points["predicted"], points["observed"], points["count"]),
        confusion=confusion,
        threshold=evaluation.metrics["threshold"],
        title=title,
    )
