"""Name-seeded weights and the goldens' inputs: names and shapes determine every value.

A seeded checkpoint needs no download, and all its tensors differ, so a swap of two always shows. It is the same bit for
bit on every machine, because numpy keeps the streams of its legacy ``RandomState``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

PROBES = 32
"""Values that a golden keeps of each endpoint and image."""


def seeded(name: str, shape: Sequence[int], salt: int = 0, gain: float = 1.0) -> np.ndarray:
    """Return the float32 array of the original's variable ``name``, in the axis order of ``shape``.

    ``gain`` scales only batch norm's gamma; each golden's recipe holds its ``gain`` and ``salt``.
    Kernels have He's variance (arXiv:1502.01852), so activations neither vanish nor explode with depth.
    """
    draw = np.random.RandomState((zlib.crc32(name.encode()) + salt) & 0xFFFFFFFF)
    shape = tuple(shape)
    leaf = name.rsplit("/", 1)[-1]
    if leaf == "gamma":
        value = gain * draw.uniform(0.8, 1.2, shape)
    elif leaf == "moving_variance":
        value = draw.uniform(0.6, 1.4, shape)
    elif len(shape) < 2 or leaf in ("beta", "biases", "bias", "moving_mean"):
        value = 0.1 * draw.standard_normal(shape)
    else:
        fan_in = shape[0] * shape[1] if leaf == "depthwise_weights" else int(np.prod(shape[:-1]))
        value = draw.standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return np.asarray(value, np.float32)


def network_input(image: np.ndarray, size: int) -> np.ndarray:
    """Return the float64 HWC input of a golden: the central square of ``image``, scaled to [-1, 1].

    ``image`` is uint8 HWC with both sides at least ``size``; offsets round down.
    """
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    square = image[top : top + size, left : left + size]
    return square.astype(np.float64) / 127.5 - 1.0


def probe_indices(endpoint: str, count: int, probes: int = PROBES) -> np.ndarray:
    """Return the indices of the values that goldens keep of one image's activation: flat, C order, channels last."""
    return np.random.RandomState(zlib.crc32(endpoint.encode())).randint(0, count, probes)
