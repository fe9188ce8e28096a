"""Keras' files whole: containers at any depth, subclassed models, the state of training, and what names leave open."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from porter.errors import FormatError
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.roles import COUNTER, METRIC, SLOT, role_in_keras

PACKAGES = ("keras", "tf_keras")
SIDE = 8


@pytest.fixture(scope="module", params=PACKAGES)
def package(request: pytest.FixtureRequest) -> Any:
    """Keras 3, and Keras 2 as it lives on."""
    return pytest.importorskip(request.param)


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


def network(keras: Any, name: str, gamma: bool = True) -> Any:
    """Return a small network; two of them share all names of layers."""
    layers = keras.layers
    images = x = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(4, 3, use_bias=False, name="conv1")(x)
    x = layers.BatchNormalization(scale=gamma, name="conv1_bn")(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, name="dw")(x)
    return keras.Model(images, layers.SeparableConv2D(5, 1, name="sep")(x), name=name)


def nested(keras: Any) -> Any:
    """Return a model of two networks, one of them in a Sequential in a Functional, and a layer of the same name."""
    layers = keras.layers
    first, second = network(keras, "first"), network(keras, "second")
    inner = keras.Sequential([keras.Input((SIDE, SIDE, 3)), second, layers.Dropout(0.5, name="dropout")], name="inner")
    images = keras.Input((SIDE, SIDE, 3))
    middle = keras.Model(images, layers.Add(name="sum")([first(images), inner(images)]), name="middle")
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(2, 1, name="conv1")(middle(images))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return filled(keras.Model(images, layers.Dense(5, name="dense")(x), name="outer"))


def filled(model: Any) -> Any:
    """Give every weight values of its own."""
    draw = np.random.default_rng(0)
    model.set_weights([draw.uniform(0.5, 1.5, value.shape).astype(np.float32) for value in model.get_weights()])
    return model


def variables(model: Any, scope: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield every weight as Keras holds it, under the names of its containers, its layer and itself."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from variables(layer, f"{scope}{layer.name}/")
        else:
            for weight in layer.weights:
                leaf = weight.name.removesuffix(":0").rpartition("/")[2]
                yield f"{scope}{layer.name}/{leaf}", np.asarray(weight)


def spelled(name: str) -> str:
    """Return a name as Keras 3 spells it: Keras 2 calls a depthwise convolution's kernel depthwise_kernel."""
    return name.replace("dw/depthwise_kernel", "dw/kernel")


def assert_holds(checkpoint: Checkpoint, want: dict[str, np.ndarray]) -> None:
    got = {spelled(name): checkpoint[name] for name in checkpoint}
    assert set(got) == set(map(spelled, want))
    for name, value in want.items():
        assert np.array_equal(got[spelled(name)], value), name


SAVERS: dict[str, Callable[[Any, Path], Any]] = {
    ".keras": lambda model, path: model.save(path),
    ".h5": lambda model, path: model.save(path),
    ".weights.h5": lambda model, path: model.save_weights(path),
}


def saved(model: Any, folder: Path, suffix: str) -> Path:
    path = folder / f"model{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras 2 advises another format
        SAVERS[suffix](model, path)
    return path


def datasets(path: Path) -> int:
    """Count the data sets of a file with h5py alone."""
    contents: Any = path
    if zipfile.is_zipfile(path):
        contents = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5"))
    found: list[str] = []
    with h5py.File(contents) as file:
        file.visititems(lambda name, node: found.append(name) if isinstance(node, h5py.Dataset) else None)
    return len(found)


# ---- containers


@pytest.fixture(scope="module")
def outer(package: Any) -> Any:
    return nested(package)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_containers_at_any_depth(outer: Any, package: Any, tmp_path: Path, suffix: str) -> None:
    path = saved(outer, tmp_path, suffix)
    checkpoint = open_checkpoint(path)
    assert len(checkpoint) + len(checkpoint.asides) == datasets(path)
    if package.__name__ == "tf_keras" and suffix == ".weights.h5":
        assert len(checkpoint) == len(dict(variables(outer)))
        assert all("/vars/" in name for name in checkpoint)
        (note,) = checkpoint.notes
        assert note.startswith("the file states no name of 10 layers (such as layers/"), note
        assert note.endswith("save it as .h5, which names all layers, or with a newer Keras")
        return
    want = dict(variables(outer))
    assert "middle/inner/second/conv1/kernel" in want
    assert_holds(checkpoint, want)
    assert checkpoint.notes == ()
    assert {"pool", "sum", "dropout" if package.__name__ == "keras" else "dense"} <= set(checkpoint.layers or ())


