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
from collections.abc import Sequence

from cyclopts import App, Parameter
from prefect import flow

from tasks.lib import candidates, files
from tasks.lib.candidates import Candidate
from tasks.lib.config import (
    CorpusConfig,
    FitConfig,
    LabelsConfig,
    LanguageConfig,
    NetworkConfig,
    ReleaseConfig,
    SearchConfig,
    ShardConfig,
    SplitConfig,
    VectorsConfig,
    check_reading,
)
from tasks.lib.corpus.sources import sources, unlabelled_source
from tasks.lib.labels.answers import LabelFiles
from tasks.lib.layout import CLONE, Layout
from tasks.lib.models import releases
from tasks.lib.presets import Preset, with_preset
from tasks.running import command_line, events, locks
from tasks.training import caching
from tasks.training.artifacts import Bundle, Corpus, Labels
from tasks.training.baseline import evaluate_baseline
from tasks.training.calibrate import calibrate_network
from tasks.training.download import download_corpus
from tasks.training.evaluate import evaluate_network
from tasks.training.find import find_labels
from tasks.training.fit import dismiss_machines, fit_network, help_fit, join_machines
from tasks.training.labels import own_corpus, read_labels
from tasks.training.plot import render_plots
from tasks.training.prepare import write_shards
from tasks.training.pretrain import pretrain_network
from tasks.training.publish import release_model, write_bundle
from tasks.training.report import log_training, report_training
from tasks.training.search import best_of
from tasks.training.unlabelled import read_unlabelled
from tasks.training.vectors import learn_vectors

log = logging.getLogger(environment.LOGGER)


@flow(
    name="train",
    flow_run_name="train {preset} on {corpus.corpus}, seed {fit.seed}",
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
    preset: Preset = "article",
    labels: LabelsConfig = LabelsConfig(),
    search: SearchConfig = SearchConfig(),
) -> None:
    """Corpus -> shards -> network -> metrics and plots -> model bundle -> current model. Each step is cached.

    Args:
        data_dir: Folder for all data.
        refresh: Run every step again.
        preset: Defaults of corpus, shards, network and fit: `article`, the network of the text-book example, or one to
            put into production: `fast`, or `best`, which takes the unlabelled reviews too. A given option wins.
    """
    corpus, shards, network, fit, others = configured(preset, corpus, shards, network, fit, search)
    data = Layout((CLONE / data_dir).resolve())
    step = caching.Steps(data, refresh)
    with locks.waiting(data.locks / locks.TRAINING):
        sweep(data)
        found = find_labels(data, corpus)
        if not join_machines(fit):
            help_train(step, corpus, shards, found, labels, [(network, fit), *others])
            return
        bundle = pipeline(step, corpus, shards, network, fit, found, labels, others)
        before = releases.current_or_none(data.models)
        verdict = release_model(bundle, release, data.root)
        dismiss_machines(fit)
    log_training(data, bundle, before, verdict)
    report_training(data, bundle, before, verdict, step.done)
    events.announce(data.models, before)


def configured(
    preset: Preset,
    corpus: CorpusConfig,
    shards: ShardConfig,
    network: NetworkConfig,
    fit: FitConfig,
    search: SearchConfig,
) -> tuple[CorpusConfig, ShardConfig, NetworkConfig, FitConfig, list[Candidate]]:
    """The options with the defaults of the preset, and what a search tries beside them; a given option stays."""
    given = network.model_fields_set | fit.model_fields_set
    corpus, shards, network, fit = with_preset(preset, corpus, shards, network, fit)
    return corpus, shards, network, fit, candidates.draw(search.search - 1, network, fit, given)


def pipeline(
    step: caching.Runner,
    corpus: CorpusConfig,
    shards: ShardConfig,
    network: NetworkConfig,
    fit: FitConfig,
    found: LabelFiles | None = None,
    labels: LabelsConfig = LabelsConfig(),
    others: Sequence[Candidate] = (),
) -> Bundle:
    """The steps from the corpus to the model bundle; `step` runs them, or explains what running them would do.

    `found` are the files of labels, if there are some. Of the network and the others, the best is published.
    """
    check_reading(corpus, network)
    labelled, own = reviews_of(step, corpus, found, labels)
    unlabelled = step(read_unlabelled, labelled, own, unlabelled_source(corpus)) if corpus.unlabelled else None
    learned = learned_of(own)
    prepared = step(write_shards, labelled, learned, shards)
    reading = labelled, learned, unlabelled
    vectors = step(learn_vectors, *reading, VectorsConfig.of(shards, network)) if network.vectors else None
    language = LanguageConfig.of(shards, network)
    pretrained = step(pretrain_network, *reading, vectors, language) if network.pretrain_epochs else None
    start = pretrained or vectors
    fitted = best_of([step(fit_network, prepared, start, *tried) for tried in ((network, fit), *others)])
    baseline = step(evaluate_baseline, labelled, learned, SplitConfig(validation_split=shards.validation_split))
    calibrated = step(calibrate_network, labelled, learned, prepared, fitted, baseline)
    evaluation = step(evaluate_network, labelled, own, prepared, fitted, calibrated)
    plots = step(render_plots, fitted, evaluation, pretrained)
    made = (labelled, prepared, fitted, calibrated, evaluation, baseline, plots)
    return step(write_bundle, *made, own, unlabelled, vectors, pretrained)


