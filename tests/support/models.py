"""Bundles without a network, for what looks at names, metrics and checksums alone."""

from __future__ import annotations

from pathlib import Path

from tasks.lib import files
from tasks.lib.models import bundles


def add(models: Path, number: int, accuracy: float, corpus: str = "imdb", baseline: float = 0.0) -> str:
    """A bundle with the least that releases look at."""
    made_of = {"number": number}
    model_id = bundles.model_id("gru", made_of)
    facts = {"model_id": model_id, "cell": "gru", "corpus": corpus, "made_of": made_of}
    metrics = files.json_bytes({"accuracy": accuracy, "baseline_accuracy": baseline})
    bundles.write_bundle(models / model_id, {"metrics.json": metrics, "model.keras": b"weights"}, facts)
    return model_id
