"""The Inception networks in Keras, of stock layers alone, so that a saved model loads without porter.

Layer names of V3 and Inception-ResNet V2 are those of keras.applications, which numbers most of them. Those of the
others are slim's scopes.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

import keras
from keras import layers

from porter.nets.inception import blocks, design
from porter.nets.inception.blocks import Conv, Mixed, Pool, Residual, Separable
from porter.nets.inception.design import AUX_CHANNELS, AUX_POOL, AUX_STRIDE, DECAY, DROPOUT, EPSILON
from porter.nets.layers_keras import average_pool_same

Map: TypeAlias = keras.KerasTensor


class Scoped:
    """Names of layers after slim's scopes: Mixed_3b_branch1_0_conv, Mixed_3b_branch1_0_bn, Mixed_3b_branch1_0_relu."""

    def conv(self, place: str) -> tuple[str, str, str]:
        """Return the names of a convolution, its batch norm and its ReLU."""
        return f"{place}_conv", f"{place}_bn", f"{place}_relu"

    def pool(self, place: str, kind: str) -> str:
        """Return the name of a pool."""
        return place

    def concatenation(self, place: str) -> str:
        """Return the name of a concatenation, or of a residual block's first part."""
        return place


class Numbered(Scoped):
    """Names of layers that are counted as keras.applications creates them: conv2d, conv2d_1 and so on.

    ``given`` holds the names that it gives to a place instead.
    """

    def __init__(self, given: dict[str, str]) -> None:
        self.given = given
        self.counts = Counter[str]()

    def count(self, kind: str) -> str:
        """Return ``kind`` with the number of its next layer; the first one has none."""
        self.counts[kind] += 1
        return f"{kind}_{self.counts[kind] - 1}" if self.counts[kind] > 1 else kind

    def conv(self, place: str) -> tuple[str, str, str]:
        if place in self.given:
            return self.given[place], f"{self.given[place]}_bn", f"{self.given[place]}_ac"
        return self.count("conv2d"), self.count("batch_normalization"), self.count("activation")

    def pool(self, place: str, kind: str) -> str:
        return self.count(f"{kind}_pooling2d")

    def concatenation(self, place: str) -> str:
        return self.given[place] if place in self.given else self.count("concatenate")


class Builder:
    """Builds steps of one dtype: (N, H, W, C) maps in and out."""

    def __init__(self, names: Scoped, dtype: str) -> None:
        self.names = names
        self.dtype = dtype

    def step(self, x: Map, step: blocks.Step, scope: str) -> Map:
        """Apply one step of a design."""
        if isinstance(step, Pool):
            return self.pool(x, step, self.names.pool(scope, step.kind))
        if isinstance(step, Separable):
            return self.separable(x, step, scope)
        if isinstance(step, Mixed):
            return self.mixed(x, step, scope, self.names.concatenation(scope))
        if isinstance(step, Residual):
            return self.residual(x, step, scope, self.names.concatenation(scope))
        return self.conv(x, step, *self.names.conv(scope))

    def conv(self, x: Map, step: Conv, conv: str, norm: str, relu: str) -> Map:
        """Apply a convolution, batch norm and ReLU with these names."""
        x = layers.Conv2D(
            step.channels,
            step.kernel,
            step.stride,
            step.padding,
            "channels_last",
            use_bias=False,
            dtype=self.dtype,
            name=conv,
        )(x)
        x = layers.BatchNormalization(-1, momentum=DECAY, epsilon=EPSILON, scale=False, dtype=self.dtype, name=norm)(x)
        return layers.Activation("relu", dtype=self.dtype, name=relu)(x)

    def separable(self, x: Map, step: Separable, scope: str) -> Map:
        """Apply V2's first layer."""
        x = layers.SeparableConv2D(
            step.channels,
            step.kernel,
            step.stride,
            step.padding,
            "channels_last",
            depth_multiplier=step.multiplier,
            dtype=self.dtype,
            name=f"{scope}_conv",
        )(x)
        return layers.Activation("relu", dtype=self.dtype, name=f"{scope}_relu")(x)

    def pool(self, x: Map, step: Pool, name: str) -> Map:
        """Apply a pool."""
        if step.kind == "average" and step.padding == blocks.SAME:
            return average_pool_same(x, step.stride, self.dtype, name)
        kind = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[step.kind]
        return kind(step.side, step.stride, step.padding, "channels_last", dtype=self.dtype, name=name)(x)

    def mixed(self, x: Map, block: Mixed | Residual, scope: str, name: str) -> Map:
        """Apply a block's branches and concatenate their outputs; ``name`` is the concatenation's."""
        outputs = []
        for branch in blocks.placed(block):
            out = x
            for stage in branch:
                out = self.stage(out, stage, scope)
            outputs.append(out)
        return layers.Concatenate(-1, dtype=self.dtype, name=name)(outputs)

    def stage(self, x: Map, stage: list[blocks.Placed], scope: str) -> Map:
        """Apply one layer of a branch, or a fork."""
        outputs = [self.step(x, step, f"{scope}_{place.replace('.', '_')}") for place, step in stage]
        if len(outputs) == 1:
            return outputs[0]
        fork = f"{scope}_{stage[0].place[:-1]}"  # without its a
        return layers.Concatenate(-1, dtype=self.dtype, name=self.names.concatenation(fork))(outputs)

    def residual(self, x: Map, block: Residual, scope: str, name: str) -> Map:
        """Apply a residual block, whose layers are called ``name`` and their kind."""
        up = self.mixed(x, block, scope, f"{name}_mixed")
        up = layers.Conv2D(x.shape[-1], 1, data_format="channels_last", dtype=self.dtype, name=f"{name}_conv")(up)
        # Not a Rescaling, which rounds its factor to float32.
        x = layers.Add(dtype=self.dtype, name=f"{name}_add")([x, up * block.scale])
        return layers.Activation("relu", dtype=self.dtype, name=f"{name}_ac")(x) if block.relu else x

    def auxiliary_head(self, x: Map, num_classes: int) -> Map:
        """Return the logits of a second classifier, for training. Its last convolution covers the whole pooled map."""
        first, second = AUX_CHANNELS
        pool = layers.AveragePooling2D(
            AUX_POOL, AUX_STRIDE, "valid", "channels_last", dtype=self.dtype, name="aux_pool"
        )
        x = self.conv(pool(x), Conv(first), "aux_conv0", "aux_bn0", "aux_relu0")
        whole = Conv(second, (x.shape[1], x.shape[2]), 1, blocks.VALID)
        x = self.conv(x, whole, "aux_conv1", "aux_bn1", "aux_relu1")
        x = layers.Flatten("channels_last", dtype=self.dtype, name="aux_flatten")(x)
        return layers.Dense(num_classes, dtype=self.dtype, name="aux_logits")(x)


