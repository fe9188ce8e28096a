"""Contents: what a reader of Keras' files finds, by name. Every data set becomes a tensor, a role or a note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import h5py

from porter.errors import first_of
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.keras.hdf5 import dataset_entry
from porter.formats.roles import role_in_keras

UNLISTED = "unlisted data set"
"""The role of a data set that no layer of its file claims."""


class Stored(NamedTuple):
    """One tensor: its name, its place in the file, and the outermost layer that it belongs to."""

    name: str
    place: str
    layer: str
    dataset: h5py.Dataset


@dataclass
class Contents:
    """What a file holds. ``asides`` maps the places of everything but weights to its role.

    The other fields collect layers for the notes: those without a name, those whose tensors have no known order, those
    whose class the file does not state, those whose automatic name replaces their attribute, and ``{attribute: name}``
    of those that call themselves otherwise. ``layers`` are the names of all layers, those without weights too, as far
    as the file states them.
    """

    path: Path
    stored: list[Stored] = field(default_factory=list)
    asides: dict[str, str] = field(default_factory=dict)
    unnamed: list[str] = field(default_factory=list)
    unordered: list[str] = field(default_factory=list)
    unclassed: list[str] = field(default_factory=list)
    automatic: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    layers: set[str] = field(default_factory=set)

    def add_aside(self, place: str, role: str | None = None) -> None:
        """Keep a data set by its role, which Keras' place for it tells unless it is given."""
        self.asides[place] = role or role_in_keras(place) or UNLISTED

    def checkpoint(self, kind: str, listed: tuple[Collection[str], Collection[str]] | None) -> Checkpoint:
        """Return the contents as a checkpoint.

        ``listed`` holds the outermost layers of the file's config, and the layers at any depth that must have weights.
        Tensors that share a name are called by their places, so that none replaces another.
        """
        counts = Counter(stored.name for stored in self.stored)
        twice = {stored.name for stored in self.stored if counts[stored.name] > 1}
        entries: dict[str, Entry] = {}
        for stored in self.stored:
            name = stored.place if stored.name in twice else stored.name
            entries[name] = dataset_entry(stored.dataset, self.path, name)
        notes = (*self._notes(twice), *(self._unlike(*listed) if listed else ()))
        return Checkpoint(
            self.path,
            kind,
            entries,
            self.asides,
            notes=notes,
            layers=None if self.unnamed else frozenset(self.layers) or None,
            named=not self.unnamed,
        )

    def _notes(self, twice: Collection[str]) -> Iterable[str]:
        """Yield a sentence for everything about the names that the file leaves open."""
        if self.unnamed:
            yield (
                f"the file states no name of {_layers(self.unnamed)}: save it as .h5, which names all layers, or with "
                "a newer Keras"
            )
        if self.unordered:
            yield (
                f"porter knows no order for the tensors of {_layers(self.unordered)}, and calls them by number: save "
                "the model as .keras or .h5"
            )
        if self.unclassed:
            yield (
                f"the class of {_layers(self.unclassed)} is not in the file, or not one of Keras': porter takes their "
                "tensors in the order of Conv2D, Dense and BatchNormalization"
            )
        if self.automatic:
            yield (
                f"Keras chose the names of {_layers(self.automatic)}, and the file does not have their attributes: "
                "name the layers in the model's code"
            )
        if twice:
            yield f"layers share the names of {_some('tensor', sorted(twice))}: porter calls these by their places"
        chosen = {stored.name.rpartition("/")[0] for stored in self.stored}
        clash = [attribute for attribute in self.renamed if attribute in chosen]
        if clash:
            shown = ", ".join(f"{name} is {self.renamed[name]}" for name in clash[:3])
            yield f"attributes and names of layers differ (the attribute {shown}): porter goes by the names"

    def _unlike(self, outermost: Collection[str], weighted: Collection[str]) -> Iterable[str]:
        """Yield how the layers with weights differ from those that the config lists."""
        if self.unnamed:
            return
        layers = {part for stored in self.stored for part in stored.name.split("/")[:-1]}
        if missing := [name for name in weighted if name not in layers]:
            yield f"the config lists {_layers(missing)} whose weights the file lacks"
        if surplus := sorted({stored.layer for stored in self.stored} - set(outermost)):
            yield f"the file has weights of {_layers(surplus)} that its config does not list"


def _layers(names: Collection[str]) -> str:
    return _some("layer", names)


def _some(noun: str, names: Collection[str]) -> str:
    return first_of(noun, tuple(dict.fromkeys(names)))
