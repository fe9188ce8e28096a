"""The layout of .keras and .weights.h5: groups for the objects of a model, whose ``vars`` number the tensors.

A group is called by the attribute that holds its object, or, in a list, by its class and number: ``layers/conv2d_1``,
``backbone/layers/dense``. Newer files state each layer's name besides, and a .keras has a config that does. A tensor's
name has the names of the containers, then that of the layer: ``backbone/conv1/kernel``. The name decides, so that no
layers built in another order are swapped. Source: keras/src/saving/saving_lib.py.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import h5py

from porter.errors import FormatError
from porter.formats.keras.config import Layer, is_known, kind_of_name, leaves_of
from porter.formats.keras.contents import Contents, Stored
from porter.formats.keras.hdf5 import H5
from porter.formats.roles import role_in_keras

_VARS = "vars"
_LISTS = ("layers", "_layer_checkpoint_dependencies")
"""The lists of a model's layers; the second name is Keras 2.12's."""


class _Place(NamedTuple):
    """Where a group lies: its ``path``, the names of the containers around it, and what the file says of its object.

    ``attribute`` holds the object in its container, None in a list of layers. ``kind`` is its class as a group spells
    it. ``named`` is false where the file names no layer of a list on the way.
    """

    path: str = ""
    scope: tuple[str, ...] = ()
    name: str | None = None
    attribute: str | None = None
    kind: str | None = None
    config: Layer | None = None
    named: bool = True


def read_numbered(file: H5, config: Layer | None) -> Contents:
    """Return what the file's objects hold; ``config`` describes the model, None if the file has no config.

    Raises FormatError where the file has no objects, or is not safe to read.
    """
    walk = _Walk(file)
    walk.visit(file.root, _Place(config=config))
    if not walk.objects:
        raise FormatError(f"{file.path} is HDF5, but not from Keras: name a .weights.h5 or .h5 that Keras wrote")
    return walk.contents


class _Walk:
    """Visits every group of a file once."""

    def __init__(self, file: H5) -> None:
        self.file = file
        self.contents = Contents(file.path)
        self.seen: set[int] = set()
        self.objects = 0

    def visit(self, group: h5py.Group, place: _Place) -> None:
        """Add the tensors of the object in ``group`` and of all objects in it."""
        address = h5py.h5o.get_info(group.id).addr
        if address in self.seen:
            raise FormatError(f"{self.file.path}: the group {place.path} occurs twice: save the model again")
        self.seen.add(address)
        children = {name: self.file.member(group, name) for name in group}
        stored = children.pop(_VARS, None)
        if isinstance(stored, h5py.Group):
            self.objects += 1
            self._add_variables(stored, place)
        elif stored is not None:
            children[_VARS] = stored
        lists = [name for name in children if name in _LISTS]
        attributes = [name for name in children if name not in _LISTS and not role_in_keras(f"{name}/vars/0")]
        for name, child in children.items():
            path = f"{place.path}/{name}".lstrip("/")
            if isinstance(child, h5py.Dataset):
                self.contents.add_aside(path)
            elif name in _LISTS:
                self._visit_list(child, path, place, subclassed=bool(lists and attributes))
            else:
                self.visit(child, self._attribute(child, name, path, place, isinstance(stored, h5py.Group)))

    def _visit_list(self, group: h5py.Group, path: str, place: _Place, subclassed: bool) -> None:
        """Visit the layers of a model, which the list names by class and number.

        A ``subclassed`` model has the layers there whose attributes come behind the list in the alphabet.
        """
        known = place.config.by_group() if place.config else {}
        scope = _inside(place)
        for name in group:
            child, config = self.file.member(group, name), known.get(name)
            member = f"{path}/{name}"
            if isinstance(child, h5py.Dataset):
                self.contents.add_aside(member)
                continue
            stated = self._stated(child) or (config.name if config else None)
            kind = config.kind if config else re.sub(r"_\d+$", "", name)
            named = place.named and stated is not None
            if subclassed and kind_of_name(stated):
                self.contents.automatic.append(str(stated))
            self.visit(child, _Place(member, scope, stated or name, None, kind, config, named))

    def _attribute(self, group: h5py.Group, name: str, path: str, place: _Place, is_object: bool) -> _Place:
        """Return the place of what an attribute holds, or of a member of the list that an attribute holds."""
        stated = self._stated(group)
        config = place.config.layers[-1] if name == "layer" and place.config and place.config.layers else None
        member = place.attribute is not None and not is_object and stated is not None
        kind = config.kind if config else re.sub(r"_\d+$", "", name) if member else kind_of_name(stated)
        scope = _inside(place)
        return _Place(path, scope, stated, None if member else name, kind, config, place.named)

    def _stated(self, group: h5py.Group) -> str | None:
        """Return the name that the object in ``group`` gives itself."""
        stored = self.file.member(group, _VARS)
        name = self.file.text(stored, "name") if isinstance(stored, h5py.Group) else None
        if name is None:
            return None
        self.contents.layers.add(str(name))
        return str(name)

    def _add_variables(self, stored: h5py.Group, place: _Place) -> None:
        """Add an object's own tensors."""
        path = f"{place.path}/{_VARS}".lstrip("/")
        datasets = {name: self.file.member(stored, name) for name in stored}
        for name in [name for name, each in datasets.items() if not isinstance(each, h5py.Dataset)]:
            self.visit(datasets.pop(name), _Place(f"{path}/{name}", named=False))
        if not datasets:
            return
        if role_in_keras(f"{path}/0"):
            for name in datasets:
                self.contents.add_aside(f"{path}/{name}")
            return
        layer = self._layer(place)
        numbers = sorted((name for name in datasets if name.isdecimal()), key=int)
        leaves = self._leaves(place, layer, [datasets[name] for name in numbers])
        for name, leaf in {
            **dict(zip(datasets, datasets, strict=True)),
            **dict(zip(numbers, leaves, strict=True)),
        }.items():
            full = f"{layer}/{leaf}" if layer else f"{path}/{name}"
            outermost = (full if layer else path).split("/")[0]
            self.contents.stored.append(Stored(full, f"{path}/{name}", outermost, datasets[name]))

    def _layer(self, place: _Place) -> str:
        """Return the name of an object with tensors, "" for the model itself and for a layer without a name."""
        if not place.path:
            return ""
        if not place.named:
            self.contents.unnamed.append(place.path)
            return ""
        if place.attribute is None:
            return "/".join((*place.scope, place.name or ""))
        attribute = "/".join((*place.scope, place.attribute))
        if place.name is None or kind_of_name(place.name):
            return attribute
        name = "/".join((*place.scope, place.name))
        if name != attribute:
            self.contents.renamed[attribute] = name
        return name

    def _leaves(self, place: _Place, layer: str, tensors: list[h5py.Dataset]) -> list[str]:
        """Return the names of an object's numbered tensors, their numbers where the order is unknown."""
        ranks = tuple(len(each.shape or ()) for each in tensors)
        leaves = leaves_of(place.kind, ranks, place.config.settings if place.config else {})
        if leaves is None:
            if layer:
                self.contents.unordered.append(layer)
            return [str(number) for number in range(len(tensors))]
        if layer and not is_known(place.kind):
            self.contents.unclassed.append(layer)
        return list(leaves)


def _inside(place: _Place) -> tuple[str, ...]:
    """Return the names around the objects in ``place``: an attribute's, or the layer's own in a list of layers."""
    own = place.attribute or place.name
    return (*place.scope, own) if own else place.scope
