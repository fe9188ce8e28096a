"""Runs a PyTorch module and reads its endpoints where the table says they are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from porter.errors import MappingError
from porter.mapping import Table
from porter.runners import Runner, in_graph_order


def torch_runner(module: nn.Module, table: Table) -> Runner:
    """Return a runner of ``module``, ours or anybody's with the same names; NCHW stays inside.

    The module keeps its own dtype: it is widened for a run and restored behind it, which loses nothing.
    """
    return partial(_run, module, table)


def _run(module: nn.Module, table: Table, pictures: np.ndarray) -> dict[str, np.ndarray]:
    modules = dict(module.named_modules())
    outputs: dict[str, np.ndarray] = {}
    hooks = []
    for endpoint in table.endpoints:
        path = endpoint.where.get("torch")
        if path is None:
            continue
        if path not in modules:
            raise MappingError(f"{type(module).__name__} has no module {path!r} for the endpoint {endpoint.name}")
        hooks.append(modules[path].register_forward_hook(partial(_keep, outputs, endpoint.name)))
    parameter = next(module.parameters())
    try:
        images = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        with torch.inference_mode():
            module.to(images.dtype)(images.to(parameter.device))
    finally:
        for hook in hooks:
            hook.remove()
        module.to(parameter.dtype)
    return in_graph_order(outputs, table)


def _keep(outputs: dict[str, np.ndarray], name: str, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
    # A copy, because a foreign module may go on in place.
    values = output.detach().cpu().numpy().copy()
    outputs[name] = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values
