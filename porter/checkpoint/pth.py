"""PyTorch's .pth: a state dict, loaded as weights only, so that nothing in it is executed."""

from __future__ import annotations

import pickle
import warnings
from functools import partial
from pathlib import Path
from typing import Any

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about archives that are refused in the next line
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:  # its message tells how to run the file's code all the same
        raise FormatError(
            f"{path} is damaged or pickles more than tensors, which porter does not run; save model.state_dict()"
        ) from None
    except Exception as error:  # a damaged pickle can lead to any
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(f"{path} is not a PyTorch file of weights alone ({reason}); save the state dict") from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise FormatError(f"{path} does not hold a state dict, tensors by name; save model.state_dict()")
    entries = {}
    for name, tensor in state.items():
        try:
            dtype = _values(tensor.new_empty(0)).dtype
        except (RuntimeError, TypeError):
            raise FormatError(
                f"{path}: {name} is a {tensor.layout} tensor of {tensor.dtype}, which porter does not read yet; "
                "save it dense, as float32"
            ) from None
        entries[name] = Entry(tuple(tensor.shape), dtype, partial(_values, tensor))
    return Checkpoint(path, "PyTorch state dict", entries)


def _values(tensor: Any) -> np.ndarray:
    # numpy has no bfloat16; float32 holds each of its values.
    values: np.ndarray = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy(force=True)
    return values
