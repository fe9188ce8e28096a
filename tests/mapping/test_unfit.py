"""A file that is not the model asked for: the error says what it is, and the call that it names takes the file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import detector, in_memory, seeded_variables
from helpers.sentences import assert_reads_well
from porter.catalog.models import find_arch
from porter.errors import MappingError
from porter.mapping.translate import Options, translate

ARCH = find_arch("mobilenet_v1_0.25_128")
NET = seeded_variables()
TORCH = {name: entry.load() for name, entry in translate(in_memory(NET), ARCH, "tf", "torch").entries.items()}
KERAS = {name: entry.load() for name, entry in translate(in_memory(NET), ARCH, "tf", "keras").entries.items()}
MOBILE = seeded_variables("nasnet_mobile")
STRANGER = {f"resnet_v1_50/block{at}/weights": np.zeros((1, 1, 8, 8), np.float32) for at in range(4)}


def refused(
    tensors: dict[str, np.ndarray], model: str, source: str = "tf", name: str = "model.ckpt", **options: Any
) -> MappingError:
    checkpoint = in_memory(tensors, name)
    with pytest.raises(MappingError) as error:
        translate(checkpoint, find_arch(model), source, "torch", Options(**options))
    assert_reads_well(str(error.value), checkpoint.path)
    assert "ignore" not in str(error.value)
    return error.value


FOUND = [
    # another width: titu1994/MobileNetworks#5
    (NET, "mobilenet_v1_1.0_224", "tf", "holds MobileNet V1 0.25,", {"model": "mobilenet_v1_0.25_224"}),
    # another family
    (MOBILE, "mobilenet_v1_0.25_128", "tf", "holds NASNet-A Mobile at 224", {"model": "nasnet_mobile"}),
    (MOBILE, "nasnet_large", "tf", "holds NASNet-A Mobile at 224", {"model": "nasnet_mobile"}),
    # another dialect
    (KERAS, "mobilenet_v1_0.25_128", "tf", "with the names of Keras", {"source": "keras"}),
    (TORCH, "mobilenet_v1_0.25_128", "keras", "with the names of PyTorch", {"source": "torch"}),
    (NET, "mobilenet_v1_0.25_128", "torch", "with the names of TensorFlow", {"source": "tf"}),
    # both, behind a wrapper's prefix
    (
        {f"module.{name}": value for name, value in TORCH.items()},
        "mobilenet_v1_0.5_128",
        "tf",
        "contains MobileNet V1 0.25, whose weights .* in the scope module",
        {"model": "mobilenet_v1_0.25_128", "source": "torch"},
    ),
    # a detector's file for another width
    (detector(), "mobilenet_v1_1.0_224", "tf", "in the scope FeatureExtractor, without its classifier", None),
]


@pytest.mark.parametrize(("tensors", "model", "source", "what", "way"), FOUND)
def test_the_error_says_what_the_file_is_and_which_call_takes_it(
    tensors: dict[str, np.ndarray], model: str, source: str, what: str, way: dict[str, Any] | None
) -> None:
    error = refused(tensors, model, source)
    assert re.search(f"the file .*{what}", str(error))
    (taken,) = error.ways
    assert taken == (way or {"model": "mobilenet_v1_0.25_224", "backbone": True})
    call = {"model": model, "source": source, **taken}
    options = Options(backbone=call.get("backbone", False))
    assert translate(in_memory(tensors), find_arch(call["model"]), call["source"], "torch", options).entries


def test_a_file_of_no_known_network_is_said_to_be_unknown() -> None:
    error = refused(STRANGER, "mobilenet_v1_0.25_128")
    assert not error.ways
    assert re.search(
        "holds another network, which porter does not know, with variables in the scopes resnet_v1_50", str(error)
    )
    assert re.search("look at it with `port inspect model.ckpt`", str(error))


def test_names_that_a_file_does_not_state_do_not_make_it_another_network() -> None:
    note = "the file states no name of 2 layers: save it as .h5"
    checkpoint = replace(in_memory({"layers/dense/vars/0": np.zeros((2, 2))}), named=False, notes=(note,))
    with pytest.raises(MappingError) as error:
        translate(checkpoint, ARCH, "keras", "torch")
    assert str(error.value).endswith(note)
    assert "another network" not in str(error.value)


def test_without_any_variable_the_error_says_so() -> None:
    assert re.search("with no variables", str(refused({"global_step": np.zeros((), np.int64)}, "mobilenet_v1")))


def test_a_width_that_was_not_released_is_named() -> None:
    from porter.mapping.shapes import expected_shapes
    from porter.mapping.table import Table

    arch = find_arch("mobilenet_v1_0.35_192")
    shapes = expected_shapes(arch, Table.load(arch.table), "tf")
    error = refused({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, "mobilenet_v1_0.25_192")
    assert error.ways == ({"model": "mobilenet_v1_0.35_192"},)


def test_a_damaged_copy_is_not_called_another_network() -> None:
    tensors = dict(NET)
    del tensors["MobilenetV1/Conv2d_7_depthwise/depthwise_weights"]
    error = refused(tensors, "mobilenet_v1_0.25_128")
    assert re.search(
        r"lacks 1 of the 137 tensors .*\n  MobilenetV1/Conv2d_7_depthwise/depthwise_weights\n  save the", str(error)
    )
    assert re.search(
        "the file comes closest to MobileNet V1 0.25, but lacks 1", str(refused(tensors, "mobilenet_v1_0.5_128"))
    )


def test_two_copies_of_another_model_have_a_way_each() -> None:
    tensors = {f"{scope}/{name}": value for scope in ("student", "teacher") for name, value in NET.items()}
    error = refused({**tensors}, "nasnet_mobile")
    assert error.ways == tuple(
        {"model": "mobilenet_v1_0.25_224", "prefix": f"{scope}/"} for scope in ("student", "teacher")
    )


def test_the_files_name_decides_among_sizes() -> None:
    error = refused(NET, "mobilenet_v1_1.0_224", name="mobilenet_v1_0.25_160.ckpt")
    assert error.ways == ({"model": "mobilenet_v1_0.25_160"},)
