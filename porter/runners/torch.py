"""TorchRunner: runs a PyTorch module and reads the endpoints of its table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from porter.mapping.table import Table
from porter.runners.runner import Runner, in_graph_order


class TorchRunner(Runner):
    """Runs ``module``, porter's or any other with the table's names in ``dialect``, in either precision.

    The module runs in eval mode and in the images' dtype, without ``onednn`` on PyTorch's own kernels. A run leaves the
    module unchanged.
    """

    label = "PyTorch"

    def __init__(self, module: nn.Module, table: Table, dialect: str = "torch", onednn: bool = True) -> None:
        self.module = module
        self.table = table
        self.dialect = dialect
        self.onednn = onednn

    @property
    def plain(self) -> TorchRunner | None:
        """The same without oneDNN, which rounds more on some processors: docs/architecture.md has an example."""
        return TorchRunner(self.module, self.table, self.dialect, onednn=False) if self.onednn else None

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        nchw = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        modules = dict(self.module.named_modules())
        outputs: dict[str, np.ndarray] = {}
        hooks = []
        try:
            for endpoint in self.table.endpoints:
                path = endpoint.where.get(self.dialect)
                if path in modules:
                    hooks.append(modules[path].register_forward_hook(partial(_keep, outputs, endpoint.name)))
            with self._kernels(), evaluating(self.module, nchw.dtype), torch.inference_mode():
                self.module(nchw.to(next(self.module.parameters(), nchw).device))
        finally:
            for hook in hooks:
                hook.remove()
        return in_graph_order(outputs, self.table)

    def _kernels(self) -> AbstractContextManager[None]:
        if self.onednn:
            return nullcontext()
        # The other two keep what they are: PyTorch warns where they are set.
        return torch.backends.mkldnn.flags(enabled=False, allow_tf32=None, fp32_precision=None)  # type: ignore[arg-type, no-any-return]


@contextmanager
def evaluating(module: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Keep ``module`` in eval mode and in ``dtype``, then restore its tensors and modes.

    A copy would be simpler, but a module may hold functions bound to its own parts.
    """
    tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
    own = [tensor.data for tensor in tensors]
    modes = [(part, part.training) for part in module.modules()]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.to(dtype)
        module.eval()
        yield
    finally:
        for tensor, data in zip(tensors, own, strict=True):
            tensor.data = data
        for part, training in modes:
            part.training = training


def _keep(outputs: dict[str, np.ndarray], name: str, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
    # A copy, because the next layer may work in place.
    values = output.detach().cpu().numpy().copy()
    outputs[name] = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values