def test_containers_of_a_legacy_file(package: Any, tmp_path: Path) -> None:
    """Its lists name the outermost container alone, and Keras refuses the same name twice within one."""
    layers, images = package.layers, package.Input((SIDE, SIDE, 3))
    first, second = network(package, "first"), network(package, "second")
    x = layers.Concatenate(name="both")([first(images), second(images)])
    model = filled(package.Model(images, layers.Conv2D(2, 1, name="conv1")(x), name="outer"))
    paths = [saved(model, tmp_path, ".h5")]
    if package.__name__ == "tf_keras":  # Keras 3 writes no weights alone in this layout
        paths.append(tmp_path / "weights.h5")
        model.save_weights(paths[-1])
    for path in paths:
        checkpoint = open_checkpoint(path)
        assert checkpoint.format == "Keras legacy HDF5"
        assert_holds(checkpoint, dict(variables(model)))
        assert len(checkpoint) + len(checkpoint.asides) == datasets(path)


@pytest.mark.parametrize("form", ["weights", "saved"])
def test_keras_2s_checkpoints_tell_the_layers_of_one_name_apart(tmp_path: Path, form: str) -> None:
    """Its variables are called conv1/kernel in both networks; the object graph has the paths of their containers."""
    model = nested(pytest.importorskip("tf_keras"))
    for network in (
        model.get_layer("middle").get_layer("first"),
        model.get_layer("middle").get_layer("inner").layers[0],
    ):
        network.get_layer("conv1_bn").gamma.assign(np.ones(4))  # equal values do not make two variables one
    (model.save_weights if form == "weights" else model.save)(str(tmp_path / "model"))
    checkpoint = open_checkpoint(tmp_path / "model")
    layer = "layer_with_weights-0"
    names = {"middle/first/": f"{layer}/{layer}/", "middle/inner/second/": f"{layer}/layer_with_weights-1/{layer}/"}
    want = {}
    for name, value in variables(model):
        scope = next((scope for scope in names if name.startswith(scope)), "")
        want[names.get(scope, "") + name.removeprefix(scope)] = value
    assert_holds(checkpoint, want)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_frozen_layers_keep_the_order_of_their_weights(package: Any, tmp_path: Path, suffix: str) -> None:
    """keras#10777, keras#13259: Keras lists trainable weights first, those of a nested model too."""
    inner = network(package, "inner")
    images = package.Input((SIDE, SIDE, 3))
    model = filled(package.Model(images, package.layers.Conv2D(2, 1, name="last")(inner(images))))
    for name in ("conv1", "conv1_bn"):
        inner.get_layer(name).trainable = False
    assert_holds(open_checkpoint(saved(model, tmp_path, suffix)), dict(variables(model)))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_network_that_runs_over_time(package: Any, tmp_path: Path, suffix: str) -> None:
    layers = package.layers
    inner, images = filled(network(package, "inner")), package.Input((2, SIDE, SIDE, 3))
    model = package.Model(images, layers.TimeDistributed(inner, name="over_time")(images))
    checkpoint = open_checkpoint(saved(model, tmp_path, suffix))
    scope = "over_time/layer/" if suffix == ".keras" else "over_time/"
    got = {spelled(name).replace(scope, "over_time/"): checkpoint[name] for name in checkpoint}
    for name, value in variables(inner):
        assert np.array_equal(got[f"over_time/{spelled(name)}"], value), name


def test_slashes_in_the_names_of_layers(tmp_path: Path) -> None:
    """keras#8832: SqueezeNet's layers are called fire2/squeeze1x1."""
    keras = pytest.importorskip("tf_keras")
    layers, images = keras.layers, keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(4, 1, name="fire2/squeeze1x1")(images)
    model = keras.Model(images, layers.Conv2D(4, 1, name="fire2/expand1x1")(x))
    checkpoint = open_checkpoint(saved(model, tmp_path, ".h5"))
    names = {f"fire2/{layer}/{leaf}" for layer in ("squeeze1x1", "expand1x1") for leaf in ("kernel", "bias")}
    assert set(checkpoint) == names


