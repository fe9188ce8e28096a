"""The layout of legacy .h5 files: a group for each outermost layer, and lists of names as attributes.

A layer's weights have their whole names. A container is one group, and its weights have the names of the layers in it:
porter puts the container's before them. Source: keras/src/legacy/saving/legacy_h5_format.py.
"""

from __future__ import annotations

from typing import Any

import h5py

from porter.errors import FormatError
from porter.formats.keras.contents import Contents, Stored
from porter.formats.keras.hdf5 import H5

_MODEL = "top_level_model_weights"
"""The group of a subclassed model's own weights."""


def is_legacy(file: H5) -> bool:
    """Tell whether a file has this layout."""
    return "model_weights" in file.root or any(name.startswith("layer_names") for name in file.root.attrs)


def read_legacy(file: H5) -> Contents:
    """Return what the file's layers hold, and what else is in the file. Raises FormatError."""
    root = file.member(file.root, "model_weights") or file.root
    layers = _listed(file, root, "layer_names")
    if layers is None:
        raise FormatError(f"{file.path} does not list its layers; copy or download it again")
    contents, taken = Contents(file.path), set[int]()
    whole = True  # a container's layers without weights are in no list
    for layer in [*layers, *([_MODEL] if _MODEL not in layers and file.member(root, _MODEL) is not None else [])]:
        group = file.member(root, layer)
        names = _listed(file, group, "weight_names") if isinstance(group, h5py.Group) else None
        if names is None:
            raise FormatError(f"{file.path}: the layer {layer} does not name its weights; copy or download it again")
        for name in names:
            dataset = file.member(group, name)
            if not isinstance(dataset, h5py.Dataset):
                raise FormatError(f"{file.path}: the layer {layer} has no weight {name}; copy or download it again")
            taken.add(h5py.h5o.get_info(dataset.id).addr)
            place = f"{group.name}/{name}".lstrip("/")
            own = name.removesuffix(":0")
            full = own if layer == _MODEL else _full_name(layer, own)
            contents.stored.append(Stored(full, place, layer, dataset))
            whole &= full == own
    for dataset in file.datasets():
        if h5py.h5o.get_info(dataset.id).addr not in taken:
            contents.add_aside(dataset.name.lstrip("/"))
    if whole:
        contents.layers.update(layers)
    return contents


def _full_name(layer: str, name: str) -> str:
    """Return a weight's name with the containers that it lies in.

    The group of a layer itself has weights called ``scopes/layer/kernel``, that of a container any others. A layer's
    own name may have slashes.
    """
    return name if f"/{layer}/" in f"/{name}" else f"{layer}/{name}"


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
