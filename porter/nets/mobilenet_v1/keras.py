"""MobileNet V1 (Howard et al. 2017, arXiv:1704.04861) with the layer names of keras.applications.MobileNet.

That network is the same one at even sizes up to 224 alone: at odd sizes its explicit padding is not SAME,
and it averages the whole last map. Here both are the original's, slim/nets/mobilenet_v1.py, in layers
that every Keras has, so that a saved model loads without porter.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

# Table 1: (output channels, stride) of each block.
BLOCKS = [
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
]  # fmt: skip
EPSILON = 1e-3  # batch_norm_epsilon in mobilenet_v1_arg_scope
DECAY = 0.9997  # batch_norm_decay there, which Keras calls momentum
DROPOUT = 1 - 0.999  # dropout_keep_prob
POOL = 7  # the average pool's kernel at 224, in mobilenet_v1
MIN_DEPTH = 8  # min_depth


def mobilenet_v1(
    num_classes: int = 1001,
    input_size: int = 224,
    multiplier: float = 1.0,
    global_pool: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Return MobileNet V1: (N, input_size, input_size, 3) in [-1, 1] in, (N, num_classes) logits out.

    0 classes end at the (N, channels) features. ``multiplier`` scales every number of channels, rounded down, to
    no less than 8. slim pools 7x7 with stride 2 and without padding, so that an 8x8 last map (inputs of 225 to 256)
    loses its last row and column; ``global_pool`` averages the whole map, at any size.

    Raises ValueError for a larger map without it, whose logits slim cannot squeeze.
    """
    conv = partial(layers.Conv2D, padding="same", data_format="channels_last", dtype=dtype)
    depthwise = partial(layers.DepthwiseConv2D, padding="same", data_format="channels_last", dtype=dtype)

    def depth(channels: int) -> int:
        return max(int(channels * multiplier), MIN_DEPTH)

    def norm_relu6(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        x = layers.BatchNormalization(-1, momentum=DECAY, epsilon=EPSILON, dtype=dtype, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, dtype=dtype, name=f"{name}_relu")(x)

    images = keras.Input((input_size, input_size, 3), dtype=dtype, name="images")
    x = norm_relu6(conv(depth(32), 3, 2, use_bias=False, name="conv1")(images), "conv1")
    for i, (channels, stride) in enumerate(BLOCKS, start=1):
        x = norm_relu6(depthwise(3, stride, use_bias=False, name=f"conv_dw_{i}")(x), f"conv_dw_{i}")
        x = norm_relu6(conv(depth(channels), 1, use_bias=False, name=f"conv_pw_{i}")(x), f"conv_pw_{i}")

    size = x.shape[1]
    if size > POOL and not global_pool:
        if size > POOL + 1:
            raise ValueError(
                f"the last map is {size}x{size}, and the original pools only {POOL}x{POOL} of it: "
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