def test_a_subclass_of_a_layer_of_keras(keras: Any, tmp_path: Path) -> None:
    """keras#20322: the file names the subclass alone."""

    class Standardized(keras.layers.Conv2D):  # type: ignore[misc]
        pass

    class Renormalized(keras.layers.BatchNormalization):  # type: ignore[misc]
        pass

    images = keras.Input((SIDE, SIDE, 3))
    x = Standardized(4, 3, name="conv1")(images)
    model = filled(keras.Model(images, Renormalized(name="conv1_bn")(x)))
    for suffix in (".keras", ".weights.h5"):
        checkpoint = open_checkpoint(saved(model, tmp_path, suffix))
        assert np.array_equal(checkpoint["conv1/kernel"], model.get_layer("conv1").weights[0])
        assert set(checkpoint) == {"conv1/kernel", "conv1/bias", *(f"conv1_bn/{number}" for number in range(4))}
        assert [note.partition(":")[0] for note in checkpoint.notes] == [
            "porter knows no order for the tensors of 1 layer (conv1_bn), and calls them by number",
            "the class of 1 layer (conv1) is not in the file, or not one of Keras'",
        ]
    assert_holds(open_checkpoint(saved(model, tmp_path, ".h5")), dict(variables(model)))


# ---- subclassed models


def subclassed(keras: Any, **names: str) -> Any:
    """Return a subclassed model; ``names`` are those of its layers."""

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.backbone = network(keras, "automatic_name")
            self.pool = keras.layers.GlobalAveragePooling2D()
            self.blocks = [keras.layers.Dense(3, name="d1"), keras.layers.Dense(3, name="d2")]
            self.head = keras.layers.Dense(5, name=names.get("head"))
            self.final = keras.layers.BatchNormalization(name=names.get("norm"))
            if "zoom" in names:
                self.out, self.zoom = keras.layers.Dense(2), keras.layers.Dense(3, name=names["zoom"])

        def call(self, x: Any) -> Any:
            x = self.pool(self.backbone(x))
            for block in self.blocks:
                x = block(x)
            x = self.final(self.head(x))
            return self.zoom(self.out(x)) if "zoom" in names else x

    net = Net()
    net(np.zeros((1, SIDE, SIDE, 3), np.float32))
    return filled(net)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_subclassed_models_variables_have_the_paths_of_its_attributes(
    keras: Any, tmp_path: Path, suffix: str
) -> None:
    net = subclassed(keras)
    checkpoint = open_checkpoint(saved(net, tmp_path, suffix))
    want = {f"backbone/{name}": value for name, value in variables(net.backbone)}
    want |= {f"blocks/{block.name}/{w.name}": np.asarray(w) for block in net.blocks for w in block.weights}
    want |= {f"head/{w.name}": np.asarray(w) for w in net.head.weights}
    want |= {f"final/{w.name}": np.asarray(w) for w in net.final.weights}
    assert_holds(checkpoint, want)
    assert checkpoint.notes == ()


def test_names_of_a_subclassed_models_layers_go_before_its_attributes(keras: Any, tmp_path: Path) -> None:
    """Their classes are not in the file: porter says that it takes Keras' own order."""
    net = subclassed(keras, head="logits", norm="logits_bn")
    checkpoint = open_checkpoint(saved(net, tmp_path, ".weights.h5"))
    assert np.array_equal(checkpoint["logits/kernel"], net.head.weights[0])
    assert np.array_equal(checkpoint["logits_bn/moving_variance"], net.final.weights[3])
    assert checkpoint.notes == (
        "the class of 2 layers (such as logits_bn) is not in the file, or not one of Keras': porter takes their "
        "tensors in the order of Conv2D, Dense and BatchNormalization",
    )


def test_an_attribute_with_the_name_of_another_layer_is_reported(keras: Any, tmp_path: Path) -> None:
    net = subclassed(keras, head="final", norm="head")
    checkpoint = open_checkpoint(saved(net, tmp_path, ".weights.h5"))
    assert np.array_equal(checkpoint["final/kernel"], net.head.weights[0])
    says = (
        "attributes and names of layers differ (the attribute final is head, head is final): porter goes by the names"
    )
    assert says in checkpoint.notes


def test_an_attribute_that_keras_stores_in_the_list_of_layers(keras: Any, tmp_path: Path) -> None:
    """It walks through attributes in the order of the alphabet, layers among them, and stores nothing twice."""
    net = subclassed(keras, zoom="zoomed")
    checkpoint = open_checkpoint(saved(net, tmp_path, ".weights.h5"))
    assert np.array_equal(checkpoint[f"{net.out.name}/kernel"], net.out.weights[0])
    assert np.array_equal(checkpoint["zoomed/kernel"], net.zoom.weights[0])
    assert checkpoint.notes == (
        f"Keras chose the names of 1 layer ({net.out.name}), and the file does not have their attributes: name the "
        "layers in the model's code",
    )


