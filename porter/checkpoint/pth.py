"""PyTorch's .pth: a state dict, loaded as weights only, so that nothing in it is executed."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import numpy as np

from porter.checkpoint.entry import Checkpoint, Entry
from porter.errors import FormatError, MissingPackageError


def read_pth(path: Path) -> Checkpoint:
    """Read the state dict in a .pth file. Raises FormatError where it holds anything but tensors."""
    try:
        import torch
    except ImportError:
        raise MissingPackageError(f"{path} is PyTorch's: reading it needs pip install 'porter[torch]'") from None
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # about archives that are refused in the next line
            # torch.load takes any path of this suffix for a safetensors file, and maps paths only.
            misnamed = path.name.endswith(".safetensors")
            state = torch.load(file if misnamed else path, map_location="cpu", weights_only=True, mmap=not misnamed)
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
    for name, tensor in state.items():
        try:
            dtype = values(tensor.new_empty(0)).dtype
        except (RuntimeError, TypeError):
            raise FormatError(
                f"{path}: {name} is {tensor.dtype} in {tensor.layout}, which porter does not read yet: "
                "save it as a dense float32"
            ) from None
        entries[name] = Entry(tuple(tensor.shape), dtype, partial(values, tensor))
    return Checkpoint(path, "PyTorch state dict", entries)
