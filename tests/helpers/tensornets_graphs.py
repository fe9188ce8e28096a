"""TensorNets' networks in TensorFlow, with stand-ins for what TensorFlow has since removed."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

import pytest

_REMOVED = {
    "applications": None,
    "applications.imagenet_utils": "decode_predictions",
    "utils": None,
    "utils.data_utils": "get_file",
}
"""Modules below tensorflow.python.keras, with the function that TensorNets takes from each but never calls here."""


def variables(module: str, network: str, size: int, classes: int) -> list[tuple[str, tuple[int, ...]]]:
    """Return names and shapes of a network's variables in the order of its .npz files, without the scope before them.

    ``module`` and ``network`` name the function in tensornets, ``size`` is the side of the images.
    """
    tf: Any = pytest.importorskip("tensorflow")
    normalization: Any = pytest.importorskip("tf_keras.src.legacy_tf_layers.normalization")
    for name, function in _REMOVED.items():
        stand_in = ModuleType(f"tensorflow.python.keras.{name}")
        if function is not None:
            vars(stand_in)[function] = None
        sys.modules.setdefault(stand_in.__name__, stand_in)
    sys.modules.setdefault("tf_keras.legacy_tf_layers.normalization", normalization)
    networks = importlib.import_module(f"tensornets.{module}")
    with tf.Graph().as_default(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = tf.compat.v1.placeholder(tf.float32, [None, size, size, 3])
        getattr(networks, network)(images, classes=classes)
        found = tf.compat.v1.global_variables()
    scope = found[0].op.name.partition("/")[0] + "/"
    return [(each.op.name.removeprefix(scope), tuple(int(side) for side in each.shape)) for each in found]
