"""MobileNet V3 in Keras. Layer names are those of keras.applications.MobileNetV3Large and MobileNetV3Small.

keras.applications divides the gates of squeeze-and-excite by 6, where slim multiplies by 0.16667. This network follows
slim. It uses stock layers alone, so that a saved model loads without porter.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from porter.nets.inverted_residuals import DECAY, DROPOUT, EPSILON, GATE_SIXTH, SIXTH, Block
from porter.nets.mobilenet_v3.design import DESIGNS


class _Layers:
    """Layers of one dtype, by name: (N, H, W, C) maps in and out."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        options = {"padding": "same", "data_format": "channels_last", "dtype": dtype}
        self.conv = partial(layers.Conv2D, **options)
        self.depthwise = partial(layers.DepthwiseConv2D, use_bias=False, **options)
        self.mean = partial(layers.GlobalAveragePooling2D, "channels_last", keepdims=True, dtype=dtype)

    def norm(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.BatchNormalization(-1, momentum=DECAY, epsilon=EPSILON, dtype=self.dtype, name=f"{name}_bn")(x)

    def relu6_above(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Return relu6(x + 3)."""
        x = layers.Rescaling(1.0, 3.0, dtype=self.dtype, name=f"{name}_plus_3")(x)
        return layers.ReLU(6.0, dtype=self.dtype, name=f"{name}_relu6")(x)

    def act(self, x: keras.KerasTensor, act: str, name: str) -> keras.KerasTensor:
        """Apply ``act``, relu or hard_swish. The layer ``<name>_act`` outputs the result."""
        if act == "relu":
            return layers.ReLU(dtype=self.dtype, name=f"{name}_act")(x)
        x = layers.Multiply(dtype=self.dtype, name=f"{name}_times_relu6")([x, self.relu6_above(x, name)])
        return layers.Rescaling(SIXTH, dtype=self.dtype, name=f"{name}_act")(x)

    def squeeze_excite(self, x: keras.KerasTensor, block: Block, name: str) -> keras.KerasTensor:
        gate = self.mean(name=f"{name}_avg_pool")(x)
        gate = self.conv(block.squeezed, 1, name=f"{name}_conv")(gate)
        gate = layers.ReLU(dtype=self.dtype, name=f"{name}_relu")(gate)
        gate = self.relu6_above(self.conv(block.inner, 1, name=f"{name}_conv_1")(gate), f"{name}_conv_1")
        # Not a Rescaling, which rounds its factor to float32: that leaves SIXTH as it is, but not this one.
        return layers.Multiply(dtype=self.dtype, name=f"{name}_mul")([x, gate * GATE_SIXTH])

    def inverted_residual(self, x: keras.KerasTensor, block: Block, name: str) -> keras.KerasTensor:
        out = x
        if block.expands:
            out = self.conv(block.inner, 1, use_bias=False, name=f"{name}_expand")(out)
            out = self.act(self.norm(out, f"{name}_expand"), block.act, f"{name}_expand")
        out = self.depthwise(block.kernel, block.stride, name=f"{name}_depthwise")(out)
        out = self.act(self.norm(out, f"{name}_depthwise"), block.act, f"{name}_depthwise")
        if block.squeezed:
            out = self.squeeze_excite(out, block, f"{name}_squeeze_excite")
        out = self.norm(
            self.conv(block.out_channels, 1, use_bias=False, name=f"{name}_project")(out), f"{name}_project"
        )
        return layers.Add(dtype=self.dtype, name=f"{name}_add")([x, out]) if block.residual else out


def mobilenet_v3(
    num_classes: int = 1001,
    input_size: int = 224,
    variant: str = "large",
    multiplier: float = 1.0,
    dtype: str = "float32",
    in_channels: int = 3,
) -> keras.Model:
    """Return MobileNet V3: (N, input_size, input_size, in_channels) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, channels) features. ``variant`` names one of ``design.DESIGNS``,
    ``multiplier`` scales every number of channels, that of the features from 1 upwards.
    """
    design, of = DESIGNS[variant], _Layers(dtype)
    images = keras.Input((input_size, input_size, in_channels), dtype=dtype, name="images")
    x = of.conv(design.stem(multiplier), 3, 2, use_bias=False, name="conv")(images)
    x = of.act(of.norm(x, "conv"), design.act, "conv")
    for i, block in enumerate(block for stage in design.blocks(multiplier) for block in stage):
        x = of.inverted_residual(x, block, f"expanded_conv_{i}" if i else "expanded_conv")
    x = of.conv(design.before_pool(multiplier), 1, use_bias=False, name="conv_1")(x)
    x = of.act(of.norm(x, "conv_1"), design.act, "conv_1")
    x = of.mean(name="global_average_pooling2d")(x)
    x = of.act(of.conv(design.behind_pool(multiplier), 1, name="conv_2")(x), design.act, "conv_2")
    if num_classes:
        x = layers.Dropout(DROPOUT, dtype=dtype, name="dropout")(x)
        x = of.conv(num_classes, 1, name="logits")(x)
    return keras.Model(images, layers.Flatten(dtype=dtype, name="flatten")(x), name="mobilenet_v3")
