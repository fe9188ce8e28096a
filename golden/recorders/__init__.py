"""Recorders: one module for each code base of original authors, named by `recorder` in models.toml.

A recorder runs the authors' own code. Its module has two functions: `describe(recipe)` and `measure(recipe)`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Shape = list[int]


class RecordError(Exception):
    """A golden cannot be recorded; the message says what to do."""


@dataclass(frozen=True)
class Recipe:
    """One record of models.toml. ``options`` are the fields that only its recorder knows.

    ``code`` is the folder of the authors' code, where the caller names one: for code that is on no package index.
    """

    recorder: str
    input_size: int
    num_classes: int
    salt: int
    gain: float
    options: Mapping[str, Any] = field(default_factory=dict)
    code: Path | None = None


@dataclass(frozen=True)
class Description:
    """The original network before it runs.

    ``origin`` names the network and its authors' code, for a reader. ``logits_tensor`` is the op of the logits, or of
    the last output; ``outputs`` are the ops of all, where there are several. ``endpoints`` maps each activation to its
    shape without the batch. Variables map names to shapes, in the order of their creation: ``variables`` are in the
    inference graph, ``training_variables`` only in the training graph. ``graph`` is the inference GraphDef (float32,
    variables not frozen), None if the authors' code has no such graph. Shapes are in TensorFlow's axis order.
    """

    origin: str
    logits_tensor: str
    endpoints: dict[str, Shape]
    variables: dict[str, Shape]
    training_variables: dict[str, Shape]
    trainable: list[str]
    graph: Any
    outputs: tuple[str, ...] = ()


class Recorder(Protocol):
    """The two functions of a recorder's module."""

    def describe(self, recipe: Recipe) -> Description:
        """Build the original network and describe it. Raises RecordError."""

    def measure(self, recipe: Recipe) -> dict[str, np.ndarray]:
        """Run the original network with name-seeded weights on the sample images, in float32 and in float64.

        Returns the arrays of golden.npz, see record.py. Raises RecordError.
        """


def find_recorder(name: str) -> Recorder:
    """Import the recorder ``name``. Raises RecordError if no module in this folder has that name."""
    known = [module.name for module in pkgutil.iter_modules(__path__)]
    if name not in known:
        raise RecordError(f"unknown recorder {name}: choose one of {', '.join(known)}, or add recorders/{name}.py")
    recorder: Recorder = importlib.import_module(f"{__name__}.{name}")
    return recorder
