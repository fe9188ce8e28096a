"""Goldens: each original network's variables, graph, logits and endpoints, as recorded from its authors' own code.

golden/record.py writes them and documents the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from porter.catalog.families import golden_path
from porter.catalog.seeded_weights import seeded
from porter.errors import PorterError
from porter.files.json import read_json
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW_SUFFIX

SHADOW_FACTOR = 1.01
"""A seeded average over its variable: taking one for the other shows."""
DRAWING = 2
"""Threads that draw name-seeded weights: drawing is a tenth of the CPU time of verifying NASNet-A Large."""


@dataclass(frozen=True)
class Recorded:
    """One golden. Shapes are in the original's axis order.

    ``path`` is the golden's folder, ``shared`` the folder with the variables and the graph of its architecture.
    ``recipe`` holds everything recorded besides arrays and graph, with the shapes at this golden's input size.
    """

    name: str
    path: Path
    shared: Path
    recipe: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The model's name; a golden MODEL@SIZE has another input size than its model."""
        return self.name.partition("@")[0]

    @property
    def origin(self) -> str:
        """The original network and its authors' code, for a reader."""
        return str(self.recipe["origin"])

    @property
    def input_size(self) -> int:
        """Height and width of the input, in pixels."""
        return int(self.recipe["input_size"])

    @property
    def num_classes(self) -> int:
        """Classes of the released head, background included."""
        return int(self.recipe["num_classes"])

    @property
    def variables(self) -> dict[str, tuple[int, ...]]:
        """The inference graph's variables and their shapes, in graph order."""
        return self._shapes("eval_variables")

    @property
    def training_variables(self) -> dict[str, tuple[int, ...]]:
        """The variables that only the training graph has, and their shapes."""
        return self._shapes("train_only_variables")

    def _shapes(self, which: str) -> dict[str, tuple[int, ...]]:
        sized = self.recipe.get("variables_at_this_size", {})
        return {name: tuple(sized.get(name, shape)) for name, shape in self.recipe[which]}

    @property
    def all_variables(self) -> dict[str, tuple[int, ...]]:
        """The variables of both graphs, and their shapes."""
        return self.variables | self.training_variables

    @property
    def multiply_adds(self) -> int | None:
        """The multiply-adds of the inference graph for one image, None where they were not recorded."""
        return self.recipe.get("multiply_adds")

    @property
    def endpoint_shapes(self) -> dict[str, tuple[int, ...]]:
        """The endpoints in graph order, without the batch."""
        return {name: tuple(shape) for name, shape in self.recipe["endpoints"].items()}

    def values(self) -> dict[str, np.ndarray]:
        """Return the recorded arrays, under golden/record.py's names."""
        with np.load(self.path / "golden.npz", allow_pickle=False) as stored:
            return dict(stored)

    @property
    def graph(self) -> Path:
        """The architecture's inference GraphDef, gzipped, variables not frozen.

        Its input has the size of the golden in ``shared``; ``load_graph`` returns it at this golden's size.
        """
        return self.shared / "graph.pb.gz"

    def load_graph(self, size: int | None = None, channels: int | None = None) -> Any:
        """Return the inference GraphDef at this golden's input size, variables not frozen.

        Its images have ``channels``, by default the recorded three. Raises PorterError where ``size`` is another one
        than this golden's, which the graph cannot take.
        """
        if size not in (None, self.input_size):
            raise PorterError(
                f"{self.path} has the original's graph for images of {self.input_size}x{self.input_size}, not of "
                f"{size}x{size}: verify against a frozen graph of that size"
            )
        from google.protobuf.json_format import ParseDict
        from tensorboard.compat.proto.attr_value_pb2 import AttrValue

        from porter.formats.tensorflow.source import load_graph

        graph = load_graph(self.graph)
        sized = self.recipe.get("graph_at_this_size", {})
        for node in graph.node:
            for attribute, value in sized.get(node.name, {}).items():
                node.attr[attribute].CopyFrom(ParseDict(value, AttrValue()))
            if channels is not None and node.op == "Placeholder" and len(node.attr["shape"].shape.dim) == 4:
                node.attr["shape"].shape.dim[3].size = channels
        return graph


def recorded(name: str) -> Recorded:
    """Return the golden ``name``. Raises PorterError if there is none, or if its files are damaged."""
    return _read(name, golden_path(name))


@cache
def _read(name: str, path: Path) -> Recorded:
    fields = _fields(path / "golden.json", name)
    architecture = fields.get("architecture", name)
    if not isinstance(architecture, str):
        raise PorterError(f"{path / 'golden.json'} has an architecture that is not a name: record the golden again")
    shared = golden_path(architecture)
    return Recorded(name, path, shared, fields | _fields(shared / "variables.json", architecture))


def _fields(path: Path, name: str) -> dict[str, Any]:
    try:
        fields = read_json(path)
    except FileNotFoundError:
        raise PorterError(f"{path} does not exist: run python golden/record.py {name}") from None
    except (OSError, ValueError) as error:
        raise PorterError(f"{path} cannot be read as JSON ({error}): record the golden {name} again") from None
    if not isinstance(fields, dict):
        raise PorterError(f"{path} is not a JSON object: record the golden {name} again")
    return fields


def seeded_checkpoint(golden: Recorded) -> Checkpoint:
    """Return the name-seeded weights that ``golden`` was recorded with, as a TensorFlow checkpoint."""
    return Checkpoint(golden.path, "name-seeded weights", seeded_entries(golden), threads=DRAWING)


def seeded_entries(
    golden: Recorded, training: bool = False, other_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, Entry]:
    """Return the name-seeded weights that ``golden`` was recorded with.

    With ``training``, add the training graph's variables, and each variable's moving average. ``other_shapes`` are the
    variables of a model that has others than the golden, without its counter of steps.
    """
    shapes = golden.all_variables if training else golden.variables
    if other_shapes is not None:
        shapes = {**other_shapes, **{name: shape for name, shape in shapes.items() if name == "global_step"}}
    entries = {}
    for name, shape in shapes.items():
        if name == "global_step":
            entries[name] = Entry((), np.dtype(np.int64), lambda: np.asarray(0, np.int64))
            continue
        entries[name] = _entry(golden, name, shape, 1.0)
        if training:
            entries[name + SHADOW_SUFFIX] = _entry(golden, name, shape, SHADOW_FACTOR)
    return entries


def _entry(golden: Recorded, name: str, shape: tuple[int, ...], factor: float) -> Entry:
    salt, gain = golden.recipe["salt"], golden.recipe["gain"]

    def load() -> np.ndarray:
        values = seeded(name, shape, salt, gain)
        return values if factor == 1 else values * np.float32(factor)

    return Entry(shape, np.dtype(np.float32), load)
