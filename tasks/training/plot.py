"""Stage 6 of training: the loss plot and the evaluation plot."""

from __future__ import annotations

import hashlib
from pathlib import Path

from prefect import task

from tasks.lib import files
from tasks.lib.layout import Layout
from tasks.training.artifacts import Evaluation, Fitted, Plots, Pretrained
from tasks.training.caching import MadeFrom


@task(
    name="plot",
    task_run_name="plot {fitted.network.cell} on {fitted.corpus}",
    cache_policy=MadeFrom(libraries=("matplotlib",)),
)
def render_plots(fitted: Fitted, evaluation: Evaluation, pretrained: Pretrained | None, data_dir: Path) -> Plots:
    """Renders the plots, which the bundle and the report show in this order."""
    from tasks.lib import figures  # Matplotlib takes a second to load

    data = Layout(data_dir)
    title = f"{fitted.network.cell} on the {fitted.corpus} corpus"
    pictures = {
        "loss.png": figures.loss(fitted.history, fitted.best_epoch, title=title),
        "evaluation.png": figures.evaluation(evaluation.metrics, evaluation.curves, title=title),
    }
    if pretrained:
        pictures["pretraining.png"] = figures.loss(
            pretrained.history,
            len(pretrained.history["loss"]),
            title=f"{title}: its first layers as a language model",
            kind="cross-entropy of a word",
        )
    identity = files.digest({name: hashlib.sha256(picture).hexdigest() for name, picture in pictures.items()})
    folder = data.work / f"plots-{identity[:16]}"
    with files.new_folder(folder) as temporary:
        for name, picture in pictures.items():
            (temporary / name).write_bytes(picture)
    return Plots(
        identity=identity,
        made_files={data.relative(folder / name): files.sha256(folder / name) for name in pictures},
    )
