"""Fresh: tensors that no file gives, to be trained: those of a new head, and of a part that a library always has."""

from __future__ import annotations

import zlib
from functools import partial

import numpy as np

from porter.formats.checkpoint import Entry
from porter.mapping.shapes import Shape

FRESH_DEVIATION = 0.01
"""Standard deviation of a fresh kernel; biases are zero, and so are means, and batch norms scale by one."""
_ONES = {"gamma", "variance"}


def fresh(name: str, role: str, shape: Shape) -> Entry:
    """Return the float32 tensor ``name`` of a layer that is to be trained; ``role`` is its role in the layer's kind."""
    return Entry(shape, np.dtype(np.float32), partial(_values, name, role, shape))


def _values(name: str, role: str, shape: Shape) -> np.ndarray:
    if len(shape) == 1:
        return np.full(shape, 1 if role in _ONES else 0, np.float32)
    draw = np.random.RandomState(zlib.crc32(name.encode()))
    return (FRESH_DEVIATION * draw.standard_normal(shape)).astype(np.float32)