def test_layers_that_share_a_name_are_called_by_their_places(keras: Any, tmp_path: Path) -> None:
    net = subclassed(keras)
    net.blocks[1].name = "d1"
    checkpoint = open_checkpoint(saved(net, tmp_path, ".weights.h5"))
    for block, place in zip(net.blocks, ("blocks/dense/vars/0", "blocks/dense_1/vars/0"), strict=True):
        assert np.array_equal(checkpoint[place], block.weights[0])
    assert "blocks/d1/kernel" not in checkpoint
    assert any(note.startswith("layers share the names of 2 tensors (such as") for note in checkpoint.notes)


# ---- everything else in a file


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_the_state_of_training_has_roles(package: Any, tmp_path: Path, suffix: str) -> None:
    model = network(package, "net")
    model.compile(package.optimizers.Adam(), "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    path = saved(model, tmp_path, suffix)
    checkpoint = open_checkpoint(path)
    assert len(checkpoint) + len(checkpoint.asides) == datasets(path)
    roles = list(checkpoint.asides.values())
    if not (package.__name__ == "keras" and suffix == ".h5"):  # Keras 3 writes an optimizer only once it has run
        assert roles.count(COUNTER) == 1
        assert roles.count(SLOT) >= 2 * len(model.trainable_variables)
    assert set(roles) <= {COUNTER, SLOT, METRIC}
    assert len(checkpoint) == len(model.weights)


@pytest.mark.parametrize(
    ("place", "role"),
    [
        ("optimizer/vars/0", COUNTER),
        ("optimizer/vars/12", SLOT),
        ("optimizer/inner_optimizer/vars/0", COUNTER),
        ("optimizer_weights/Adam/m/conv1/kernel:0", SLOT),
        ("optimizer_weights/iteration:0", COUNTER),
        ("optimizer_weights/training/SGD/iterations:0", COUNTER),
        ("metrics/mean/vars/1", METRIC),
        ("layers/optimizer/vars/0", None),
        ("backbone/metrics/vars/0", None),
    ],
)
def test_a_place_tells_the_role(place: str, role: str | None) -> None:
    assert role_in_keras(place) == role


def test_what_no_layer_lists_is_reported(keras: Any, tmp_path: Path) -> None:
    path = saved(network(keras, "net"), tmp_path, ".h5")
    with h5py.File(path, "a") as file:
        file["model_weights/conv1/conv1/extra"] = np.zeros(3, np.float32)
    assert open_checkpoint(path).asides == {"model_weights/conv1/conv1/extra": "unlisted data set"}
    path = saved(network(keras, "net"), tmp_path, ".weights.h5")
    with h5py.File(path, "a") as file:
        file["layers/conv2d/extra"] = np.zeros(3, np.float32)
    assert open_checkpoint(path).asides == {"layers/conv2d/extra": "unlisted data set"}


def test_a_config_that_lists_other_layers_is_reported(keras: Any, tmp_path: Path) -> None:
    path = saved(network(keras, "net"), tmp_path, ".h5")
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "Conv2D":
                layer["config"]["name"] = "conv0"
        file.attrs["model_config"] = json.dumps(config)
    assert open_checkpoint(path).notes == (
        "the config lists 1 layer (conv0) whose weights the file lacks",
        "the file has weights of 1 layer (conv1) that its config does not list",
    )


def test_a_batch_norm_without_gamma_needs_the_config(keras: Any, tmp_path: Path) -> None:
    model = filled(network(keras, "net", gamma=False))
    for suffix in (".keras", ".h5"):
        assert_holds(open_checkpoint(saved(model, tmp_path, suffix)), dict(variables(model)))
    checkpoint = open_checkpoint(saved(model, tmp_path, ".weights.h5"))
    assert {f"conv1_bn/{number}" for number in range(3)} <= set(checkpoint)
    assert checkpoint.notes == (
        "porter knows no order for the tensors of 1 layer (conv1_bn), and calls them by number: save the model as "
        ".keras or .h5",
    )


def test_a_group_that_occurs_twice_is_refused(keras: Any, tmp_path: Path) -> None:
    """Hard links may lead in a circle, or double with every level."""
    path = saved(network(keras, "net"), tmp_path, ".weights.h5")
    with h5py.File(path, "a") as file:
        file["layers/conv2d/again"] = file["layers"]
    with pytest.raises(FormatError, match=r"model.weights.h5: the group layers/.* occurs twice: save the model again"):
        open_checkpoint(path)


def test_hdf5_of_somebody_else(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["data/values"] = np.zeros(3)
    with pytest.raises(FormatError, match=r"m.h5 is HDF5, but not from Keras: name a .weights.h5 or .h5 that Keras"):
        open_checkpoint(tmp_path / "m.h5")
