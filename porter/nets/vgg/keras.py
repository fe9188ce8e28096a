"""VGG in Keras. Layer names are those of keras.applications.VGG16 and VGG19, which have the same network.

It uses stock layers alone, so that a saved model loads without porter.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from porter.nets.vgg.design import CONVOLUTIONS, DROPOUT, HIDDEN, MAP, WIDTHS, wrong_size


def vgg(
    num_classes: int = 1000, input_size: int = 224, depth: int = 16, dtype: str = "float32", in_channels: int = 3
) -> keras.Model:
    """Return VGG: (N, input_size, input_size, in_channels) of RGB less ImageNet's means in, logits out.

    The logits are (N, num_classes). ``input_size`` is from 224 to 255. With 0 classes the network ends at the (N, 4096)
    features. ``depth`` is 16 or 19.

    Raises ValueError for another ``input_size``, for which slim's network has no logits.
    """
    common = {"data_format": "channels_last", "dtype": dtype}
    conv = partial(layers.Conv2D, padding="same", activation="relu", **common)
    images = x = keras.Input((input_size, input_size, in_channels), dtype=dtype, name="images")
    for block, (count, width) in enumerate(zip(CONVOLUTIONS[depth], WIDTHS, strict=True), start=1):
        for number in range(1, count + 1):
            x = conv(width, 3, name=f"block{block}_conv{number}")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool", **common)(x)
    if x.shape[1] != MAP:
        raise ValueError(wrong_size(x.shape[1], x.shape[2]))
    x = layers.Flatten("channels_last", dtype=dtype, name="flatten")(x)
    x = layers.Dense(HIDDEN, "relu", dtype=dtype, name="fc1")(x)
    x = layers.Dropout(DROPOUT, dtype=dtype, name="dropout6")(x)
    x = layers.Dense(HIDDEN, "relu", dtype=dtype, name="fc2")(x)
    if num_classes:
        x = layers.Dropout(DROPOUT, dtype=dtype, name="dropout7")(x)
        x = layers.Dense(num_classes, dtype=dtype, name="predictions")(x)
    return keras.Model(images, x, name=f"vgg_{depth}")
