"""Networks within other models of Keras' files: found behind their containers, chosen by prefix, never mixed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import SMALL
from porter.errors import MappingError
from porter.mapping.containers import contained_names, find_container
from porter.mapping.dialects import DIALECTS
from porter.mapping.head import Head
from porter.verbs.inspect import inspect
from porter.verbs.port import port

KERAS = DIALECTS["keras"]
WANTED = ["net_a/scope/conv1/kernel", "bn/gamma", "preds/kernel"]
TAILS = ["conv1/kernel", "bn/gamma", "preds/kernel"]
BODY = TAILS[:2]


def behind(prefix: str, tails: list[str] = TAILS) -> list[str]:
    return [prefix + tail for tail in tails]


@pytest.mark.parametrize(
    ("stored", "prefix"),
    [
        (TAILS, ""),
        (WANTED, ""),
        (behind("a/"), "a/"),
        (behind("outer/a/"), "outer/a/"),
        ([*behind("a/", BODY), "preds/kernel"], ""),  # the head outside
        ([*behind("a/"), "deep/conv1/kernel"], "a/"),  # a layer of the same name elsewhere
        ([*TAILS, "deep/conv1/kernel"], ""),
        (["s1/conv1/kernel", "s2/bn/gamma", "s3/preds/kernel"], ""),  # scopes of layers, all different
        ([*behind("a/"), *behind("b/", BODY)], "a/"),  # b stays, and is an error of its own
    ],
)
def test_the_container_of_a_network_is_found(stored: list[str], prefix: str) -> None:
    assert find_container(stored, WANTED, KERAS) == prefix
    names = contained_names(stored, WANTED, KERAS, prefix)
    assert set(names.values()) <= set(stored)
    assert not any(name.startswith(("deep/", "b/")) for name in names.values())


@pytest.mark.parametrize(
    ("stored", "two"),
    [
        ([*behind("a/"), *behind("b/")], ("a", "b")),
        ([*behind("a/", BODY), *behind("b/", BODY), "preds/kernel"], ("a", "b")),
        ([*behind("left/a/"), *behind("right/b/")], ("left/a", "right/b")),
        ([*behind("m/a/"), *behind("m/b/"), "dense/kernel"], ("m/a", "m/b")),
    ],
)
def test_two_networks_are_an_error_that_names_both(stored: list[str], two: tuple[str, str]) -> None:
    with pytest.raises(MappingError, match=f"holds the model 2 times, in the scopes '{two[0]}', '{two[1]}'") as caught:
        find_container(stored, WANTED, KERAS)
    assert [way["prefix"] for way in caught.value.ways] == [f"{scope}/" for scope in two]


def test_kernels_of_older_depthwise_convolutions() -> None:
    stored = ["a/dw/depthwise_kernel", "a/bn/gamma"]
    assert contained_names(stored, ["dw/kernel", "bn/gamma"], KERAS, "a/") == dict(
        zip(["dw/kernel", "bn/gamma"], stored, strict=True)
    )


# ---- whole files


def backbone(keras: Any, name: str, seed: int) -> Any:
    model = keras.applications.MobileNet((128, 128, 3), 0.25, include_top=False, weights=None, name=name)
    draw = np.random.default_rng(seed)
    model.set_weights([draw.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A file of two backbones with other weights, each in a Sequential, and the backbones."""
    keras = pytest.importorskip("keras")
    nets = {"left": backbone(keras, "tower_a", 1), "right": backbone(keras, "tower_b", 2)}
    images = [keras.Input((128, 128, 3)) for _ in nets]
    parts = [keras.Sequential([net, keras.layers.Flatten()], name=name) for name, net in nets.items()]
    joined = keras.layers.Concatenate()([part(image) for part, image in zip(parts, images, strict=True)])
    path = tmp_path_factory.mktemp("towers") / "towers.keras"
    keras.Model(images, keras.layers.Dense(2, name="dense")(joined)).save(path)
    return path, nets


def test_each_of_two_backbones_ports_as_itself(towers: tuple[Path, dict[str, Any]]) -> None:
    path, nets = towers
    with pytest.raises(MappingError, match=r"2 times, in the scopes 'left/tower_a', 'right/tower_b'"):
        port(SMALL, "keras", "torch", checkpoint=path, head=Head(no_head=True))
    for prefix, net in {"left/tower_a/": nets["left"], "right/tower_b/": nets["right"]}.items():
        result = port(SMALL, "keras", "torch", checkpoint=path, prefix=prefix, backbone=True)
        assert result.translation.prefix == prefix
        weights = {variable.path: np.asarray(variable) for variable in net.weights}
        stem = result.translation.entries["conv_stem.weight"].load()
        assert np.array_equal(stem, weights["conv1/kernel"].transpose(3, 2, 0, 1))
        means = result.translation.entries["blocks.4.1.bn2.running_mean"].load()
        assert np.array_equal(means, weights["conv_pw_13_bn/moving_mean"])


def test_a_prefix_that_holds_nothing_names_those_that_do(towers: tuple[Path, dict[str, Any]]) -> None:
    says = re.escape("the prefix 'tower_a/' precedes none of the model's names: they follow 'left/tower_a/'")
    with pytest.raises(MappingError, match=says):
        port(SMALL, "keras", "torch", checkpoint=towers[0], prefix="tower_a/", backbone=True)


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_transfer_learning_as_keras_teaches_it(tmp_path: Path, package: str) -> None:
    """keras#18365: the backbone is the first layer of a Sequential."""
    keras = pytest.importorskip(package)
    base = keras.applications.MobileNet((128, 128, 3), 0.25, include_top=False, weights=None)
    layers = [base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, name="dense")]
    model = keras.Sequential(layers)
    model.build((None, 128, 128, 3))
    for name in ("model.keras", "model.weights.h5") if package == "keras" else ("model.keras", "weights.h5"):
        (model.save if name == "model.keras" else model.save_weights)(tmp_path / name)
        seen = inspect(tmp_path / name)
        assert sum(seen.roles.values()) == 137
        assert seen.recognised is not None
        assert seen.recognised.sentence.startswith("contains MobileNet V1 0.25"), seen.recognised.sentence
        result = port(SMALL, "keras", "torch", checkpoint=tmp_path / name, backbone=True)
        assert result.translation.prefix == f"{base.name}/"
        assert len(result.translation.entries) == 135
        head = result.translation.entries["blocks.4.1.conv_pw.weight"].load()
        (want,) = (np.asarray(w) for w in base.get_layer("conv_pw_13").weights)
        assert np.array_equal(head, want.transpose(3, 2, 0, 1))


def test_a_file_that_names_no_layers_says_how_to_save_it(tmp_path: Path) -> None:
    keras = pytest.importorskip("tf_keras")
    model = keras.applications.MobileNet((128, 128, 3), 0.25, include_top=False, weights=None)
    model.save_weights(tmp_path / "model.weights.h5")
    says = r"the file states no name of 54 layers \(such as layers/.*: save it as \.h5, which names all layers"
    with pytest.raises(MappingError, match=says):
        port(SMALL, "keras", "torch", checkpoint=tmp_path / "model.weights.h5")
    assert inspect(tmp_path / "model.weights.h5").notes
