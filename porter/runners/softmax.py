"""softmax, and the float32 error that the rounding of its logits predicts."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, in the logits' dtype."""
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


def softmax_rounding(single: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the expected float32 error of each softmax value, (images, classes).

    ``single`` and ``truth`` are the logits in float32 and in float64. The error of each logit is taken as the root mean
    square over the image's logits. The derivative of value i by logit j is p_i (1 - p_i) for i = j, and -p_i p_j
    otherwise. The result is 0 where the logits are not finite.
    """
    truth = truth.astype(np.float64)
    with np.errstate(all="ignore"):
        off = np.sqrt(np.square(single - truth).mean(-1, keepdims=True))
        values = softmax(truth)
        squares = np.square(values)
        expected = off * values * np.sqrt(np.maximum(1 - 2 * values + squares.sum(-1, keepdims=True), 0))
    return np.asarray(np.nan_to_num(expected, nan=0.0, posinf=0.0))
