"""Builds a Keras network and fills it by name."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from porter.catalog.models import Arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.table import Table
from porter.nets.filling import common_dtype, fitting, head_classes, image_options
from porter.nets.variables_keras import give_values, without_values


def build(arch: Arch, tensors: Checkpoint | None, num_classes: int | None, **options: Any) -> keras.Model:
    """Return the network, filled with all of ``tensors``; without them the weights are Keras' initial ones.

    ``options`` are those of `_network`. Raises MappingError where a tensor is missing, left over or of another shape.
    """
    if tensors is None:
        return _network(arch, tensors, num_classes, **options)
    with without_values():
        model = _network(arch, tensors, num_classes, **options)
    stored = fitting(Table.of(arch), "keras", tensors, _shapes(model))
    give_values(model, {name: partial(tensors.__getitem__, there) for name, there in stored.items()})
    return model


def build_unfilled(arch: Arch, tensors: Checkpoint, **options: Any) -> tuple[keras.Model, dict[str, keras.Variable]]:
    """Return the network for ``tensors``, and the variables of its layers by the tensors' names, in their order.

    No variable has a value, or ever takes memory. Raises MappingError as `build`.
    """
    with without_values():
        model = _network(arch, tensors, None, **options)
    stored = fitting(Table.of(arch), "keras", tensors, _shapes(model))
    weights = [variable for layer in model.layers for variable in layer.weights]
    return model, {stored[variable.path]: variable for variable in weights}


def _network(
    arch: Arch,
    tensors: Checkpoint | None,
    num_classes: int | None,
    dtype: str | None = None,
    input_size: int | None = None,
    in_channels: int | None = None,
    **options: Any,
) -> keras.Model:
    """Return the network for ``tensors``, not filled.

    ``dtype`` defaults to that of ``tensors``, ``num_classes`` to that of their head; 0 classes end at the features.
    ``input_size`` is the side of the square images in pixels, by default the model's own. ``in_channels`` are those of
    the images, by default those that ``tensors`` are for.
    """
    table = Table.of(arch)
    model: keras.Model = arch.builder("keras")(
        num_classes=head_classes(arch, table, "keras", tensors, num_classes),
        dtype=dtype or common_dtype(tensors),
        input_size=input_size or arch.input_size,
        **{**arch.options, **options, **image_options(table, "keras", tensors, in_channels)},
    )
    return model


def _shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {variable.path: tuple(variable.shape) for variable in model.variables}


def fill(model: keras.Model, table: Table, tensors: Checkpoint, dialect: str = "keras") -> None:
    """Assign ``tensors`` to the variables of the same names, in any model with names of ``dialect``.

    Raises MappingError, and assigns nothing, where a tensor is missing, left over or of another shape.
    """
    variables = {variable.path: variable for variable in model.variables}
    for name, stored in fitting(table, dialect, tensors, _shapes(model)).items():
        variables[name].assign(tensors[stored])
