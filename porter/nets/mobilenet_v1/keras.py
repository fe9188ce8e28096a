"""MobileNet V1 in Keras. Layer names are those of keras.applications.MobileNet.

keras.applications has the same network only at even sizes up to 224: its explicit padding is not SAME at odd sizes,
and it averages the whole last map. This one follows slim/nets/mobilenet_v1.py at every size. It uses stock layers
alone, so that a saved model loads without porter.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from porter.nets.mobilenet_v1.design import DECAY, DROPOUT, EPSILON, POOL, STAGES, STEM, depth


def mobilenet_v1(
    num_classes: int = 1001,
    input_size: int = 224,
    multiplier: float = 1.0,
    global_pool: bool = False,
    dtype: str = "float32",
    in_channels: int = 3,
) -> keras.Model:
    """Return MobileNet V1: (N, input_size, input_size, in_channels) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, channels) features. ``multiplier`` scales every number of channels
    (``design.depth``). slim pools 7x7 with stride 2 and without padding, so that an 8x8 last map (input sizes 225 to
    256) loses its last row and column. ``global_pool`` averages the whole map, at any size.

    Raises ValueError for a larger map without ``global_pool``, whose logits slim cannot squeeze.
    """
    conv = partial(layers.Conv2D, padding="same", data_format="channels_last", dtype=dtype)
    depthwise = partial(layers.DepthwiseConv2D, padding="same", data_format="channels_last", dtype=dtype)

    def norm_relu6(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        x = layers.BatchNormalization(-1, momentum=DECAY, epsilon=EPSILON, dtype=dtype, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, dtype=dtype, name=f"{name}_relu")(x)

    images = keras.Input((input_size, input_size, in_channels), dtype=dtype, name="images")
    x = norm_relu6(conv(depth(STEM, multiplier), 3, 2, use_bias=False, name="conv1")(images), "conv1")
    blocks = [block for stage in STAGES for block in stage]
    for i, (channels, stride) in enumerate(blocks, start=1):
        x = norm_relu6(depthwise(3, stride, use_bias=False, name=f"conv_dw_{i}")(x), f"conv_dw_{i}")
        x = conv(depth(channels, multiplier), 1, use_bias=False, name=f"conv_pw_{i}")(x)
        x = norm_relu6(x, f"conv_pw_{i}")

    size = x.shape[1]
    if size > POOL and not global_pool:
        if size > POOL + 1:
            raise ValueError(
                f"the last map is {size}x{size}, and the original network pools only {POOL}x{POOL} of it: "
                "take a smaller input_size or global_pool=True"
            )
        x = layers.Cropping2D(((0, 1), (0, 1)), data_format="channels_last", dtype=dtype, name="crop")(x)
    x = layers.GlobalAveragePooling2D("channels_last", keepdims=True, dtype=dtype, name="global_average_pooling2d")(x)
    if num_classes == 0:
        return keras.Model(images, layers.Flatten(dtype=dtype, name="features")(x), name="mobilenet_v1")
    x = layers.Dropout(DROPOUT, dtype=dtype, name="dropout")(x)
    x = conv(num_classes, 1, name="conv_preds")(x)
    logits = layers.Reshape((num_classes,), dtype=dtype, name="reshape_2")(x)
    return keras.Model(images, logits, name="mobilenet_v1")
