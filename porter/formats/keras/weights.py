"""Reads Keras' files by the names in them: .keras, .weights.h5 and legacy .h5.

The first two number layers by class and weights by order, and give each layer's name besides. The name decides, so that
layers built in another order are not swapped. Variables are called ``layer/leaf``; a legacy file has their whole paths.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from porter.errors import FormatError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.keras.hdf5 import H5, dataset_entry
from porter.formats.zip import open_archive, said, whole

# The order in which each layer's save_own_variables numbers its weights (keras/src/layers/).
_LEAVES = {
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "dense": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}

_LARGEST_RATIO = 64
"""Keras stores members uncompressed, and trained weights hardly compress; deflate's own bound is 1032."""


def read_keras(path: Path) -> Checkpoint:
    """Read a ``.keras`` archive: its config names the layers, its HDF5 file holds the weights. Raises FormatError."""
    with open_archive(path, ".keras file", _LARGEST_RATIO) as archive, whole(path, ".keras file"):
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    _check_config(config, path)
    with _well_formed(path):
        return Checkpoint(path, "Keras archive", _numbered(H5(path, weights), _layer_names(config)))


def read_h5(path: Path) -> Checkpoint:
    """Read a ``.weights.h5`` file, or a legacy ``.h5`` of a model or its weights. Raises FormatError."""
    with _well_formed(path):
        file = H5(path)
        if file.member(file.root, "layers") is not None:
            return Checkpoint(path, "Keras weights", _numbered(file, {}))
        config = file.text(file.root, "model_config")
        if config is not None:
            _check_config(json.loads(config), path)
        return Checkpoint(path, "Keras legacy HDF5", _legacy(file))


_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError, MemoryError, struct.error)


@contextmanager
def _well_formed(path: Path) -> Iterator[None]:
    """Turn the errors that a file of another structure causes into one sentence."""
    try:
        yield
    except _MALFORMED as error:
        raise FormatError(f"{path} does not have Keras' layout ({said(error)}); copy or download it again") from None


def _check_config(config: Any, path: Path) -> None:
    """Raise FormatError if a model has a Lambda layer: its Python code is lost in a port of the weights."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict) and part.get("class_name") in ("Lambda", "__lambda__"):
            settings = part.get("config")
            name = settings.get("name", "one") if isinstance(settings, dict) else "one"
            raise FormatError(
                f"{path}: its layer {name} is a Lambda, Python code that porter does not run: "
                "save the weights alone, model.save_weights('name.weights.h5')"
            )
        if isinstance(part, (dict, list)):
            waiting.extend(part.values() if isinstance(part, dict) else part)


def _layer_names(config: Any) -> dict[str, str]:
    """Return ``{group: layer name}`` of a functional model; a group's name is the class and its number."""
    names: dict[str, str] = {}
    seen: dict[str, int] = {}
    for layer in config["config"].get("layers", ()):
        kind = _snake_case(layer["class_name"])
        number = seen[kind] = seen.get(kind, -1) + 1
        names[f"{kind}_{number}" if number else kind] = layer["config"]["name"]
    return names


def _snake_case(name: str) -> str:
    """Name a class as Keras does (keras/src/utils/naming.py): BatchNormalization is batch_normalization."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _numbered(file: H5, names: dict[str, str]) -> dict[str, Entry]:
    entries = {}
    for group in file.member(file.root, "layers"):
        stored = file.member(file.root, f"layers/{group}/vars")
        if stored is None or not len(stored):
            continue
        kind = re.sub(r"_\d+$", "", group)
        layer = names.get(group) or file.text(stored, "name")
        if layer is None:
            raise FormatError(
                f"{file.path} does not name the layer of {group}: save it with a newer Keras, or as .keras"
            )
        leaves = _LEAVES.get(kind)
        # Only the bias, which is last, may be missing: without gamma, all other weights of a batch norm would shift.
        if leaves is None or len(stored) not in (len(leaves), len(leaves) - (leaves[-1] == "bias")):
            raise FormatError(
                f"{file.path}: {layer} is a {kind} with {len(stored)} weights, and porter does not know their order: "
                "save it as .h5"
            )
        for number, leaf in zip(sorted(stored, key=int), leaves, strict=False):
            name = f"{layer}/{leaf}"
            entries[name] = dataset_entry(file.member(stored, number), file.path, name)
    return entries


def _legacy(file: H5) -> dict[str, Entry]:
    root = file.member(file.root, "model_weights") or file.root
    layers = _listed(file, root, "layer_names")
    if layers is None:
        raise FormatError(f"{file.path} is HDF5, but not from Keras: name a .weights.h5 or .h5 that Keras wrote")
    entries = {}
    for layer in layers:
        group = file.member(root, layer)
        names = _listed(file, group, "weight_names") if isinstance(group, h5py.Group) else None
        if names is None:
            raise FormatError(f"{file.path}: the layer {layer} does not name its weights; copy or download it again")
        for name in names:
            dataset = file.member(group, name)
            if not isinstance(dataset, h5py.Dataset):
                raise FormatError(f"{file.path}: the layer {layer} has no weight {name}; copy or download it again")
            short = name.removesuffix(":0")
            entries[short] = dataset_entry(dataset, file.path, short)
    return entries


def _listed(file: H5, group: h5py.Group, name: str) -> list[str] | None:
    """Return the texts of an attribute; Keras splits a long one over several attributes."""
    found = file.text(group, name)
    if found is not None:
        return _decoded(found)
    names: list[str] = []
    number = 0
    while (part := file.text(group, f"{name}{number}")) is not None:
        names += _decoded(part)
        number += 1
    return names if number else None


def _decoded(names: Any) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
