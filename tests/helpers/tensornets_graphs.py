"""TensorNets' networks in TensorFlow, with stand-ins for what TensorFlow has since removed."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from recorders.slim import compared_by_identity

_REMOVED = {
    "applications": None,
    "applications.imagenet_utils": "decode_predictions",
    "utils": None,
    "utils.data_utils": "get_file",
}
"""Modules below tensorflow.python.keras, with the function that TensorNets takes from each but never calls here."""


class Graph(NamedTuple):
    """A network in TensorFlow's current graph: its images and its predictions, which TensorFlow has as tensors."""

    tf: Any
    images: Any
    predictions: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The variables in the order of TensorNets' .npz files, by their names without the scope before them."""
        found = self.tf.compat.v1.global_variables()
        scope = found[0].op.name.partition("/")[0] + "/"
        return {each.op.name.removeprefix(scope): each for each in found}


@contextmanager
def _built(network: str, size: int, classes: int) -> Iterator[Graph]:
    """Build the function ``network`` of TensorNets for images of ``size`` x ``size``."""
    tf: Any = pytest.importorskip("tensorflow")
    normalization: Any = pytest.importorskip("tf_keras.src.legacy_tf_layers.normalization")
    for name, function in _REMOVED.items():
        stand_in = ModuleType(f"tensorflow.python.keras.{name}")
        if function is not None:
            vars(stand_in)[function] = None
        sys.modules.setdefault(stand_in.__name__, stand_in)
    sys.modules.setdefault("tf_keras.legacy_tf_layers.normalization", normalization)
    with tf.Graph().as_default(), warnings.catch_warnings(), compared_by_identity():
        warnings.simplefilter("ignore")
        images = tf.compat.v1.placeholder(tf.float32, [None, size, size, 3])
        yield Graph(tf, images, getattr(importlib.import_module("tensornets"), network)(images, classes=classes))


def variables(network: str, size: int, classes: int) -> list[tuple[str, tuple[int, ...]]]:
    """Return names and shapes of a network's variables in the order of its .npz files."""
    with _built(network, size, classes) as graph:
        return [(name, tuple(int(side) for side in each.shape)) for name, each in graph.variables.items()]


def logits(network: str, tensors: Mapping[str, np.ndarray], images: np.ndarray, classes: int) -> np.ndarray:
    """Return what a network with all of ``tensors`` computes before its softmax."""
    with _built(network, images.shape[1], classes) as graph, graph.tf.compat.v1.Session() as session:
        found = graph.variables
        assert found.keys() == set(tensors)
        # In one run: TensorFlow plans each run of other operations anew, from the whole graph.
        starts = {name: variable.initializer for name, variable in found.items()}
        session.run(list(starts.values()), {start.inputs[1]: tensors[name] for name, start in starts.items()})
        op = graph.predictions.op
        while op.type != "Softmax":
            op = op.inputs[0].op
        return np.asarray(session.run(op.inputs[0], {graph.images: images})).reshape(len(images), classes)
