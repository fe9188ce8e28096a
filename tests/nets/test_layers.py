"""The layers that several networks use, compared with TensorFlow's own ops in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from helpers.activations import SIZES, draw, nchw, nhwc
from porter.nets.layers_torch import AvgPool2dSame, DropPath, MaxPool2dSame, SeparableConv2d


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "stride"), [(3, 1), (3, 2), (2, 2), (3, 3), (5, 3), (1, 2), (7, 2), (4, 3), (2, 1), (2, 3)]
)
def test_pools_are_tensorflows_same(tf: Any, kernel: int, stride: int, size: tuple[int, int]) -> None:
    x = draw(2, *size, 3) - 5  # below zero: a zero that is counted, or is the maximum, shows
    want = tf.nn.avg_pool2d(tf.constant(x), kernel, stride, "SAME").numpy()
    np.testing.assert_allclose(nhwc(AvgPool2dSame(kernel, stride)(nchw(x))), want, rtol=1e-14)
    want = tf.nn.max_pool2d(tf.constant(x), kernel, stride, "SAME").numpy()
    np.testing.assert_array_equal(nhwc(MaxPool2dSame(kernel, stride)(nchw(x))), want)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 2), (7, 2)])
def test_separable_is_tensorflows(tf: Any, kernel: int, stride: int, size: tuple[int, int]) -> None:
    x, depthwise, pointwise = draw(2, *size, 4), draw(kernel, kernel, 4, 1), draw(1, 1, 4, 6)
    want = tf.nn.separable_conv2d(x, depthwise, pointwise, [1, stride, stride, 1], "SAME").numpy()
    layer = SeparableConv2d(4, 6, kernel, stride).double()
    layer.load_state_dict(
        {
            "depthwise_conv2d.weight": torch.from_numpy(depthwise.transpose(2, 3, 0, 1).copy()),
            "pointwise_conv2d.weight": torch.from_numpy(pointwise.transpose(3, 2, 0, 1).copy()),
        }
    )
    np.testing.assert_allclose(nhwc(layer(nchw(x))), want, rtol=0, atol=1e-13 * want.std())


def test_drop_path_keeps_whole_images_and_their_mean() -> None:
    torch.manual_seed(0)
    layer, ones = DropPath(0.6), torch.ones(20_000, 2, 3, 3)
    assert layer.train()(ones) is ones  # training has not begun
    layer.progress = 0.5
    kept = layer(ones)
    assert (kept == kept[:, :1, :1, :1]).all()
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.8])
    assert kept.mean().item() == pytest.approx(1, abs=5 * (0.25 / 20_000) ** 0.5)  # its deviation: (1 - keep) / keep
    assert layer.eval()(ones) is ones
