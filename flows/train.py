"""Train a recurrent network on movie reviews, and release it unless it is worse than the current model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python flows/train.py` puts only flows/ there

from tasks.running import environment, temporary_server

environment.prepare(command_line=__name__ == "__main__")
if __name__ == "__main__":
    environment.postpone_garbage_collection()
    temporary_server.start()  # it comes up while Prefect is imported

import logging

from cyclopts import App, Parameter
from prefect import flow

from tasks.lib import files
from tasks.lib.config import CorpusConfig, FitConfig, NetworkConfig, ReleaseConfig, ShardConfig
from tasks.lib.corpus import sources
from tasks.lib.layout import CLONE, SAMPLE, Layout
from tasks.lib.models import releases
from tasks.running import command_line, events, locks
from tasks.training import caching
from tasks.training.artifacts import Baseline, Bundle, Evaluation
from tasks.training.baseline import evaluate_baseline
from tasks.training.download import download_corpus
from tasks.training.evaluate import evaluate_network
from tasks.training.fit import fit_network
from tasks.training.plot import render_plots
from tasks.training.prepare import write_shards
from tasks.training.publish import release_model, write_bundle
from tasks.training.report import report_training

log = logging.getLogger(environment.LOGGER)


@flow(
    name="train",
    flow_run_name="train {network.cell} on {corpus.corpus}, seed {fit.seed}",
    timeout_seconds=12 * 3600,
    on_failure=[events.explain_failure],
    on_crashed=[events.explain_failure],
)
def train(
    corpus: CorpusConfig = CorpusConfig(),
    shards: ShardConfig = ShardConfig(),
    network: NetworkConfig = NetworkConfig(),
    fit: FitConfig = FitConfig(),
    release: ReleaseConfig = ReleaseConfig(),
    data_dir: Path = Path("data"),
    refresh: bool = False,
) -> None:
    """Corpus -> shards -> network -> metrics and plots -> model bundle -> current model; each step is cached.

    Args:
        data_dir: Folder for everything that is read and made.
        refresh: Make every step anew.
    """
    data = Layout((CLONE / data_dir).resolve())
    with locks.waiting(data.locks / "train.lock"):
        for folder in (data.raw, data.shards, data.work, data.cache / "recipes"):
            files.sweep(folder)
        with locks.waiting(data.locks / locks.RELEASE):
            files.sweep(data.models)
        step = caching.Steps(data, refresh)
        made = pipeline(step, corpus, shards, network, fit, data.root)
        before = releases.current_or_none(data.models)
        verdict = release_model(made[0], release, data.root)
    bundle, _, baseline = made
    summarize(data, *made, verdict)
    report_training(data, bundle, baseline, before, verdict, step.done)
    events.announce(data.models, before)


def pipeline(
    step: caching.Runner,
    corpus: CorpusConfig,
    shards: ShardConfig,
    network: NetworkConfig,
    fit: FitConfig,
    data_dir: Path,
) -> tuple[Bundle, Evaluation, Baseline]:
    """The steps from the corpus to the model bundle; `step` runs them, or explains what running them would do."""
    archive, word_index = sources.sources(corpus, SAMPLE)
    labelled = step(download_corpus, archive=archive, word_index=word_index, corpus=corpus.corpus, data_dir=data_dir)
    prepared = step(write_shards, corpus=labelled, config=shards, data_dir=data_dir)
    fitted = step(fit_network, prepared=prepared, network=network, config=fit, data_dir=data_dir)
    evaluation = step(evaluate_network, prepared=prepared, fitted=fitted, device=fit.device, data_dir=data_dir)
    baseline = step(evaluate_baseline, prepared=prepared, data_dir=data_dir)
    title = f"{network.cell} on the {corpus.corpus} corpus"
    plots = step(render_plots, fitted=fitted, evaluation=evaluation, title=title, data_dir=data_dir)
    bundle = step(
        write_bundle,
        corpus=labelled,
        prepared=prepared,
        fitted=fitted,
        baseline=baseline,
        evaluation=evaluation,
        plots=plots,
        shard_config=shards,
        network=network,
        fit_config=fit,
        data_dir=data_dir,
    )
    return bundle, evaluation, baseline


def summarize(
    data: Layout, bundle: Bundle, evaluation: Evaluation, baseline: Baseline, verdict: dict[str, str]
) -> None:
    """Logs the results and where they are."""
    folder = data.root / bundle.folder
    log.info("Test accuracy: %.2f%%", 100 * evaluation.metrics["accuracy"])
    log.info("Test loss: %.4f", evaluation.metrics["loss"])
    log.info("Baseline accuracy: %.2f%% (bag of words, logistic regression)", 100 * baseline.accuracy)
    if bundle.corpus == "sample":
        log.info("The sample corpus is synthetic: these numbers mean nothing.")
    log.info("Verdict: %s (%s)", verdict["verdict"], verdict["reason"])
    log.info("Model: %s", folder)
    log.info("Loss plot: %s", folder / "loss.png")
    log.info("Evaluation plot: %s", folder / "evaluation.png")


app = App(name="train.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def main(
    *,
    corpus: Annotated[CorpusConfig, Parameter(name="*")] = CorpusConfig(),
    shards: Annotated[ShardConfig, Parameter(name="*")] = ShardConfig(),
    network: Annotated[NetworkConfig, Parameter(name="*")] = NetworkConfig(),
    fit: Annotated[FitConfig, Parameter(name="*")] = FitConfig(),
    release: Annotated[ReleaseConfig, Parameter(name="*")] = ReleaseConfig(),
    data_dir: command_line.DataDir = command_line.DEFAULT_DATA,
    refresh: Annotated[bool, Parameter(negative="", help="Make every step anew.")] = False,
    explain: Annotated[
        bool, Parameter(negative="", help="Say which steps would run, and why, and run nothing.")
    ] = False,
) -> None:
    """Train a recurrent network on movie reviews, and release it unless it is worse than the current model."""
    if explain:
        explanation = caching.Explanation(Layout(data_dir.resolve()))
        pipeline(explanation, corpus, shards, network, fit, data_dir.resolve())
        for step in explanation.done:
            log.info("%-10s %s", step.name, "from the cache" if step.cached else step.reason)
        return
    with temporary_server.running():
        train(corpus, shards, network, fit, release, data_dir.resolve(), refresh)


if __name__ == "__main__":
    command_line.run(app)
