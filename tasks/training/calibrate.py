"""Stage 4 of training: the fitted network made fit to publish, with the n-grams if it has some, and calibrated.

Here it is known, too, what the validation reviews look like to it: the reference of later scoring.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from prefect import task

from tasks.lib import files, profiles
from tasks.lib.corpus import reviews, shards
from tasks.lib.layout import Layout
from tasks.lib.models import slices
from tasks.lib.network import ngrams
from tasks.lib.network.forward import Scorer
from tasks.running import environment
from tasks.training.artifacts import Baseline, Calibrated, Corpus, Fitted, Labels, Shards
from tasks.training.caching import MadeFrom

log = logging.getLogger(environment.LOGGER)


@task(
    name="calibrate",
    task_run_name="calibrate {fitted.model}",
    cache_policy=MadeFrom(libraries=("numpy", "scipy", "tensorflow", "keras")),
)
def calibrate_network(
    labelled: Corpus, labels: Labels | None, prepared: Shards, fitted: Fitted, baseline: Baseline, data_dir: Path
) -> Calibrated:
    """Scales the logits of the network, and of the n-grams, to the least loss on the validation reviews."""
    with environment.quiet_import():
        from tasks.lib.network import model
    from tasks.lib.network import calibration  # scipy takes half a second to load

    data = Layout(data_dir)
    ids, truth, counts = shards.read(data_dir / prepared.folder, "validation")
    share = prepared.config.validation_split
    own_labels = data_dir / labels.path if labels else None
    splits = reviews.splits(labelled.corpus, data_dir / labelled.archive, share, own_labels)
    ranks = splits["validation"].ranks
    parts = [calibration.logits(Scorer(data_dir / fitted.model)(ids))]
    weights = None
    if fitted.network.ngrams:
        weights = np.load(data_dir / baseline.weights)
        vocabulary = ngrams.load(data_dir / baseline.vocabulary)
        found = vocabulary.find(*ngrams.flat(ranks))
        parts.append(found.sums(weights[1:]) + weights[0])
    scales = calibration.scales(truth, *parts, weights=counts)
    scale, *others = scales
    facts = slices.facts(ranks, {}, prepared.config.num_words)
    probabilities = calibration.probabilities(scales, *parts)
    # The archive has words of the index alone; `known_words` are those of them that are in the vocabulary.
    kept = reviews.usual(labelled.corpus, data_dir / labelled.archive, len(ids), own_labels)
    known, in_vocabulary = facts.words[kept], facts.known_words[kept]
    reference = profiles.count(profiles.Scores(probabilities[kept], known, known - in_vocabulary, int(known.sum())))
    ngram_scale = others[0] if others else 0.0
    finished = model.finish(
        fitted.network,
        model.load(data_dir / fitted.model),
        1 / scale,
        None if weights is None else weights * ngram_scale,
    )
    digest = files.arrays_digest(finished.get_weights())
    folder = data.work / f"calibrated-{files.digest(fitted.identity, digest)[:16]}"
    with files.new_folder(folder) as temporary:
        finished.save(temporary / "model.keras")
    saved = data.relative(folder / "model.keras")
    log.info("temperature %.2f%s", 1 / scale, f", n-grams times {ngram_scale:.2f}" if others else "")
    vocabulary_file = baseline.vocabulary if others else ""
    return Calibrated(
        identity=files.digest(fitted.identity, digest, vocabulary_file, reference.model_dump()),
        made_files={saved: files.sha256(folder / "model.keras")},
        model=saved,
        weights=digest,
        ngrams=vocabulary_file,
        temperature=1 / scale,
        ngram_scale=ngram_scale,
        reference=reference,
    )
