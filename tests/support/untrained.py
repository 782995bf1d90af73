"""Networks in the shape of a preset that nobody trained: they score as fast as trained ones, and know nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.lib import files
from tasks.lib.config import CorpusConfig, FitConfig, NetworkConfig, ShardConfig
from tasks.lib.corpus import imdb
from tasks.lib.models import bundles, releases
from tasks.lib.network import ngrams
from tasks.lib.presets import with_preset


def write(models: Path, preset: str, archive: Path, word_index: Path) -> str:
    """Writes a bundle with random weights and the n-grams of a corpus, and makes it current; returns its id."""
    from tasks.lib.network import model

    _, shards, network, _ = with_preset(preset, CorpusConfig(), ShardConfig(), NetworkConfig(), FitConfig())
    model.set_seed(0)
    built = model.build(network, shards.num_words, shards.maxlen, training=True)
    made = {bundles.WORD_INDEX: word_index.read_bytes(), bundles.METRICS: files.json_bytes({"accuracy": 0.5})}
    files.make_folder(models)
    weights = None
    if network.ngrams:
        vocabulary, _ = ngrams.Vocabulary.learn(*ngrams.flat(imdb.load(archive)[0].ranks))
        weights = np.random.default_rng(0).normal(0, 0.1, len(vocabulary) + 1)
        ngrams.save(models / bundles.NGRAMS, vocabulary)
        made[bundles.NGRAMS] = (models / bundles.NGRAMS).read_bytes()
    finished = model.finish(network, built, 1.0, weights)
    finished.save(models / bundles.MODEL)
    made[bundles.MODEL] = (models / bundles.MODEL).read_bytes()
    made_of = {
        "weights": files.arrays_digest(finished.get_weights()),
        "shard_config": shards.model_dump(mode="json"),
        "network": network.model_dump(mode="json"),
        "threshold": 0.5,
    }
    if network.ngrams:
        made_of["ngrams"] = files.sha256(models / bundles.NGRAMS)
    model_id = bundles.model_id(network.cell, made_of)
    facts = {"model_id": model_id, "cell": network.cell, "corpus": "none", "threshold": 0.5, "made_of": made_of}
    bundles.write_bundle(models / model_id, made, facts)
    for name in (bundles.NGRAMS, bundles.MODEL):
        files.remove(models / name)
    releases.promote(models, model_id)
    return model_id
