"""Runs a PyTorch module and reads its endpoints where the table says they are."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from porter.mapping import Table
from porter.runners import PRECISIONS, in_graph_order


class TorchRunner:
    """A runner of ``module``, ours or anybody's with the same names, in either precision.

    A copy is run, in eval mode and in the pictures' dtype: the module itself stays as it was.
    """

    precisions = PRECISIONS

    def __init__(self, module: nn.Module, table: Table) -> None:
        self.module = module
        self.table = table

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        images = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        module = copy.deepcopy(self.module).eval().to(images.dtype)
        modules = dict(module.named_modules())
        outputs: dict[str, np.ndarray] = {}
        for endpoint in self.table.endpoints:
            path = endpoint.where.get("torch")
            if path in modules:
                modules[path].register_forward_hook(partial(_keep, outputs, endpoint.name))
        with torch.inference_mode():
            parameter = next(module.parameters(), images)
            module(images.to(parameter.device))
        return in_graph_order(outputs, self.table)


def _keep(outputs: dict[str, np.ndarray], name: str, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
    # A copy, because a foreign module may go on in place.
    values = output.detach().cpu().numpy().copy()
    outputs[name] = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values
