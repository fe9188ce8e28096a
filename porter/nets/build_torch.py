"""Builds a PyTorch network and fills it by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from porter.catalog.models import Arch
from porter.files.ahead import ahead
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
) -> nn.Module:
    """Return the network in eval mode, filled with all of ``tensors``.

    Without ``tensors`` the weights are PyTorch's initial ones. ``dtype`` defaults to that of ``tensors``,
    ``num_classes`` to that of their head; 0 classes end at the features. The networks take images of any size: only
    the table's optional parts depend on ``input_size``, the side in pixels, by default the model's own.
    ``in_channels`` are those of the images, by default those that ``tensors`` are for.

    Raises MappingError where a tensor is missing, left over or of another shape.
    """
    table = Table.of(arch)
    classes = head_classes(arch, table, "torch", tensors, num_classes)
    if any(options.get(part) for part in table.parts):
        options["input_size"] = input_size or arch.input_size
    options |= image_options(table, "torch", tensors, in_channels)
    module: nn.Module = arch.builder("torch")(num_classes=classes, **{**arch.options, **options})
    module.to(getattr(torch, dtype or common_dtype(tensors)))
    if tensors is not None:
        fill(module, table, tensors)
    return module.eval()


@torch.no_grad()
def fill(module: nn.Module, table: Table, tensors: Checkpoint, dialect: str = "torch") -> None:
    """Copy ``tensors`` into the parameters and buffers of the same names, in any module with names of ``dialect``.

    Raises MappingError, and copies nothing, where a tensor is missing, left over or of another shape.
    """
    state = module.state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    places = fitting(table, dialect, tensors, shapes)
    for name, values in zip(places, ahead(tensors.__getitem__, places.values(), tensors.threads), strict=True):
        # A file's memory may be read-only, which PyTorch does not support.
        state[name].copy_(torch.from_numpy(np.require(values, requirements=["C", "W"])))
