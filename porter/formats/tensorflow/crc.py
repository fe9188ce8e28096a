"""TensorFlow's masked CRC-32C.

Source of the mask: tensorflow/core/lib/hash/crc32c.h, as in LevelDB.
"""

from __future__ import annotations

from typing import Any

import google_crc32c
import numpy as np


def masked_crc32c(buffer: bytes | memoryview) -> int:
    """Return the masked CRC-32C of a buffer without copying it."""
    # The library refuses memoryviews but reads arrays in place.
    view: Any = np.frombuffer(buffer, np.uint8)
    crc: int = google_crc32c.value(view)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
