"""ResNet V2 in Keras. Layer names are those of keras.applications.ResNet50V2, which has the same tensors.

Its epsilon and its padding of the max pool differ. It uses stock layers alone, so that a saved model loads without
porter.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from porter.nets.resnet_v2.design import DECAY, EPSILON, STEM, Unit, blocks


def resnet_v2(
    num_classes: int = 1001, input_size: int = 299, depth: int = 50, dtype: str = "float32", in_channels: int = 3
) -> keras.Model:
    """Return ResNet V2: (N, input_size, input_size, in_channels) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, 2048) features. ``depth`` is 50, 101 or 152.
    """
    common = {"data_format": "channels_last", "dtype": dtype}
    conv = partial(layers.Conv2D, **common)

    def norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        x = layers.BatchNormalization(-1, momentum=DECAY, epsilon=EPSILON, dtype=dtype, name=f"{name}_bn")(x)
        return layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)

    def bottleneck(x: keras.KerasTensor, unit: Unit, scope: str) -> keras.KerasTensor:
        active = norm_relu(x, f"{scope}_preact")
        if unit.projected:
            shortcut = conv(unit.out_channels, 1, unit.stride, name=f"{scope}_0_conv")(active)
        elif unit.stride > 1:  # slim's subsample
            shortcut = layers.MaxPooling2D(1, unit.stride, name=f"{scope}_0_pool", **common)(x)
        else:
            shortcut = x
        x = norm_relu(conv(unit.inner, 1, use_bias=False, name=f"{scope}_1_conv")(active), f"{scope}_1")
        x = layers.ZeroPadding2D(1, name=f"{scope}_2_pad", **common)(x)
        x = norm_relu(conv(unit.inner, 3, unit.stride, use_bias=False, name=f"{scope}_2_conv")(x), f"{scope}_2")
        x = conv(unit.out_channels, 1, name=f"{scope}_3_conv")(x)
        return layers.Add(dtype=dtype, name=f"{scope}_out")([shortcut, x])

    images = keras.Input((input_size, input_size, in_channels), dtype=dtype, name="images")
    x = layers.ZeroPadding2D(3, name="conv1_pad", **common)(images)
    x = conv(STEM, 7, 2, name="conv1_conv")(x)
    x = layers.MaxPooling2D(3, 2, "same", name="pool1_pool", **common)(x)
    for stage, units in enumerate(blocks(depth), start=2):
        for number, unit in enumerate(units, start=1):
            x = bottleneck(x, unit, f"conv{stage}_block{number}")
    x = norm_relu(x, "post")
    x = layers.GlobalAveragePooling2D("channels_last", dtype=dtype, name="avg_pool")(x)
    if num_classes:
        x = layers.Dense(num_classes, dtype=dtype, name="predictions")(x)
    return keras.Model(images, x, name=f"resnet_v2_{depth}")
