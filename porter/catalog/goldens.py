"""What golden/ records of each original network: its variables, its graph, its logits and endpoints.

golden/record.py wrote these files by running the authors' own code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from porter.catalog.families import golden_path
from porter.catalog.seeded_weights import seeded
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW_SUFFIX


@dataclass(frozen=True)
class Recorded:
    """One golden. Shapes are in TensorFlow's axis order."""

    name: str
    path: Path
    recipe: dict[str, Any]

    @property
    def model(self) -> str:
        """The architecture, where the golden is not of its own input size; else the golden's name."""
        return str(self.recipe.get("model", self.name))

    @property
    def input_size(self) -> int:
        return int(self.recipe["input_size"])

    @property
    def num_classes(self) -> int:
        return int(self.recipe["num_classes"])

    @property
    def variables(self) -> dict[str, tuple[int, ...]]:
        """The inference graph's variables and their shapes, in graph order."""
        return {name: tuple(shape) for name, shape in self.recipe["eval_variables"]}

    @property
    def training_variables(self) -> dict[str, tuple[int, ...]]:
        """The variables that only the training graph has, and their shapes."""
        return {name: tuple(shape) for name, shape in self.recipe["train_only_variables"]}

    @property
    def all_variables(self) -> dict[str, tuple[int, ...]]:
        """The variables of both graphs, and their shapes."""
        return self.variables | self.training_variables

    @property
    def endpoint_shapes(self) -> dict[str, tuple[int, ...]]:
        """The endpoints in graph order, without the batch."""
        return {name: tuple(shape) for name, shape in self.recipe["endpoints"].items()}

    def values(self) -> dict[str, np.ndarray]:
        """Return the recorded arrays, as golden/record.py names them."""
        with np.load(self.path / "golden.npz", allow_pickle=False) as stored:
            return dict(stored)

    @property
    def graph(self) -> Path:
        """The file of the inference GraphDef, gzipped, its variables not frozen."""
        return self.path / "graph.pb.gz"


@cache
def recorded(name: str) -> Recorded:
    """Return the golden ``name``; raises PorterError where there is none."""
    path = golden_path(name)
    try:
        recipe = json.loads((path / "variables.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PorterError(f"there is no golden {path}: record one with golden/record.py {name}") from None
    return Recorded(name, path, recipe)


def seeded_checkpoint(golden: Recorded) -> Checkpoint:
    """Return the name-seeded weights with which a golden was recorded, as a TensorFlow checkpoint."""
    return Checkpoint(golden.path, "name-seeded weights", seeded_entries(golden))


def seeded_entries(golden: Recorded, training: bool = False) -> dict[str, Entry]:
    """Return the name-seeded weights with which ``golden`` was recorded, those of its training graph too if asked."""
    shapes = golden.all_variables if training else golden.variables
    entries = {}
    for name, shape in shapes.items():
        if name == "global_step":
            entries[name] = Entry((), np.dtype(np.int64), lambda: np.asarray(0, np.int64))
            continue
        entries[name] = _entry(golden, name, shape, 1.0)
        if training:
            entries[name + SHADOW_SUFFIX] = _entry(golden, name, shape, 1.01)
    return entries


def _entry(golden: Recorded, name: str, shape: tuple[int, ...], factor: float) -> Entry:
    salt, gain = golden.recipe["salt"], golden.recipe["gain"]

    def load() -> np.ndarray:
        values = seeded(name, shape, salt, gain)
        return values if factor == 1 else values * np.float32(factor)

    return Entry(shape, np.dtype(np.float32), load)
