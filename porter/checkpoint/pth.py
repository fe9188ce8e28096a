"""PyTorch's .pth: a state dict, loaded as weights only, so that nothing in it is executed."""

from __future__ import annotations

import pickle
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
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise FormatError(f"{path} is not a PyTorch file of weights alone ({reason}); save the state dict") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise FormatError(f"{path} does not hold a state dict, tensors by name; save model.state_dict()")
    entries = {}
    for name, tensor in state.items():
        # numpy has no bfloat16; float32 holds each of its values.
        tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        sample = np.empty(0) if tensor.numel() == 0 else tensor.flatten()[:1].numpy()
        entries[name] = Entry(tuple(tensor.shape), sample.dtype, partial(tensor.numpy))
    return Checkpoint(path, "PyTorch state dict", entries)
