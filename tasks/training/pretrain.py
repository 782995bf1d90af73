"""Before stage 3 of training, where the network wants it: its first layers learn to predict the words of reviews."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from prefect import task

from tasks.lib import files
from tasks.lib.config import LanguageConfig
from tasks.lib.corpus import reviews, unlabelled
from tasks.lib.corpus.unlabelled import Texts
from tasks.lib.layout import Layout
from tasks.lib.network import ngrams
from tasks.lib.network.checkpoint import Checkpoint
from tasks.running import environment, progress
from tasks.training import caching
from tasks.training.artifacts import Corpus, Labels, Pretrained, Start, Unlabelled
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


@task(
    name="pretrain",
    task_run_name="pretrain {config.cell}, {config.epochs} epochs",
    cache_policy=MadeFrom(libraries=("tensorflow", "keras", "numpy")),
)
def pretrain_network(
    labelled: Corpus,
    labels: Labels | None,
    more: Unlabelled | None,
    vectors: Start | None,
    config: LanguageConfig,
    data_dir: Path,
) -> Pretrained:
    """Trains the embedding and the recurrent layer as a language model; a killed one resumes after its last epoch."""
    with environment.quiet_import():  # here, so that a run from the cache loads no TensorFlow
        from tasks.lib.network import language, model

    data = Layout(data_dir)
    key = caching.key(pretrain_network, labelled, labels, more, vectors, config)
    checkpoint = Checkpoint(data.work / f"{key}.checkpoint.npz")
    if checkpoint.is_damaged():
        log.warning("%s: damaged, so the pre-training starts from its first epoch", checkpoint.path)
    model.choose_device("cpu")
    own_labels = data_dir / labels.path if labels else None
    splits = reviews.splits(labelled.corpus, data_dir / labelled.archive, config.validation_split, own_labels)
    train, validation = (Texts(*ngrams.flat(splits[name].ranks)) for name in ("train", "validation"))
    if more:
        train = unlabelled.joined(train, unlabelled.load(data_dir / more.path))
    shown = progress.Progress("pretrain-progress", f"pre-training of {config.cell}")

    def report(epoch: int, logs: dict[str, float]) -> None:
        shown.show(100 * epoch / config.epochs, f"epoch {epoch} of {config.epochs}, loss {logs['loss']:.4f}")
        log.info(
            "pre-training epoch %d of %d  loss %.4f  val_loss %.4f  %.1f s",
            epoch, config.epochs, logs["loss"], logs["val_loss"], logs["seconds"],
        )  # fmt: skip

    weights, run = language.pretrain(
        config,
        vectors.weights(data_dir) if vectors else [],
        language.stream(*train, config.num_words),
        language.stream(*validation, config.num_words),
        checkpoint,
        on_epoch=report,
    )
    identity = files.arrays_digest(weights)
    path = data.work / f"pretrained-{identity[:16]}.npz"
    with files.new_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, *weights)
    files.remove(checkpoint.path)
    return Pretrained(
        identity=identity,
        made_files={data.relative(path): files.sha256(path)},
        path=data.relative(path),
        history=run.history,
    )
