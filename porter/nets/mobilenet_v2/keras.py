"""MobileNet V2 in Keras. Layer names are those of keras.applications.MobileNetV2, which has the same network.

It uses stock layers alone, so that a saved model loads without porter.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from porter.nets.inverted_residuals import DECAY, DROPOUT, EPSILON, Block
from porter.nets.mobilenet_v2.design import last, stages, stem


def mobilenet_v2(
    num_classes: int = 1001,
    input_size: int = 224,
    multiplier: float = 1.0,
    dtype: str = "float32",
    in_channels: int = 3,
) -> keras.Model:
    """Return MobileNet V2: (N, input_size, input_size, in_channels) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, channels) features. ``multiplier`` scales every number of channels, the
    last convolution's from 1 upwards (``design``).
    """
    options = {"padding": "same", "data_format": "channels_last", "use_bias": False, "dtype": dtype}
    conv, depthwise = partial(layers.Conv2D, **options), partial(layers.DepthwiseConv2D, **options)

    def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.BatchNormalization(-1, momentum=DECAY, epsilon=EPSILON, dtype=dtype, name=name)(x)

    def relu6(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.ReLU(6.0, dtype=dtype, name=name)(x)

    def inverted_residual(x: keras.KerasTensor, block: Block, scope: str) -> keras.KerasTensor:
        out = x
        if block.expands:
            out = norm(conv(block.inner, 1, name=f"{scope}_expand")(out), f"{scope}_expand_BN")
            out = relu6(out, f"{scope}_expand_relu")
        out = norm(depthwise(3, block.stride, name=f"{scope}_depthwise")(out), f"{scope}_depthwise_BN")
        out = relu6(out, f"{scope}_depthwise_relu")
        out = norm(conv(block.out_channels, 1, name=f"{scope}_project")(out), f"{scope}_project_BN")
        return layers.Add(dtype=dtype, name=f"{scope}_add")([x, out]) if block.residual else out

    images = keras.Input((input_size, input_size, in_channels), dtype=dtype, name="images")
    x = relu6(norm(conv(stem(multiplier), 3, 2, name="Conv1")(images), "bn_Conv1"), "Conv1_relu")
    for i, block in enumerate(block for stage in stages(multiplier) for block in stage):
        x = inverted_residual(x, block, f"block_{i}" if i else "expanded_conv")
    x = relu6(norm(conv(last(multiplier), 1, name="Conv_1")(x), "Conv_1_bn"), "out_relu")
    x = layers.GlobalAveragePooling2D("channels_last", dtype=dtype, name="global_average_pooling2d")(x)
    if num_classes:
        x = layers.Dropout(DROPOUT, dtype=dtype, name="dropout")(x)
        x = layers.Dense(num_classes, dtype=dtype, name="predictions")(x)
    return keras.Model(images, x, name="mobilenet_v2")
