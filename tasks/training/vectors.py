"""Before stage 3 of training, where the network wants it: word vectors learned from plain reviews."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from prefect import task

from tasks.lib import files
from tasks.lib.config import VectorsConfig
from tasks.lib.corpus import reviews, unlabelled
from tasks.lib.corpus.unlabelled import Texts
from tasks.lib.layout import Layout
from tasks.lib.network import ngrams
from tasks.running import environment
from tasks.training.artifacts import Corpus, Labels, Start, Unlabelled
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


@task(
    name="vectors",
    task_run_name="vectors from {labelled.corpus}",
    cache_policy=MadeFrom(libraries=("numpy", "scipy", "scikit-learn")),
)
def learn_vectors(
    labelled: Corpus, labels: Labels | None, more: Unlabelled | None, config: VectorsConfig, data_dir: Path
) -> Start:
    """Learns word vectors from the training reviews, without those kept for validation, and the unlabelled ones."""
    from tasks.lib.network import vectors  # scikit-learn takes a second to load

    data = Layout(data_dir)
    own_labels = data_dir / labels.path if labels else None
    splits = reviews.splits(labelled.corpus, data_dir / labelled.archive, config.validation_split, own_labels)
    texts = Texts(*ngrams.flat(splits["train"].ranks))
    if more:
        texts = unlabelled.joined(texts, unlabelled.load(data_dir / more.path))
    learned = vectors.learn(*texts, config.num_words, config.embedding_dim)
    identity = files.arrays_digest([learned])
    path = data.work / f"vectors-{identity[:16]}.npz"
    with files.new_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, learned)
    log.info("vectors of %d numbers for %s words", config.embedding_dim, f"{config.num_words:,}")
    return Start(identity=identity, made_files={data.relative(path): files.sha256(path)}, path=data.relative(path))
