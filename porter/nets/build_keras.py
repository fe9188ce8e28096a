"""Builds a Keras network and fills it by name."""

from __future__ import annotations

from typing import Any

import keras

from porter.catalog.models import Arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.table import Table
from porter.nets.filling import common_dtype, fitting, head_classes, image_options


def build(
    arch: Arch,
    tensors: Checkpoint | None,
    num_classes: int | None,
    dtype: str | None = None,
    input_size: int | None = None,
    in_channels: int | None = None,
    **options: Any,
) -> keras.Model:
    """Return the network, filled with all of ``tensors``.

    Without ``tensors`` the weights are Keras' initial ones. ``dtype`` defaults to that of ``tensors``, ``num_classes``
    to that of their head; 0 classes end at the features. ``input_size`` is the side of the square images in pixels,
    by default the model's own. ``in_channels`` are those of the images, by default those that ``tensors`` are for.

    Raises MappingError where a tensor is missing, left over or of another shape.
    """
    table = Table.of(arch)
    model: keras.Model = arch.builder("keras")(
        num_classes=head_classes(arch, table, "keras", tensors, num_classes),
        dtype=dtype or common_dtype(tensors),
        input_size=input_size or arch.input_size,
        **{**arch.options, **options, **image_options(table, "keras", tensors, in_channels)},
    )
    if tensors is not None:
        fill(model, table, tensors)
    return model


def fill(model: keras.Model, table: Table, tensors: Checkpoint, dialect: str = "keras") -> None:
    """Assign ``tensors`` to the variables of the same names, in any model with names of ``dialect``.

    Raises MappingError, and assigns nothing, where a tensor is missing, left over or of another shape.
    """
    variables = {variable.path: variable for variable in model.variables}
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    for name, stored in fitting(table, dialect, tensors, shapes).items():
        variables[name].assign(tensors[stored])
