"""Runs a PyTorch module and reads its endpoints where the table says they are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from porter.mapping import Table
from porter.runners import PRECISIONS, in_graph_order


class TorchRunner:
    """A runner of ``module``, ours or anybody's with the same names, in either precision.

    The module keeps its own dtype: it is widened for a run and restored behind it, which loses nothing.
    """

    precisions = PRECISIONS

    def __init__(self, module: nn.Module, table: Table) -> None:
        self.module = module
        self.table = table

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        modules = dict(self.module.named_modules())
        outputs: dict[str, np.ndarray] = {}
        hooks = []
        for endpoint in self.table.endpoints:
            path = endpoint.where.get("torch")
            if path in modules:
                hooks.append(modules[path].register_forward_hook(partial(_keep, outputs, endpoint.name)))
        parameter = next(self.module.parameters(), torch.zeros(()))
        dtype, device = parameter.dtype, parameter.device
        try:
            images = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).to(device)
            self.module.to(images.dtype)
            with torch.inference_mode():
                self.module(images)
        finally:
            for hook in hooks:
                hook.remove()
            self.module.to(dtype)
        return in_graph_order(outputs, self.table)


def _keep(outputs: dict[str, np.ndarray], name: str, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
    # A copy, because a foreign module may go on in place.
    values = output.detach().cpu().numpy().copy()
    outputs[name] = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values
