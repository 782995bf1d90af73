"""Reading a `.keras` file without TensorFlow: the architecture is checked, the weights are arrays, no code runs."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple, cast

import h5py
import numpy as np
import numpy.typing as npt

from tasks.lib import errors, files

Floats = npt.NDArray[np.float32]

IGNORED_LAYERS = frozenset({"InputLayer", "Dropout", "SpatialDropout1D", "NotEqual"})  # no effect on scores, or a mask
POOLINGS: dict[str, list[str]] = {
    "last": [],
    "max": ["Max", "Relu"],
    "max_mean": ["Max", "Relu", "GlobalAveragePooling1D", "Concatenate"],
}
NGRAMS = ["Embedding", "Sum", "Add", "Activation"]


class Unsupported(errors.ModelError):
    """The network has a part that the scorer does not know."""


class Cell(NamedTuple):
    """The weights of one recurrent layer in one direction."""

    kind: str
    activation: str
    kernel: Floats
    recurrent: Floats
    bias: Floats


class Archive(NamedTuple):
    """The contents of a `.keras` file."""

    maxlen: int
    pooling: str
    """last, max or max_mean, as in `NetworkConfig`"""
    embedding: Floats
    layers: list[tuple[Cell, ...]]
    """Each recurrent layer: forward, or forward and backward."""
    ngrams: Floats | None
    """[n-gram id]: their weights, if the network has n-grams"""
    head: tuple[Floats, Floats]
    """[unit, 1], [1]"""

    @property
    def cells(self) -> list[Cell]:
        """The cells of all layers."""
        return [cell for layer in self.layers for cell in layer]

    @property
    def weights_digest(self) -> str:
        """The digest of all weights, in Keras's order."""
        recurrent = [weights for cell in self.cells for weights in (cell.kernel, cell.recurrent, cell.bias)]
        ngrams = [] if self.ngrams is None else [self.ngrams.reshape(-1, 1)]
        return files.arrays_digest([self.embedding, *recurrent, *ngrams, *self.head])


# What `read` raises on a corrupt file, by zipfile, h5py, JSON and NumPy.
UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError)


def read(model_file: Path) -> Archive:
    """The contents of the file, after its architecture was checked. Raises `Unsupported` or one of `UNREADABLE`."""
    with zipfile.ZipFile(model_file) as archive:
        config = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))
    layers = config["config"]["layers"]
    names = _stored_names([layer["class_name"] for layer in layers])
    parts = [
        (layer, f"layers/{name}")
        for layer, name in zip(layers, names, strict=True)
        if layer["class_name"] not in IGNORED_LAYERS
    ]
    recurrent = [part for part in parts if "return_sequences" in _inner(part[0])]
    pooling, ngrams = _check([layer for layer, _ in parts], [layer for layer, _ in recurrent])
    embeddings = [path for layer, path in parts if layer["class_name"] == "Embedding"]
    head = next(path for layer, path in parts if layer["class_name"] == "Dense")
    with h5py.File(weights, "r") as store:
        return Archive(
            maxlen=_maxlen(parts[0][0]),
            pooling=pooling,
            embedding=_read(store, f"{embeddings[0]}/vars/0"),
            layers=[_read_recurrent(store, *part) for part in recurrent],
            ngrams=_read(store, f"{embeddings[1]}/vars/0")[:, 0] if ngrams else None,
            head=(_read(store, f"{head}/vars/0"), _read(store, f"{head}/vars/1")),
        )