def help_train(
    step: caching.Steps,
    corpus: CorpusConfig,
    shards: ShardConfig,
    found: LabelFiles | None,
    labels: LabelsConfig,
    trials: Sequence[tuple[NetworkConfig, FitConfig]],
) -> None:
    """What all machines of `--strategy multi_worker` but the chief do: they share the fit, from shards of their own."""
    labelled, own = reviews_of(step, corpus, found, labels)
    help_fit(step(write_shards, labelled, learned_of(own), shards), trials, step.data.root)


def reviews_of(
    step: caching.Runner, corpus: CorpusConfig, found: LabelFiles | None, labels: LabelsConfig
) -> tuple[Corpus, Labels | None]:
    """The corpus, and the labelled reviews of one's own beside it, if there are any."""
    if corpus.corpus == "own":
        return step(own_corpus, found, labels), None
    labelled = step(download_corpus, sources(corpus))
    own = step(read_labels, labelled, found, labels) if found else None
    # Files of rows that nobody has labelled yet change nothing.
    return labelled, None if own and own is not caching.UNKNOWN and not own.reviews else own


def learned_of(own: Labels | None) -> Labels | None:
    """The labels, unless they only test: then they change nothing before the evaluation."""
    return own if own is caching.UNKNOWN or (own and own.learned) else None


def sweep(data: Layout) -> None:
    """Removes what killed trainings left half-written."""
    for folder in (data.raw, data.shards, data.work, data.cache / "recipes"):
        files.sweep(folder)
    with locks.waiting(data.locks / locks.LABELS):
        files.sweep(data.labels)
    with locks.waiting(data.locks / locks.RELEASE):
        files.sweep(data.models)


app = App(name="train.py", help=__doc__, version_flags=[], help_format="plaintext")


@app.default
def main(
    *,
    preset: Annotated[
        Preset,
        Parameter(
            help="Defaults of the options: article is the text-book network, fast one for production, best the same "
            "with more time and the unlabelled reviews."
        ),
    ] = "article",
    corpus: Annotated[CorpusConfig, Parameter(name="*")] = CorpusConfig(),
    shards: Annotated[ShardConfig, Parameter(name="*")] = ShardConfig(),
    network: Annotated[NetworkConfig, Parameter(name="*")] = NetworkConfig(),
    fit: Annotated[FitConfig, Parameter(name="*")] = FitConfig(),
    labels: Annotated[LabelsConfig, Parameter(name="*")] = LabelsConfig(),
    search: Annotated[SearchConfig, Parameter(name="*")] = SearchConfig(),
    release: Annotated[ReleaseConfig, Parameter(name="*")] = ReleaseConfig(),
    data_dir: command_line.DataDir = command_line.DEFAULT_DATA,
    refresh: Annotated[bool, Parameter(negative="", help="Run every step again.")] = False,
    explain: Annotated[
        bool, Parameter(negative="", help="Say which steps would run, and why, and run nothing.")
    ] = False,
) -> None:
    """Train a recurrent network on movie reviews, and release it unless it is worse than the current model."""
    if corpus.labels:
        command_line.place(corpus.labels)  # credentials in it are refused before Prefect has seen them
    if explain:
        explanation = caching.Explanation(Layout(data_dir.resolve()))
        found = find_labels(explanation.data, corpus)
        corpus, shards, network, fit, others = configured(preset, corpus, shards, network, fit, search)
        pipeline(explanation, corpus, shards, network, fit, found, labels, others)
        for step in explanation.done:
            log.info("%-10s %s", step.name, step.result)
        return
    with temporary_server.running():
        train(corpus, shards, network, fit, release, data_dir.resolve(), refresh, preset, labels, search)


if __name__ == "__main__":
    command_line.run(app)
