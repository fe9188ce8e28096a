"""First values of Keras' variables: none is drawn that a file replaces, and a copy in float64 takes the model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porter import load, port
from porter.formats.open import open_checkpoint
from porter.mapping.table import Table
from porter.verbs.seed import seed

keras: Any = pytest.importorskip("keras")

from porter.nets.variables_keras import give_values, without_values  # noqa: E402
from porter.runners.keras import KerasRunner  # noqa: E402

NAME = "mobilenet_v1_0.25_128"


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("Keras asks an initializer")


def test_a_later_scope_gives_no_values_to_a_network_without() -> None:
    with without_values():
        layer = keras.layers.Dense(2, kernel_initializer=refuse)
        layer.build((1, 3))
    with keras.StatelessScope():
        pass
    with pytest.raises(AssertionError, match="asks an initializer"):
        layer.kernel.numpy()


def test_a_variable_without_a_stored_value_begins_as_in_keras() -> None:
    with without_values():
        images = keras.Input((3,))
        model = keras.Model(images, keras.layers.Dense(2, bias_initializer="ones", name="head")(images))
    kernel = np.arange(6.0).reshape(3, 2)
    give_values(model, {"head/kernel": lambda: kernel})
    weights = model.get_weights()
    assert [str(values.dtype) for values in weights] == ["float32", "float32"]
    assert np.array_equal(weights[0], kernel)
    assert np.array_equal(weights[1], [1, 1])
    model.get_layer("head").kernel.assign(weights[0] * 2)
    assert kernel[2, 1] == 5  # the variable has memory of its own
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.zeros((4, 2)), verbose=0)
    assert not np.array_equal(model.get_weights()[0], weights[0] * 2)


def test_no_value_is_drawn_that_the_file_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "mobilenet.safetensors"
    port(NAME, target="keras", checkpoint=seed(NAME, tmp_path / "seeded.ckpt").out, out=out)
    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", refuse)
    model = load(NAME, "keras", weights=out)
    stored = open_checkpoint(out)
    got = {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.weights}
    assert set(got) == set(stored)
    assert all(np.array_equal(got[name], stored[name]) for name in stored)


@keras.saving.register_keras_serializable(package="tests")
class Scaled(keras.layers.Layer):  # type: ignore[misc]
    """A user's layer, with a variable that it makes of values: Keras refuses those in a stateless scope."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name=name, **options)
        self.scale = keras.Variable(np.array([0.1, 0.2, 0.3], np.float32), dtype=self.dtype)

    def call(self, x: Any) -> Any:
        return x * self.scale


@pytest.mark.parametrize("kind", ["plain", "scaled"])
def test_float64_computes_with_the_weights_that_the_model_has_now(kind: str) -> None:
    images = keras.Input((2, 2, 3))
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="conv_pw_1_relu")(images)
    layer = (keras.layers.ReLU if kind == "plain" else Scaled)(name="conv_pw_2_relu")
    model = keras.Model(images, layer(x))
    runner = KerasRunner(model, Table.load("mobilenet_v1"))
    pictures = np.random.default_rng(0).random((2, 2, 2, 3))
    scale = 1 if kind == "plain" else np.array([0.1, 0.2, 0.3], np.float32).astype(np.float64)
    for number in range(2):
        kernel = np.random.default_rng(number).random((1, 1, 3, 3), np.float32)
        model.get_layer("conv_pw_1_relu").kernel.assign(kernel)
        maps = runner(pictures)
        want = pictures @ kernel[0, 0].astype(np.float64)
        np.testing.assert_allclose(maps["Conv2d_1_pointwise"], want, rtol=1e-14)
        np.testing.assert_allclose(maps["Conv2d_2_pointwise"], want * scale, rtol=1e-14)
