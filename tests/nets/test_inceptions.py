"""The Inception networks: slim's numbers, auxiliary heads, dropout, and checkpoints that are somewhat different."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from helpers.checkpoints import Saver, seeded_variables
from porter import load, port
from porter.catalog.models import find_arch
from porter.errors import MappingError
from porter.mapping.table import Table
from porter.nets.inception import design

NETWORKS = {
    "inception_v1": design.V1,
    "inception_v2": design.V2,
    "inception_v3": design.V3,
    "inception_v4": design.V4,
    "inception_resnet_v2": design.RESNET_V2,
}
WITH_AUX = [name for name, network in NETWORKS.items() if network.aux]


def test_numbers_are_slims(slim: SimpleNamespace) -> None:
    nets = {name: sys.modules[f"nets.{name}"] for name in NETWORKS}
    scopes = [importlib.import_module("object_detection.nets.inception_utils").inception_arg_scope]
    scopes.append(nets["inception_resnet_v2"].inception_resnet_v2_arg_scope)
    for scope in scopes:
        defaults = {name: p.default for name, p in inspect.signature(inspect.unwrap(scope)).parameters.items()}
        assert (defaults["batch_norm_decay"], defaults["batch_norm_epsilon"]) == (design.DECAY, design.EPSILON)
        assert defaults["batch_norm_scale"] is False
    for name, module in nets.items():
        function = getattr(module, name)
        assert function.default_image_size == find_arch(name).input_size
        assert inspect.signature(function).parameters["dropout_keep_prob"].default == 1 - design.DROPOUT


@pytest.mark.parametrize(("size", "side"), [(299, 5), (139, 1), (150, 1), (363, 6)])
def test_the_auxiliary_head_covers_the_map(size: int, side: int) -> None:
    assert {design.aux_side(NETWORKS[name], size) for name in WITH_AUX} == {side}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "inception_v3" else pytest.mark.slow) for name in WITH_AUX]
)
def test_gradients_of_the_auxiliary_head_reach_the_blocks_before_it_alone(name: str) -> None:
    model = load(name, "torch", aux=True, input_size=139).train()
    _, aux_logits = model(torch.randn(2, 3, 139, 139))
    assert aux_logits.shape == (2, 1001)
    aux_logits.sum().backward()
    reached = {path for path, value in model.named_parameters() if value.grad is not None}
    at = model.paths.index(model.aux_path)
    before = {path for path in dict(model.named_parameters()) if path.startswith(tuple(model.paths[: at + 1]))}
    behind = {path for path in dict(model.named_parameters()) if path.startswith((*model.paths[at + 1 :], model.head))}
    assert reached == {path for path in dict(model.named_parameters()) if path.startswith("AuxLogits.")} | (
        before - behind
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_is_on_in_training_mode_alone(name: str) -> None:
    with torch.device("meta"):
        layer = load(name, "torch").dropout
    x = torch.ones(4, 2048)
    assert torch.equal(layer.eval()(x), x)
    dropped = layer.train()(x)
    assert 0.15 < float((dropped == 0).float().mean()) < 0.25
    torch.testing.assert_close(dropped[dropped != 0], torch.full_like(dropped[dropped != 0], 1 / 0.8))


def test_kerass_dropout_is_on_in_training_mode_alone() -> None:
    pytest.importorskip("keras")
    layer = load("inception_v1", "keras").get_layer("dropout")
    x = np.ones((4, 1024), np.float32)
    assert np.array_equal(np.asarray(layer(x, training=False)), x)
    assert 0.15 < (np.asarray(layer(x, training=True)) == 0).mean() < 0.25


def test_other_sizes_and_classes_go_through_the_same_builders() -> None:
    assert load("inception_v1", "torch", num_classes=7)(torch.zeros(1, 3, 70, 97)).shape == (1, 7)
    assert load("inception_v2", "torch", num_classes=0, in_channels=4)(torch.zeros(1, 4, 70, 97)).shape == (1, 1024)
    assert load("inception_v3", "torch", num_classes=0)(torch.zeros(1, 3, 75, 97)).shape == (1, 2048)


# ---- checkpoints


@pytest.fixture(scope="module")
def v3() -> dict[str, np.ndarray]:
    return seeded_variables("inception_v3")


def test_the_auxiliary_head_is_left_out_unless_asked_for(save: Saver, v3: dict[str, np.ndarray]) -> None:
    checkpoint = save(v3)
    plain = port("inception_v3", checkpoint=checkpoint).translation
    assert plain.left_out == {"aux": 10}
    assert not any(name.startswith("AuxLogits") for name in plain.entries)
    full = port("inception_v3", checkpoint=checkpoint, aux=True).translation
    assert full.left_out == {}
    assert sum(name.startswith("AuxLogits") for name in full.entries) == 12  # with two gammas
    gammas = [entry.load() for name, entry in full.entries.items() if name.endswith("bn.weight")]
    assert len(gammas) == 96
    assert all((gamma == 1).all() for gamma in gammas)


@pytest.mark.parametrize("side", [1, 3])
def test_smaller_images_give_the_auxiliary_head_of_v3_another_name(
    save: Saver, v3: dict[str, np.ndarray], side: int
) -> None:
    """cleverhans-lab/cleverhans#335, cameronfabbri/Compute-Features#2: Conv2d_2a_3x3 is in no released checkpoint."""
    tensors = {name.replace("Conv2d_2a_5x5", f"Conv2d_2a_{side}x{side}"): value for name, value in v3.items()}
    kernel = f"InceptionV3/AuxLogits/Conv2d_2a_{side}x{side}/weights"
    tensors[kernel] = tensors[kernel][:side, :side]
    entries = port("inception_v3", checkpoint=save(tensors), aux=True).translation.entries
    assert np.array_equal(entries["AuxLogits.conv1.conv.weight"].load(), tensors[kernel].transpose(3, 2, 0, 1))


