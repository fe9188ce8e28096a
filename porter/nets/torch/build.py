"""Builds a PyTorch network and fills it by name."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import torch
from torch import nn

from porter.archs import Arch
from porter.checkpoint import Checkpoint
from porter.errors import MappingError, PorterError, listing
from porter.mapping import Table


def build(arch: Arch, tensors: Checkpoint | None, num_classes: int | None, **options: object) -> nn.Module:
    """Return the network in eval mode, in the dtype of ``tensors``, every one of which is used.

    Without ``tensors`` the weights are PyTorch's initial ones. The number of classes follows the head.
    Raises MappingError where a tensor is missing, left over or of another shape.
    """
    module_name, function = arch.builders["torch"].split(":")
    builder = getattr(import_module(module_name), function)
    table = Table.load(arch.table)
    if tensors is not None:
        num_classes = _classes(arch, table, tensors, num_classes)
    module: nn.Module = builder(num_classes=num_classes or arch.num_classes, **{**arch.options, **options})
    if tensors is not None:
        _fill(module, table, tensors)
    return module.eval()


def _classes(arch: Arch, table: Table, tensors: Checkpoint, asked: int | None) -> int:
    """Return the head's number of classes, which must be the one asked for."""
    heads = [pair for pair in table.pairs("torch", "torch") if pair.head]
    found = tensors.entries[heads[0].source].shape[0] if heads[0].source in tensors.entries else None
    if found is None:
        raise MappingError(_not_torch(arch, table, tensors, heads[0].source))
    if asked is not None and found != asked:
        raise PorterError(
            f"{tensors.path}: the head has another shape than the target's: {heads[0].source} has {found} classes, "
            f"not {asked}; leave num_classes out to take the file's"
        )
    return found


def _not_torch(arch: Arch, table: Table, tensors: Checkpoint, missing: str) -> str:
    for dialect in table.dialects:
        if dialect != "torch" and any(pair.source in tensors for pair in table.pairs(dialect, dialect)):
            return (
                f"{tensors.path} has the names of the dialect {dialect}: "
                f"run `port {arch.name} --from {dialect} --to torch` on it first"
            )
    return f"{tensors.path} has no tensor {missing}: it does not hold the weights of {arch.name}"


def _fill(module: nn.Module, table: Table, tensors: Checkpoint) -> None:
    state = {name: value for name, value in module.state_dict().items() if not table.ignored("torch", name)}
    missing = [name for name in state if name not in tensors]
    if missing:
        raise MappingError(f"{tensors.path} lacks {len(missing)} tensors of the network:{listing(missing)}")
    extra = [name for name in tensors if name not in state and not table.ignored("torch", name)]
    if extra:
        raise MappingError(f"{tensors.path} has {len(extra)} tensors that the network lacks:{listing(extra)}")
    dtypes = {str(entry.dtype) for entry in tensors.entries.values() if entry.dtype.kind == "f"}
    if len(dtypes) == 1:
        module.to(getattr(torch, dtypes.pop()))
        state = module.state_dict()
    with torch.no_grad():
        for name, entry in tensors.entries.items():
            if table.ignored("torch", name):
                continue
            if tuple(state[name].shape) != entry.shape:
                raise MappingError(
                    f"{tensors.path}: {name} has shape {entry.shape}, the network's is {tuple(state[name].shape)}: "
                    "name the model that the file belongs to"
                )
            # A file's memory is read-only, which PyTorch does not know.
            state[name].copy_(torch.from_numpy(np.require(entry.load(), requirements=["C", "W"])))
