"""PyTorch's .pth: a state dict, loaded as weights only, so that nothing in it is executed."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from porter.checkpoint.dtypes import unread
from porter.checkpoint.entry import Checkpoint, Entry
from porter.errors import FormatError, MissingPackageError

if TYPE_CHECKING:
    import torch


def read_pth(path: Path) -> Checkpoint:
    """Read the state dict in a .pth file, the zip of PyTorch 1.6 or the pickles before it; nothing else is in it.

    Raises FormatError.
    """
    try:
        import torch
    except ImportError:
        raise MissingPackageError(f"{path} is PyTorch's: reading it needs pip install 'porter[torch]'") from None
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # about archives that are refused in the next line
            # torch.load takes any path of this suffix for a safetensors file, and maps paths only.
            misnamed = path.name.endswith(".safetensors")
            mapped = not misnamed and file.read(2) == b"PK"
            file.seek(0)
            state = torch.load(file if misnamed else path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception:  # a damaged pickle can lead to any; PyTorch's messages tell how to run what a file pickles
        raise FormatError(
            f"{path} is damaged, or pickles more than tensors, which porter does not run: "
            "copy it again or save model.state_dict()"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise FormatError(f"{path} does not hold a state dict, tensors by name: save model.state_dict()")

    def values(tensor: torch.Tensor) -> np.ndarray:
        # numpy has no bfloat16; float32 holds each of its values.
        array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)
        return array

    entries = {}
    asides = {}
    for name, tensor in state.items():
        try:
            dtype = values(tensor.new_empty(0)).dtype
        except (RuntimeError, TypeError):
            asides[name] = _why_not(tensor)
            continue
        entries[name] = Entry(tuple(tensor.shape), dtype, partial(values, tensor))
    return Checkpoint(path, "PyTorch state dict", entries, asides)


def _why_not(tensor: torch.Tensor) -> str:
    """Return the role of a tensor that numpy has no array for."""
    for what in (tensor.layout, tensor.device):
        if str(what) not in ("torch.strided", "cpu"):
            return f"tensor that is {str(what).removeprefix('torch.')}"
    return unread(str(tensor.dtype).removeprefix("torch."))
