"""Reading a `.keras` file without TensorFlow: the architecture is checked, the weights are arrays, no code runs."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from tasks.lib import errors, files

Floats = npt.NDArray[np.float32]

IGNORED_LAYERS = frozenset({"InputLayer", "Dropout", "SpatialDropout1D"})  # no effect on scores


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
    embedding: Floats
    layers: list[tuple[Cell, ...]]
    """Each recurrent layer: forward, or forward and backward."""
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
        return files.arrays_digest([self.embedding, *recurrent, *self.head])


# What `read` raises on a corrupt file, by zipfile, h5py, JSON and NumPy.
UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError)


def read(model_file: Path) -> Archive:
    """The contents of the file, after its architecture was checked. Raises `Unsupported` or one of `UNREADABLE`."""
    with zipfile.ZipFile(model_file) as archive:
        config = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))
    layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
    names = _stored_names([layer["class_name"] for layer in layers])
    parts = [
        (layer, f"layers/{name}")
        for layer, name in zip(layers, names, strict=True)
        if layer["class_name"] not in IGNORED_LAYERS
    ]
    _check([layer for layer, _ in parts])
    with h5py.File(weights, "r") as store:
        return Archive(
            maxlen=_maxlen(layers),
            embedding=_read(store, f"{parts[0][1]}/vars/0"),
            layers=[_read_recurrent(store, *part) for part in parts[1:-1]],
            head=(_read(store, f"{parts[-1][1]}/vars/0"), _read(store, f"{parts[-1][1]}/vars/1")),
        )


def _check(layers: list[dict[str, Any]]) -> None:
    """Every recurrent layer but the last returns its whole sequence of outputs."""
    classes = [layer["class_name"] for layer in layers]
    inner = [layer["config"].get("layer", layer)["config"] for layer in layers[1:-1]]
    recurrent = inner and all("return_sequences" in config for config in inner)
    if not recurrent or (classes[0], classes[-1]) != ("Embedding", "Dense"):
        found = ", ".join(classes)
        raise Unsupported(f"Expected an Embedding, recurrent layers and a Dense layer, found: {found}.")
    if [config["return_sequences"] for config in inner] != [True] * (len(inner) - 1) + [False]:
        raise Unsupported("Expected return_sequences of all recurrent layers but the last.")
    _require(layers[0], mask_zero=False)
    _require(layers[-1], activation="sigmoid", units=1, use_bias=True)


def _maxlen(layers: list[dict[str, Any]]) -> int:
    length = layers[0].get("build_config", {}).get("input_shape", [None, None])[1]
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
