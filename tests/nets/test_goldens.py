"""The PyTorch ports, compared with goldens of the original code by both rules at every endpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.goldens import goldens
from porter import endpoints, load
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, Arch, find_arch
from porter.errors import PorterError
from porter.verbs.verify import verify_golden


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize("name", goldens())
def test_torch_computes_what_the_original_computes(name: str) -> None:
    golden = recorded(name)
    result = verify_golden(find_arch(golden.model), ["torch"], golden).ports["torch"]
    assert result, str(result)
    assert [row.endpoint for row in result.rows] == list(golden.endpoint_shapes)
    assert not result.missing


@pytest.mark.parametrize("arch", ARCHS.values(), ids=ARCHS)
def test_every_model_has_a_golden_at_its_own_size(arch: Arch) -> None:
    assert recorded(arch.golden).input_size == arch.input_size
    assert recorded(arch.golden).num_classes == arch.num_classes
    assert find_arch(arch.golden).table == arch.table
    assert not find_arch(arch.golden).base


def test_other_multipliers_sizes_and_classes_go_through_the_same_builder() -> None:
    model = load("mobilenet_v1", "torch", num_classes=7, multiplier=0.35)
    assert not model.training
    assert model.conv_stem.out_channels == int(32 * 0.35)
    assert model(torch.zeros(2, 3, 150, 131)).shape == (2, 7)
    assert load("mobilenet_v1", "torch", multiplier=0.1).conv_stem.out_channels == 8  # slim's min_depth


def test_a_map_that_slim_cannot_squeeze_is_refused_and_global_pool_takes_any_size() -> None:
    with pytest.raises(ValueError, match="build the network with global_pool=True"):
        load("mobilenet_v1_0.25_128", "torch")(torch.zeros(1, 3, 257, 257))
    assert load("mobilenet_v1_0.25_128", "torch", global_pool=True)(torch.zeros(1, 3, 300, 280)).shape == (
        1,
        1001,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_network_has_the_dtype_asked_for(dtype: str) -> None:
    model = load("mobilenet_v1_0.25_128", "torch", dtype=dtype)
    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{dtype}"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [False, True])
def test_endpoints_leave_the_network_as_it_was(dtype: str, training: bool) -> None:
    model = load("mobilenet_v1_0.25_128", "torch", dtype=dtype).train(training)
    model.classifier.half()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for pictures in (np.zeros((2, 128, 128, 3), np.float64), np.ones((2, 128, 128, 3), np.float32)):
        found = endpoints("mobilenet_v1_0.25_128", model, pictures)
        assert list(found) == list(recorded("mobilenet_v1_0.25_128").endpoint_shapes)
        assert {values.dtype for values in found.values()} == {pictures.dtype}
    after = model.state_dict()
    assert model.training is training
    assert all(after[name].dtype == value.dtype and torch.equal(after[name], value) for name, value in before.items())
    model.conv_stem.weight.sum().backward()  # the parameters are still trainable


def test_endpoints_of_a_strange_network_are_refused() -> None:
    with pytest.raises(PorterError, match=r"dict is neither a torch.nn.Module nor a keras.Model"):
        endpoints("mobilenet_v1_0.25_128", {}, np.zeros((1, 128, 128, 3)))
    with pytest.raises(PorterError, match="Conv2d has no layer of mobilenet_v1"):
        endpoints("mobilenet_v1", torch.nn.Conv2d(3, 3, 1), np.zeros((1, 128, 128, 3)))