def test_a_checkpoint_without_an_auxiliary_head_needs_none(
    save: Saver, v3: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """tensorflow/models#1862: create_aux_logits=False."""
    checkpoint = save({name: value for name, value in v3.items() if "AuxLogits" not in name})
    assert port("inception_v3", checkpoint=checkpoint).translation.left_out == {}
    with pytest.raises(MappingError, match=r"(?s)lacks 10 of the 388 tensors.*leave `aux` out"):
        port("inception_v3", checkpoint=checkpoint, aux=True)


def test_a_v1_with_the_papers_5x5_kernels_is_refused(save: Saver) -> None:
    """tensorflow/models#2555: slim's V1 has 3x3 kernels in the third branch."""
    tensors = seeded_variables("inception_v1")
    name = "InceptionV1/Mixed_3b/Branch_2/Conv2d_0b_3x3/weights"
    tensors[name] = np.ones((5, 5, 16, 32), np.float32)
    with pytest.raises(
        MappingError, match=rf"{name} has shape \(5, 5, 16, 32\), inception_v1 expects \(3, 3, 16, 32\)"
    ):
        port("inception_v1", checkpoint=save(tensors))


def test_the_first_layer_of_v2_has_a_bias_and_no_batch_norm(save: Saver) -> None:
    """tensorflow/models#4843."""
    tensors = seeded_variables("inception_v2")
    entries = port("inception_v2", checkpoint=save(tensors)).translation.entries
    scope = "InceptionV2/Conv2d_1a_7x7"
    assert sorted(name for name in entries if name.startswith("Conv2d_1a_7x7")) == [
        "Conv2d_1a_7x7.depthwise_conv2d.weight",
        "Conv2d_1a_7x7.pointwise_conv2d.bias",
        "Conv2d_1a_7x7.pointwise_conv2d.weight",
    ]
    depthwise = entries["Conv2d_1a_7x7.depthwise_conv2d.weight"].load()
    assert np.array_equal(depthwise[2 * 8 + 5, 0], tensors[f"{scope}/depthwise_weights"][:, :, 2, 5])
    bias = entries["Conv2d_1a_7x7.pointwise_conv2d.bias"].load()
    assert np.array_equal(bias, tensors[f"{scope}/biases"])


@pytest.mark.slow
@pytest.mark.parametrize("aux", [False, True])
def test_verify_compares_the_auxiliary_head_where_it_is_ported(
    save: Saver, v3: dict[str, np.ndarray], tmp_path: Path, aux: bool
) -> None:
    result = port("inception_v3", checkpoint=save(v3), out=tmp_path / "m.safetensors", aux=aux, verify=True)
    assert result.verification is not None
    (report,) = result.verification.ports.values()
    assert report, str(report)
    assert ("AuxLogits" in [row.endpoint for row in report.rows]) is aux
    network: Any = load("inception_v3", weights=tmp_path / "m.safetensors", aux=aux)
    assert hasattr(network, "AuxLogits") is aux


def test_endpoints_of_parts_are_marked() -> None:
    for name in NETWORKS:
        table = Table.load(name)
        assert table.optional == ({"AuxLogits": "aux"} if name in WITH_AUX else {})
        assert table.logits == "Logits"
