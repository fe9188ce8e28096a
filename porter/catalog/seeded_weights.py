"""Name-seeded weights and the goldens' inputs: everything follows from names and shapes.

A checkpoint made this way needs no download, differs in every tensor (so that no two can be
swapped unseen) and comes out bit for bit the same anywhere, because numpy's legacy
``RandomState`` streams are frozen.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

PROBES = 32
"""Values kept of each endpoint and picture in a golden file."""


def seeded(name: str, shape: Sequence[int], salt: int = 0, gain: float = 1.0) -> np.ndarray:
    """Return the float32 array of the TensorFlow variable ``name``, in its own axis order.

    ``gain`` scales batch norm's gamma alone; each golden's recipe gives its ``gain`` and ``salt``.
    Kernels have He's variance, so that activations neither vanish nor blow up with depth.
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


def network_input(picture: np.ndarray, size: int) -> np.ndarray:
    """Return the float64 HWC input of a golden: the picture's centre square, scaled to [-1, 1].

    ``picture`` is uint8 HWC with both sides at least ``size``; offsets are rounded down.
    """
    top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
    square = picture[top : top + size, left : left + size]
    return square.astype(np.float64) / 127.5 - 1.0


def probe_indices(endpoint: str, count: int) -> np.ndarray:
    """Return the flat C-order indices, into one NHWC activation of ``count`` values, that goldens keep."""
    return np.random.RandomState(zlib.crc32(endpoint.encode())).randint(0, count, PROBES)
