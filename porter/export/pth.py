"""Writes .pth, PyTorch's state dict, which has no place for facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from porter.export.output import Output
from porter.files.installed import require_package


def write_pth(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as a state dict, and return each tensor's SHA-256."""
    require_package("torch", "torch", f"writing {path.name}")
    import torch

    state: dict[str, Any] = {}
    digests: dict[str, str] = {}
    for name, values in output.in_turn(list(output.tensors), digests):
        tensor = torch.from_numpy(np.require(values, requirements=["W"]))
        state[name] = tensor.view(torch.bfloat16) if output.is_bfloat16(name) else tensor
    output.require_room(path.parent)
    try:
        torch.save(state, path)
    except RuntimeError as error:  # PyTorch raises it for a disk that fills up
        raise OSError(f"PyTorch's writer failed ({str(error).splitlines()[0]})") from error
    return digests
