"""Stage 3 of training: the network, fitted to the shards."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect import task

from tasks.lib import errors, files
from tasks.lib.config import FitConfig, NetworkConfig
from tasks.lib.layout import Layout
from tasks.lib.network.checkpoint import Checkpoint
from tasks.running import environment, progress
from tasks.training import caching
from tasks.training.artifacts import Fitted, Shards, Start
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


@task(
    name="fit",
    task_run_name="fit {network.cell}, seed {config.seed}",
    cache_policy=MadeFrom(libraries=("tensorflow", "keras", "numpy")),
)
def fit_network(
    prepared: Shards, start: Start | None, network: NetworkConfig, config: FitConfig, data_dir: Path
) -> Fitted:
    """Trains the network and saves it; a killed training resumes after its last complete epoch."""
    with environment.quiet_import():  # here, so that a run from the cache loads no TensorFlow
        from tasks.lib.corpus import dataset
        from tasks.lib.network import distribution, model

    if config.batches == "like_length" and network.pooling == "last":
        raise errors.InputError(
            "--batches like_length: expected --pooling max or max_mean, found last, which reads the padding. Name "
            "another pooling, or --batches random."
        )
    data = Layout(data_dir)
    key = caching.key(fit_network, prepared, start, network, config)
    checkpoint = Checkpoint(data.work / f"{key}.checkpoint.npz")
    if checkpoint.is_damaged():
        log.warning("%s: damaged, so the training starts from its first epoch", checkpoint.path)
    device = model.choose_device(config.device)
    group = distribution.group(config.strategy)
    if group and group.chief:
        group.call(_name(prepared, network, config))
    model.set_seed(config.seed)
    shape = network, prepared.config.num_words, prepared.config.maxlen
    with distribution.scope(group):
        built = model.build(*shape, training=True)
    if start:
        model.start_from(built, start.weights(data_dir))
    log.info("%s on %s, %s parameters", network.cell, device, f"{built.count_params():,}")
    shown = progress.Progress("train-progress", f"{network.cell} on {device}")
    run = model.fit(
        built,
        lambda first_epoch: (
            dataset.batches(
                data_dir / prepared.folder,
                "train",
                config.batch_size,
                shuffle_seed=config.seed,
                first_epoch=first_epoch,
                like_length=config.batches == "like_length",
            ),
            dataset.batches(data_dir / prepared.folder, "validation", config.batch_size),
        ),
        config,
        checkpoint,
        on_epoch=lambda epoch, logs: _report_epoch(epoch, config.epochs, logs, shown),
        bar=sys.stdout.isatty(),
        group=group,
    )
    shown.show(100, f"the best epoch was {run.best_epoch + 1}")
    folder = data.work / key
    trained = model.build(*shape)
    trained.set_weights(built.get_weights())
    with files.new_folder(folder) as temporary:
        trained.save(temporary / "model.keras")
    files.remove(checkpoint.path)
    saved, weights = folder / "model.keras", files.arrays_digest(built.get_weights())
    return Fitted(
        identity=files.digest(prepared.corpus, weights, network.model_dump(), config.model_dump()),
        made_files={data.relative(saved): files.sha256(saved)},
        corpus=prepared.corpus,
        network=network,
        config=config,
        weights=weights,
        model=data.relative(saved),
        history=run.history,
        best_epoch=run.best_epoch + 1,
        stopped_early=run.stopped,
        seconds=sum(run.history["seconds"]),
        device=device,
        cudnn=model.uses_cudnn(network, device),
        parameters=built.count_params(),
    )


def join_machines(config: FitConfig) -> bool:
    """Waits until all machines are there that share the training; whether this one publishes what comes of it."""
    if config.strategy != "multi_worker":
        return True
    with environment.quiet_import():
        from tasks.lib.network import distribution, model

    model.choose_device(config.device)
    log.info("waiting for the other machines of TF_CONFIG")
    return distribution.machines().chief


def help_fit(prepared: Shards, trials: Sequence[tuple[NetworkConfig, FitConfig]], data_dir: Path) -> None:
    """The part of the other machines: they share each training that the chief runs, until `dismiss_machines`."""
    from tasks.lib.network import distribution

    known = {_name(prepared, *trial): trial for trial in trials}
    for called in distribution.machines().calls(known):
        fitted = fit_network.fn(prepared, None, *known[called], data_dir)  # the chief says where it starts from
        shutil.rmtree((data_dir / fitted.model).parent)


def dismiss_machines(config: FitConfig) -> None:
    """Ends the other machines."""
    if config.strategy == "multi_worker":
        from tasks.lib.network import distribution

        distribution.machines().call("")


def _name(prepared: Shards, network: NetworkConfig, config: FitConfig) -> str:
    """What all machines have to agree on. Where the network starts from, the chief alone knows."""
    return caching.key(fit_network, prepared, None, network, config)


def _report_epoch(epoch: int, epochs: int, logs: dict[str, float], shown: progress.Progress) -> None:
    shown.show(100 * epoch / epochs, f"epoch {epoch} of {epochs}, validation loss {logs['val_loss']:.4f}")
    log.info(
        "epoch %d of %d  loss %.4f  accuracy %.4f  val_loss %.4f  val_accuracy %.4f  %.1f s",
        epoch, epochs, *(logs[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")),
    )  # fmt: skip
