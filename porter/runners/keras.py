"""KerasRunner: runs a Keras model and reads the endpoints of its table."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import keras
import numpy as np

from porter.errors import PorterError
from porter.mapping.stored_names import layer_name
from porter.mapping.table import Table
from porter.nets.variables_keras import without_values
from porter.runners.runner import PRECISIONS, Runner, in_graph_order

Weights = list[tuple[keras.Variable, keras.Variable]]
"""The weights of a copy, each with the one whose value it takes."""


class KerasRunner(Runner):
    """Runs ``model``, porter's or any other with the table's layer names in ``dialect``.

    float64 is reliable on Keras' TensorFlow backend only: Keras 3.15 computes several ops in float32 on the others
    (keras/src/backend/common/dtypes.py gives float32 as the result type of float64).
    Raises PorterError where the model has no inputs, because its layers cannot be read.
    """

    label = "Keras"
    precisions = PRECISIONS if keras.backend.backend() == "tensorflow" else ("float32",)

    def __init__(self, model: keras.Model, table: Table, dialect: str = "keras") -> None:
        if not getattr(model, "inputs", None):
            raise PorterError(
                f"{model.name} is a keras.Model without inputs, so its layers cannot be read: build a functional or "
                "Sequential model with an Input, or a function that returns {endpoint: array}"
            )
        self.model = model
        self.table = table
        self.dialect = dialect
        self.endpoints: dict[str, tuple[keras.Model, Weights | None]] = {}

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        wanted, given = tuple(self.model.inputs[0].shape[1:3]), images.shape[1:3]
        if len(wanted) == 2 and any(side not in (None, other) for side, other in zip(wanted, given, strict=True)):
            wants, has = ("x".join(map(str, sides)) for sides in (wanted, given))
            raise PorterError(f"{self.model.name} takes images of {wants}, not {has}: give images of that size")
        model, weights = self._with_endpoints(images.dtype.name)
        with nullcontext() if weights is None else keras.StatelessScope(weights, initialize_variables=False):
            outputs = model(images, training=False)
        return in_graph_order({name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}, self.table)

    def _with_endpoints(self, precision: str) -> tuple[keras.Model, Weights | None]:
        """Return the model in ``precision`` with every endpoint as an output, and a copy's weights."""
        if precision not in self.endpoints:
            model, weights = in_precision(self.model, precision)
            layers = {layer.name: layer for layer in model.layers}
            # By name, not by path: a copied or loaded model drops the scopes of its layers' names.
            places = {endpoint.name: endpoint.where.get(self.dialect, "") for endpoint in self.table.endpoints}
            where = {name: layer_name(place) for name, place in places.items()}
            outputs = {name: layers[layer].output for name, layer in where.items() if layer in layers}
            # A Sequential model has no .input.
            inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
            self.endpoints[precision] = keras.Model(inputs, outputs), weights
        return self.endpoints[precision]


def in_precision(model: keras.Model, precision: str) -> tuple[keras.Model, Weights | None]:
    """Return ``model``, or a copy of it that computes in ``precision``, and its weights beside those of ``model``.

    The copy has no values of its own: to make variables costs more time than all else of it.
    """
    if {str(variable.dtype) for variable in model.trainable_variables} == {precision}:
        return model, None
    try:
        with without_values():
            copy = _copied(model, precision)
    except (TypeError, ValueError):  # there, Keras refuses a layer that makes a variable of values
        copy = _copied(model, precision)
    return copy, list(zip(copy.weights, model.weights, strict=True))  # the copy keeps the model's order


def _copied(model: keras.Model, precision: str) -> keras.Model:
    copy: keras.Model = type(model).from_config(_with_dtype(model.get_config(), precision))
    return copy


def _with_dtype(config: Any, precision: str) -> Any:
    """Return a model's configuration with ``precision`` as the dtype of every layer.

    Initializers become zeros: the copy needs none, and a user's own may not be registered.
    """
    if isinstance(config, list | tuple):
        return type(config)(_with_dtype(item, precision) for item in config)
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return config | {"config": {"name": precision}}
    changed = {key: _with_dtype(value, precision) for key, value in config.items()}
    changed |= {key: "zeros" for key, value in config.items() if key.endswith("_initializer") and value is not None}
    return changed | ({"dtype": precision} if isinstance(config.get("dtype"), str) else {})
