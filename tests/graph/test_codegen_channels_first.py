"""Ops that compute in NCHW as PyTorch steps, against TensorFlow, where height, width and channels are of one size.

No size tells the axes apart there: an axis that is taken for another computes other values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.steps import analysis_of, compare, variable

few = settings(
    max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIDE = 4


def _planes(tf: Any, x: Any) -> Any:
    """Return an NCHW map of SIDE channels, rows and columns."""
    y = tf.nn.conv2d(x, variable(tf, 1, 1, 3, SIDE, name="first"), 1, "SAME")
    return tf.transpose(y, [0, 3, 1, 2])


def test_a_bias_in_nchw_is_one_of_channels(tf: Any) -> None:
    def build(x: Any) -> list[Any]:
        y = _planes(tf, x)
        kernel = variable(tf, 3, 3, SIDE, SIDE)
        convolved = [tf.nn.conv2d(y, kernel, 1, "SAME", data_format="NCHW", name=name) for name in ("a", "b", "c", "d")]
        bias = variable(tf, SIDE, name="bias")
        return [
            tf.nn.bias_add(tf.nn.relu(y), bias, data_format="NCHW") * 2.0,
            tf.nn.bias_add(convolved[0], bias, data_format="NCHW") * 2.0,
            (convolved[1] + variable(tf, SIDE, 1, 1, name="planes")) * 2.0,
            (convolved[2] + bias) * 2.0,  # a value for each column
            tf.nn.relu(convolved[3]) + variable(tf, SIDE, 1, name="rows"),
            tf.nn.bias_add(tf.nn.relu(x), variable(tf, 3, name="last")) * 2.0,
        ]

    program = compare(tf, analysis_of(tf, build, (None, SIDE, SIDE, 3)))
    biased = [step.arguments["bias"] for step in program.steps if step.module == "nn.Conv2d"][1:]
    assert biased == [True, True, False, False]


@few
@given(st.permutations([1, 2, 3]), st.sampled_from(["SAME", "VALID"]), st.booleans())
def test_windows_in_nchw(tf: Any, steps: Any, padding: str, dilated: bool) -> None:
    across = [1, 1, *steps[:2]]
    options: dict[str, Any] = {"padding": padding, "data_format": "NCHW"}
    sliding = {"strides": [1] * 4, "dilations": [1, 1, min(steps[0], 2), 1]}
    sliding = sliding if dilated else {"strides": across}

    def build(x: Any) -> list[Any]:
        y = _planes(tf, x)
        kernel = variable(tf, 2, 3, SIDE, 5)
        wide = [[0, 0], [0, 0], [1, 2], [0, 1]]
        return [
            tf.nn.conv2d(y, kernel, **sliding, **options) * 2.0,
            tf.nn.conv2d(y, kernel, across, wide, data_format="NCHW") * 2.0,
            tf.nn.depthwise_conv2d(y, variable(tf, 2, 3, SIDE, 2, name="d"), [1, 1, 2, 2], **options) * 2.0,
            tf.nn.max_pool2d(y, [2, 3], steps[:2], **options) * 2.0,
            tf.nn.avg_pool2d(y, [3, 2], steps[:2], **options) * 2.0,
        ]

    compare(tf, analysis_of(tf, build, (None, SIDE, SIDE, 3)))


def test_transposed_convolutions_norms_and_blocks_in_nchw(tf: Any) -> None:
    def build(x: Any) -> list[Any]:
        y = _planes(tf, x)
        kernel = variable(tf, 3, 2, SIDE, SIDE)
        shape = tf.stack([tf.shape(y)[0], SIDE, 2 * SIDE, SIDE])
        up = tf.nn.conv2d_transpose(y, kernel, shape, [1, 1, 2, 1], "SAME", data_format="NCHW")
        weights = [variable(tf, SIDE, name=name) for name in ("gamma", "beta", "mean")]
        spread = tf.constant(np.linspace(0.01, 2, SIDE, dtype=np.float32))
        normed = tf.compat.v1.nn.fused_batch_norm(
            y, *weights, spread, 0.0125, data_format="NCHW", is_training=False
        )[0]  # fmt: skip
        return [
            up * 2.0, normed * 2.0,
            tf.nn.space_to_depth(y, 2, data_format="NCHW") * 2.0, tf.nn.depth_to_space(y, 2, data_format="NCHW") * 2.0,
        ]  # fmt: skip

    compare(tf, analysis_of(tf, build, (None, SIDE, SIDE, 3)))
