"""Keras' files, read by the names in them: .keras, .weights.h5 and legacy .h5.

The first two number a layer's weights by class and by order. Each layer's name stands beside them, so
that two layers which were built in another order are not swapped. Variables are named ``layer/leaf``;
a legacy file has the variables' whole paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from porter.checkpoint.archive import open_archive, said, whole
from porter.checkpoint.entry import Checkpoint, Entry
from porter.checkpoint.hdf5 import attribute, dataset_entry, member, open_h5
from porter.errors import FormatError

# The order in which a layer's own save_own_variables numbers its weights (keras/src/layers/).
_LEAVES = {
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "dense": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}

_LARGEST_RATIO = 64
"""Keras stores without packing, and trained weights hardly pack; deflate's own bound is 1032."""


def read_keras(path: Path) -> Checkpoint:
    """Read a ``.keras`` archive: its config names the layers, its HDF5 file holds the weights. Raises FormatError."""
    with open_archive(path, ".keras file", _LARGEST_RATIO) as archive, whole(path, ".keras file"):
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    _check_config(config, path)
    with _well_formed(path):
        file = open_h5(path, weights)
        return Checkpoint(path, "Keras archive", _numbered(file, path, _layer_names(config)))


def read_h5(path: Path) -> Checkpoint:
    """Read ``.weights.h5``, or the legacy ``.h5`` of a model or its weights. Raises FormatError."""
    with _well_formed(path):
        file = open_h5(path)
        if member(file, "layers", path) is not None:
            return Checkpoint(path, "Keras weights", _numbered(file, path, {}))
        root = member(file, "model_weights", path) or file
        if "model_config" in file.attrs:
            _check_config(json.loads(attribute(file, "model_config", path)), path)
        if "layer_names" not in root.attrs:
            raise FormatError(f"{path} is HDF5, but not of Keras: name a .weights.h5 or .h5 that Keras wrote")
        return Checkpoint(path, "Keras legacy HDF5", _legacy(root, path))


@contextmanager
def _well_formed(path: Path) -> Iterator[None]:
    """Turn what a file of another structure leads to into one sentence."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, RuntimeError, MemoryError) as error:
        raise FormatError(f"{path} is not laid out as Keras does ({said(error)}); copy or download it again") from None


def _check_config(config: Any, path: Path) -> None:
    """Raise FormatError where a model has a Lambda layer: Python code, which no port of the weights would compute."""
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
    """Return ``{group: layer name}`` of a functional model: groups are named by class and counted by order."""
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


def _numbered(file: h5py.File, path: Path, names: dict[str, str]) -> dict[str, Entry]:
    entries = {}
    for group in member(file, "layers", path):
        stored = member(file, f"layers/{group}/vars", path)
        if stored is None or not len(stored):
            continue
        kind = re.sub(r"_\d+$", "", group)
        layer = names.get(group) or stored.attrs.get("name")
        if layer is None:
            raise FormatError(f"{path} does not name the layer of {group}: save it with a newer Keras, or as .keras")
        leaves = _LEAVES.get(kind)
        # Only a bias, the last, may be missing; a batch norm without gamma would shift all behind it.
        if leaves is None or len(stored) not in (len(leaves), len(leaves) - (leaves[-1] == "bias")):
            raise FormatError(
                f"{path}: {layer} is a {kind} whose {len(stored)} weights porter does not know by order: save it as .h5"
            )
        for number, leaf in zip(sorted(stored, key=int), leaves, strict=False):
            name = f"{layer}/{leaf}"
            entries[name] = dataset_entry(member(stored, number, path), path, name)
    return entries


def _legacy(root: h5py.Group, path: Path) -> dict[str, Entry]:
    entries = {}
    for layer in _text(attribute(root, "layer_names", path)):
        for name in _text(attribute(member(root, layer, path), "weight_names", path)):
            dataset = member(root, f"{layer}/{name}", path)
            if not isinstance(dataset, h5py.Dataset):
                raise FormatError(f"{path}: the layer {layer} has no weight {name}; copy or download it again")
            short = name.removesuffix(":0")
            entries[short] = dataset_entry(dataset, path, short)
    return entries


def _text(names: Any) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