def inception(
    network: design.Network,
    names: Scoped,
    name: str,
    num_classes: int,
    input_size: int,
    dtype: str,
    in_channels: int,
    aux: bool = False,
) -> keras.Model:
    """Return ``network``: (N, input_size, input_size, in_channels) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes it ends at the (N, channels) features. With ``aux`` it has the auxiliary head and returns both
    logits, the head's second. slim trains its loss with weight 0.4 (train_image_classifier.py).
    """
    builder, aux_logits = Builder(names, dtype), []
    images = x = keras.Input((input_size, input_size, in_channels), dtype=dtype, name="images")
    for scope, step in network.steps.items():
        x = builder.step(x, step, scope)
        if aux and scope == network.aux:
            aux_logits.append(builder.auxiliary_head(x, num_classes))
    x = layers.GlobalAveragePooling2D("channels_last", dtype=dtype, name="avg_pool")(x)
    if num_classes:
        x = layers.Dropout(DROPOUT, dtype=dtype, name="dropout")(x)
        x = layers.Dense(num_classes, dtype=dtype, name="predictions")(x)
    return keras.Model(images, [x, *aux_logits] if aux_logits else x, name=name)


def inception_v1(
    num_classes: int = 1001, input_size: int = 224, dtype: str = "float32", in_channels: int = 3
) -> keras.Model:
    """Return Inception V1."""
    return inception(design.V1, Scoped(), "inception_v1", num_classes, input_size, dtype, in_channels)


def inception_v2(
    num_classes: int = 1001, input_size: int = 224, dtype: str = "float32", in_channels: int = 3
) -> keras.Model:
    """Return Inception V2."""
    return inception(design.V2, Scoped(), "inception_v2", num_classes, input_size, dtype, in_channels)


def inception_v3(
    num_classes: int = 1001,
    input_size: int = 299,
    dtype: str = "float32",
    aux: bool = False,
    in_channels: int = 3,
) -> keras.Model:
    """Return Inception V3."""
    mixed = [scope for scope in design.V3.steps if scope.startswith("Mixed")]
    given = {scope: f"mixed{number}" for number, scope in enumerate(mixed)}
    given |= {"Mixed_7b_branch3x3_2": "mixed9_0", "Mixed_7c_branch3x3_2": "mixed9_1"}
    return inception(design.V3, Numbered(given), "inception_v3", num_classes, input_size, dtype, in_channels, aux)


def inception_v4(
    num_classes: int = 1001,
    input_size: int = 299,
    dtype: str = "float32",
    aux: bool = False,
    in_channels: int = 3,
) -> keras.Model:
    """Return Inception V4."""
    return inception(design.V4, Scoped(), "inception_v4", num_classes, input_size, dtype, in_channels, aux)


def inception_resnet_v2(
    num_classes: int = 1001,
    input_size: int = 299,
    dtype: str = "float32",
    aux: bool = False,
    in_channels: int = 3,
) -> keras.Model:
    """Return Inception-ResNet V2."""
    given = {scope: scope.lower() for scope in design.RESNET_V2.steps if scope.startswith("Mixed")}
    given |= {scope: scope.rpartition("/")[2] for scope in design.RESNET_V2.steps if "/" in scope}
    given |= {"Block8": "block8_10", "Conv2d_7b_1x1": "conv_7b"}
    return inception(
        design.RESNET_V2, Numbered(given), "inception_resnet_v2", num_classes, input_size, dtype, in_channels, aux
    )
