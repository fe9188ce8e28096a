"""ResNet V1 in Keras. Layer names are those of keras.applications.ResNet50, which strides and pads elsewhere.

Its convolutions have that network's biases, which slim's lack: they are zero in a port.

It uses stock layers alone, so that a saved model loads without porter.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from porter.nets.resnet_v1.design import DECAY, EPSILON, STEM, Unit, blocks


def resnet_v1(
    num_classes: int = 1000, input_size: int = 224, depth: int = 50, dtype: str = "float32", in_channels: int = 3
) -> keras.Model:
    """Return ResNet V1: (N, input_size, input_size, in_channels) of RGB less ImageNet's means in, logits out.

    The logits are (N, num_classes). With 0 classes the network ends at the (N, 2048) features. ``depth`` is 50, 101 or
    152.
    """
    common = {"data_format": "channels_last", "dtype": dtype}
    conv = partial(layers.Conv2D, **common)

    def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.BatchNormalization(-1, momentum=DECAY, epsilon=EPSILON, dtype=dtype, name=name)(x)

    def relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.ReLU(dtype=dtype, name=name)(x)

    def bottleneck(x: keras.KerasTensor, unit: Unit, scope: str) -> keras.KerasTensor:
        if unit.projected:
            shortcut = conv(unit.out_channels, 1, unit.stride, name=f"{scope}_0_conv")(x)
            shortcut = norm(shortcut, f"{scope}_0_bn")
        elif unit.stride > 1:  # slim's subsample
            shortcut = layers.MaxPooling2D(1, unit.stride, name=f"{scope}_0_pool", **common)(x)
        else:
            shortcut = x
        x = relu(norm(conv(unit.inner, 1, name=f"{scope}_1_conv")(x), f"{scope}_1_bn"), f"{scope}_1_relu")
        x = layers.ZeroPadding2D(1, name=f"{scope}_2_pad", **common)(x)
        x = conv(unit.inner, 3, unit.stride, name=f"{scope}_2_conv")(x)
        x = relu(norm(x, f"{scope}_2_bn"), f"{scope}_2_relu")
        x = norm(conv(unit.out_channels, 1, name=f"{scope}_3_conv")(x), f"{scope}_3_bn")
        return relu(layers.Add(dtype=dtype, name=f"{scope}_add")([shortcut, x]), f"{scope}_out")

    images = keras.Input((input_size, input_size, in_channels), dtype=dtype, name="images")
    x = layers.ZeroPadding2D(3, name="conv1_pad", **common)(images)
    x = relu(norm(conv(STEM, 7, 2, name="conv1_conv")(x), "conv1_bn"), "conv1_relu")
    x = layers.MaxPooling2D(3, 2, "same", name="pool1_pool", **common)(x)
    for stage, units in enumerate(blocks(depth), start=2):
        for number, unit in enumerate(units, start=1):
            x = bottleneck(x, unit, f"conv{stage}_block{number}")
    x = layers.GlobalAveragePooling2D("channels_last", dtype=dtype, name="avg_pool")(x)
    if num_classes:
        x = layers.Dense(num_classes, dtype=dtype, name="predictions")(x)
    return keras.Model(images, x, name=f"resnet_v1_{depth}")