def _inner(layer: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a layer, or of the one that it runs in both directions."""
    return cast(dict[str, Any], layer["config"].get("layer", layer)["config"])


def _check(layers: list[dict[str, Any]], recurrent: list[dict[str, Any]]) -> tuple[str, bool]:
    """The pooling, and whether there are n-grams; the layers must be those of `model.build`, in its order.

    How they are connected is not looked at: a training ends with an error if the scorer and Keras differ.
    """
    classes = [layer["class_name"] for layer in layers]
    kinds = ["Recurrent" if layer in recurrent else layer["class_name"] for layer in layers]
    ngrams = "Sum" in kinds
    always = ["Embedding", *["Recurrent"] * len(recurrent), "Dense", *NGRAMS * ngrams]
    fitting = [name for name, parts in POOLINGS.items() if sorted(kinds) == sorted(always + parts)]
    if not fitting or not recurrent or kinds[0] != "Embedding":
        found = ", ".join(classes)
        raise Unsupported(f"Expected an Embedding, recurrent layers and a Dense layer, found: {found}.")
    pooling = fitting[0]
    masked = pooling != "last"
    sequences = [_inner(layer)["return_sequences"] for layer in recurrent]
    if sequences != [True] * (len(recurrent) - 1) + [masked]:
        raise Unsupported("Expected return_sequences of all recurrent layers but the last.")
    _require(layers[0], mask_zero=masked)
    if masked:
        for layer in recurrent:
            _require({"class_name": layer["class_name"], "config": _inner(layer)}, zero_output_for_mask=True)
    head = next(layer for layer in layers if layer["class_name"] == "Dense")
    _require(head, activation="linear" if ngrams else "sigmoid", units=1, use_bias=True)
    return pooling, ngrams


def _maxlen(embedding: dict[str, Any]) -> int:
    length = embedding.get("build_config", {}).get("input_shape", [None, None])[1]
    if not isinstance(length, int):
        raise Unsupported("Expected a network with a fixed number of ids per review.")
    return length


def _read_recurrent(store: h5py.File, layer: dict[str, Any], path: str) -> tuple[Cell, ...]:
    if layer["class_name"] != "Bidirectional":
        return (_read_cell(store, layer, path, go_backwards=False),)
    _require(layer, merge_mode="concat")
    forward, backward = layer["config"]["layer"], layer["config"]["backward_layer"]
    return (
        _read_cell(store, forward, f"{path}/forward_layer", go_backwards=False),
        _read_cell(store, backward, f"{path}/backward_layer", go_backwards=True),
    )


def _read_cell(store: h5py.File, layer: dict[str, Any], path: str, go_backwards: bool) -> Cell:
    gates = {"recurrent_activation": "sigmoid", "reset_after": True}  # of the cells that have them
    expected = {name: value for name, value in gates.items() if name in layer["config"]}
    _require(layer, use_bias=True, go_backwards=go_backwards, stateful=False, **expected)
    weights = (_read(store, f"{path}/cell/vars/{number}") for number in range(3))
    return Cell(layer["class_name"], layer["config"]["activation"], *weights)


def _read(store: h5py.File, path: str) -> Floats:
    """A stored array; one that points into other files, as h5py would follow, is refused."""
    dataset = store.get(path)
    if not isinstance(dataset, h5py.Dataset):
        raise Unsupported(f"Expected the weights {path} in the file.")
    if dataset.file.id != store.id or dataset.external or dataset.is_virtual:
        raise Unsupported(f"The weights {path} are not in the file itself.")
    weights = np.asarray(dataset[...], np.float32)
    if not np.isfinite(weights).all():
        raise errors.ModelError(
            f"The model has weights that are not finite numbers ({path}). Run the training again, or choose another "
            "model with --model or flows/release.py."
        )
    return weights


def _require(layer: dict[str, Any], **expected: object) -> None:
    for name, value in expected.items():
        found = layer["config"].get(name)
        if found != value:
            raise Unsupported(f"Expected {layer['class_name']} with {name}={value!r}, found {found!r}.")


def _stored_names(classes: list[str]) -> list[str]:
    """The group of each layer in Keras's weight file: its class in snake case, repeats numbered from 1."""
    names: list[str] = []
    for number, kind in enumerate(classes):
        name = re.sub(r"(?<=.)([A-Z][a-z]+)|(?<=[a-z])([A-Z])", r"_\1\2", kind).lower()
        repeats = classes[:number].count(kind)
        names.append(f"{name}_{repeats}" if repeats else name)
    return names
