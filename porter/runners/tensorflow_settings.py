"""Settings that TensorFlow reads once, when porter or Keras imports it."""

from __future__ import annotations

import os


def before_tensorflow() -> None:
    """Turn oneDNN off, and limit TensorFlow's log to errors.

    oneDNN reorders float32 sums, which changes results by up to 3.6 times the rounding. Call this before TensorFlow is
    imported; later it has no effect.
    """
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
