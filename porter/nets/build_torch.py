"""Builds a PyTorch network and fills it by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from porter.catalog.models import Arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.table import Table
from porter.nets.filling import common_dtype, fitting, head_classes


def build(
    arch: Arch,
    tensors: Checkpoint | None,
    num_classes: int | None,
    dtype: str | None = None,
    input_size: int | None = None,
    **options: Any,
) -> nn.Module:
    """Return the network in eval mode, filled with ``tensors``, every one of which is used.

    Without ``tensors`` the weights are PyTorch's initial ones. ``dtype`` is that of ``tensors`` where it is left
    out, the number of classes that of the head; 0 classes end at the features. The networks take pictures of any
    size: only the table's optional parts are built for those of ``input_size``, the model's own where it is left out.

    Raises MappingError where a tensor is missing, left over or of another shape.
    """
    table = Table.load(arch.table)
    classes = head_classes(arch, table, "torch", tensors, num_classes)
    if any(options.get(part) for part in table.parts):
        options["input_size"] = input_size or arch.input_size
    module: nn.Module = arch.builder("torch")(num_classes=classes, **{**arch.options, **options})
    module.to(getattr(torch, dtype or common_dtype(tensors)))
    if tensors is not None:
        fill(module, table, tensors)
    return module.eval()


@torch.no_grad()
def fill(module: nn.Module, table: Table, tensors: Checkpoint) -> None:
    """Copy ``tensors`` into the parameters and buffers of the same names: ours or any module with the table's names.

    Raises MappingError, and copies nothing, where a tensor is missing, left over or of another shape.
    """
    state = module.state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    for name, stored in fitting(table, "torch", tensors, shapes).items():
        # A file's memory is read-only, which PyTorch does not know.
        state[name].copy_(torch.from_numpy(np.require(tensors[stored], requirements=["C", "W"])))
