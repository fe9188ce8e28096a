"""decompile of what Keras 3 exports: numbered names, norms and biases behind Reshape, and functions in functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.written import built
from porter.verbs.decompile import decompile


def varied(keras: Any, model: Any) -> Any:
    """Return ``model`` with weights that all differ."""
    random = np.random.default_rng(3)
    for weight in model.weights:
        low, high = (0.5, 1.5) if weight.path.endswith(("gamma", "variance")) else (-0.3, 0.3)
        weight.assign(random.uniform(low, high, weight.shape))
    return model


def part(keras: Any, name: str, channels: int) -> Any:
    """Return a model whose layers have the same names in every part."""
    layers = keras.layers
    inputs = keras.Input((None, None, channels))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(4, 3, groups=2, padding="same", name="groups")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Activation("silu", name="swish")(x)
    x = layers.LayerNormalization(epsilon=1e-5, name="layer")(x)
    x = layers.Dense(4, name="dense")(x)
    return keras.Model(inputs, layers.Activation("gelu", name="gelu")(x), name=name)


@pytest.fixture(scope="module")
def exported(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    inputs = keras.Input((16, 16, 3), name="image")
    x = part(keras, "first", 3)(inputs)
    x = part(keras, "second", 4)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = varied(keras, keras.Model(inputs, keras.layers.Dense(5, activation="softmax", name="fc")(x)))
    path = tmp_path_factory.mktemp("keras") / "saved"
    model.export(str(path), verbose=False)
    return path


def test_each_variable_gets_the_value_that_the_graph_restores(tf: Any, exported: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    theirs = tf.saved_model.load(str(exported)).signatures["serving_default"](image=tf.constant(images))
    written = decompile(exported, out=tmp_path / "net")
    assert written
    network = built(tmp_path / "net" / "model.py")
    import torch

    with torch.inference_mode():
        ours = network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(ours, next(iter(theirs.values())).numpy(), rtol=0, atol=2e-6)
    modules = [type(module).__name__ for module in network.modules()]
    counted = [modules.count(name) for name in ("Conv2d", "BatchNorm2d", "SiLU", "LayerNorm", "Linear")]
    assert counted == [4, 2, 2, 2, 3]
    names = {name.rpartition(".")[2] for name, _ in network.named_modules()}
    assert names >= {"conv", "norm_batchnorm"}
    assert all(module.bias is not None for module in network.modules() if type(module).__name__ == "Conv2d")
    assert not [name for name in names if name.endswith("_1")]


def mobile_block(keras: Any, x: Any, name: str, channels: int, stride: int) -> Any:
    """Return EfficientNet's block, as keras.applications builds it."""
    layers, inside = keras.layers, 3 * x.shape[-1]
    y = layers.Conv2D(inside, 1, use_bias=False, name=f"{name}_expand_conv")(x)
    y = layers.BatchNormalization(name=f"{name}_expand_bn")(y)
    y = layers.Activation("silu", name=f"{name}_expand_activation")(y)
    side = 3 if name.endswith("a") else 5
    if stride == 2:
        half = side // 2
        y = layers.ZeroPadding2D(((half - 1, half), (half - 1, half)), name=f"{name}_dwconv_pad")(y)
    padding = "valid" if stride == 2 else "same"
    y = layers.DepthwiseConv2D(side, stride, padding, use_bias=False, name=f"{name}_dwconv")(y)
    y = layers.BatchNormalization(name=f"{name}_bn")(y)
    y = layers.Activation("silu", name=f"{name}_activation")(y)
    gate = layers.GlobalAveragePooling2D(name=f"{name}_se_squeeze")(y)
    gate = layers.Reshape((1, 1, inside), name=f"{name}_se_reshape")(gate)
    gate = layers.Conv2D(2, 1, activation="silu", name=f"{name}_se_reduce")(gate)
    gate = layers.Conv2D(inside, 1, activation="sigmoid", name=f"{name}_se_expand")(gate)
    y = layers.multiply([y, gate], name=f"{name}_se_excite")
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(y)
    y = layers.BatchNormalization(name=f"{name}_project_bn")(y)
    return layers.add([y, x], name=f"{name}_add") if stride == 1 and x.shape[-1] == channels else y


def test_blocks_with_gates_and_paddings_compute_the_same(tf: Any, tmp_path: Path) -> None:
    import keras

    x = inputs = keras.Input((24, 20, 3), name="image")
    for name, channels, stride in (
        ("block1a", 4, 2), ("block1b", 4, 1), ("block1c", 4, 1), ("block2a", 6, 2), ("block2b", 6, 1), ("block2c", 6, 1)
    ):  # fmt: skip
        x = mobile_block(keras, x, name, channels, stride)
    varied(keras, keras.Model(inputs, x, name="small")).export(str(tmp_path / "saved"), verbose=False)
    assert decompile(tmp_path / "saved", out=tmp_path / "net")
