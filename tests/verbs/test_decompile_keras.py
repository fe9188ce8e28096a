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
