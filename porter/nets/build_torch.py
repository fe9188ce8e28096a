"""Builds a PyTorch network and fills it by name."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from porter.catalog.models import Arch
from porter.files.ahead import ahead
from porter.formats.checkpoint import Checkpoint
from porter.mapping.relayout import in_c_order
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
    with _Undrawn() if tensors is not None else nullcontext():
        module: nn.Module = arch.builder("torch")(num_classes=classes, **{**arch.options, **options})
    module.to(getattr(torch, dtype or common_dtype(tensors)))
    if tensors is not None:
        filled = fill(module, table, tensors)
        unfilled = [name for name, _ in module.named_parameters() if name not in filled]  # a head that the file lacks
        for layer in dict.fromkeys(name.rpartition(".")[0] for name in unfilled):
            module.get_submodule(layer).reset_parameters()  # type: ignore[operator]
    return module.eval()


class _Undrawn(TorchFunctionMode):
    """Leaves parameters without their random values: drawing a VGG's takes a third of the time of loading it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return kwargs["tensor"] if func in (nn.init.kaiming_uniform_, nn.init.uniform_) else func(*args, **kwargs)


@torch.no_grad()
def fill(module: nn.Module, table: Table, tensors: Checkpoint, dialect: str = "torch") -> set[str]:
    """Copy ``tensors`` into the parameters and buffers of the same names, in any module with names of ``dialect``.

    Returns these names.

    Raises MappingError, and copies nothing, where a tensor is missing, left over or of another shape.
    """
    state = module.state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    places = fitting(table, dialect, tensors, shapes)
    for name, values in zip(places, ahead(tensors.__getitem__, places.values(), tensors.threads), strict=True):
        # A file's memory may be read-only, which PyTorch does not support.
        state[name].copy_(torch.from_numpy(np.require(in_c_order(values), requirements=["W"])))
    return set(places)
