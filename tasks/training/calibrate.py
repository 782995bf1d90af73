"""Stage 4 of training: the fitted network made fit to publish, with the n-grams if it has some, and calibrated.

Here it is known, too, what the validation reviews look like to it: the reference of later scoring.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from prefect import task

from tasks.lib import files, profiles, tokens
from tasks.lib.corpus import reviews, shards
from tasks.lib.layout import Layout
from tasks.lib.models import slices
from tasks.lib.network import ngrams
from tasks.lib.network.forward import Scorer
from tasks.lib.network.ngrams import Ranks
from tasks.lib.profiles import Profile
from tasks.lib.tokens import Ids
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
    archive, own_labels = data_dir / labelled.archive, data_dir / labels.path if labels else None
    splits = reviews.splits(labelled.corpus, archive, prepared.config.validation_split, own_labels)
    ranks = splits["validation"].ranks
    scorer = Scorer(data_dir / fitted.model)
    weights = np.load(data_dir / baseline.weights) if fitted.network.ngrams else None
    vocabulary = ngrams.load(data_dir / baseline.vocabulary) if fitted.network.ngrams else None

    def logits(ids: Ids, ranks: Ranks) -> list[calibration.Floats]:
        parts = [calibration.logits(scorer(ids))]
        if vocabulary and weights is not None:
            parts.append(vocabulary.find(*ngrams.flat(ranks)).sums(weights[1:]) + weights[0])
        return parts

    parts = logits(ids, ranks)
    scales = calibration.scales(truth, *parts, weights=counts)
    scale, *others = scales

    def profile(ranks: Ranks, parts: list[calibration.Floats]) -> Profile:
        # The archive has words of the index alone; `known_words` are those of them that are in the vocabulary.
        facts = slices.facts(ranks, {}, prepared.config.num_words)
        known, in_vocabulary = facts.words, facts.known_words
        probabilities = calibration.probabilities(scales, *parts)
        return profiles.count(profiles.Scores(probabilities, known, known - in_vocabulary, known))

    kept = reviews.usual(labelled.corpus, archive, len(ids), own_labels)
    reference = profile(ranks[kept], [part[kept] for part in parts])
    # With one's own labels there are few validation reviews: with 274 of them, chance alone raised six alarms in three
    # months of 3,100 reviews a day. The test reviews are as new to the network, and twice as many.
    if more := reviews.usual_test(labelled.corpus, archive, own_labels):
        more_ids = tokens.padded(more.ranks, prepared.config.num_words, prepared.config.maxlen)
        reference += profile(more.ranks, logits(more_ids, more.ranks))
    # A corpus has no words that are not in its index: how many are new is known of one's own reviews alone.
    fresh = reviews.usual_own(labelled.corpus, archive, own_labels)
    unknown = profiles.unknown(fresh.words, fresh.lengths) if fresh else []
    reference = reference.model_copy(update={"unknown": unknown})
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
