"""Every dialect of a library: its names and shapes are those of the library's own networks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers import libraries, tensornets_graphs
from porter.catalog.models import ARCHS, find_arch, is_model
from porter.formats.checkpoint import Checkpoint, Entry
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table
from porter.mapping.translate import translate

GRAPHS = {
    "mobilenet_v1_0.25_128": ("mobilenets", "mobilenet25"),
    "mobilenet_v2_0.35_224": ("mobilenets", "mobilenet35v2"),
    "mobilenet_v3_large_1.0_224": ("mobilenets", "mobilenet100v3large"),
    "mobilenet_v3_small_1.0_224": ("mobilenets", "mobilenet100v3small"),
    "mobilenet_v3_large_minimalistic_1.0_224": ("mobilenets", "mobilenet100v3largemini"),
    "mobilenet_v3_small_minimalistic_1.0_224": ("mobilenets", "mobilenet100v3smallmini"),
    "nasnet_large": ("nasnets", "nasnetAlarge"),
    "nasnet_mobile": ("nasnets", "nasnetAmobile"),
    "pnasnet_large": ("nasnets", "pnasnetlarge"),
    "inception_v3": ("inceptions", "inception3"),
    "inception_v4": ("inceptions", "inception4"),
    "inception_resnet_v2": ("inceptions", "inceptionresnetS"),
    "resnet_v1_50": ("resnets", "resnet50"),
    "resnet_v1_101": ("resnets", "resnet101"),
    "resnet_v1_152": ("resnets", "resnet152"),
    "resnet_v2_50": ("resnets", "resnet50v2"),
    "resnet_v2_101": ("resnets", "resnet101v2"),
    "resnet_v2_152": ("resnets", "resnet152v2"),
    "vgg_16": ("vggs", "vgg16"),
    "vgg_19": ("vggs", "vgg19"),
}
QUICK = {"mobilenet_v1_0.25_128", "resnet_v2_50", "vgg_16"}
"""Those whose graphs TensorFlow builds within seconds."""


SIZES = {"mobilenet_v2_0.35": "_96", "mobilenet_v1_0.25": "_128"}
MODELS = [(dialect, name if is_model(name) else name + SIZES.get(name, "_224")) for dialect, name in libraries.NETWORKS]


@pytest.mark.parametrize(("dialect", "model"), MODELS)
def test_names_and_shapes_are_those_of_the_librarys_network(dialect: str, model: str) -> None:
    arch = find_arch(model)
    table = Table.load(arch.table)
    with torch.device("meta"):
        state = libraries.network(dialect, model).state_dict()
    theirs = {name: tuple(value.shape) for name, value in state.items() if not table.ignored(dialect, name)}
    assert expected_shapes(arch, table, dialect) == theirs


@pytest.mark.parametrize("model", [pytest.param(m, marks=[] if m in QUICK else pytest.mark.slow) for m in GRAPHS])
def test_names_shapes_and_order_are_those_of_tensornets(model: str) -> None:
    arch = find_arch(model)
    table = Table.load(arch.table)
    shapes = expected_shapes(arch, table, "tensornets")
    ours = sorted(shapes, key=table.record("tensornets").rank)
    theirs = tensornets_graphs.variables(*GRAPHS[model], size=arch.input_size, classes=arch.num_classes)
    assert [(name, shapes[name]) for name in ours] == theirs


def test_each_librarys_dialect_is_compared() -> None:
    """But for the tables that only extend a compared one by another width or depth."""
    compared = {(dialect, find_arch(model).table) for dialect, model in MODELS}
    compared |= {("tensornets", find_arch(model).table) for model in GRAPHS}
    tables = {arch.table for arch in ARCHS.values()}
    names = {"timm", "hf", "cadene", "torchvision", "tensornets"}
    assert compared == {(d, name) for name in tables for d in Table.load(name).dialects if d in names}


KERAS_APPLICATIONS = [
    "mobilenet_v1_0.25_128",
    "mobilenet_v2_0.35_96",
    "mobilenet_v3_small_1.0_224",
    "resnet_v1_50",
    "resnet_v2_50",
    *(
        pytest.param(model, marks=pytest.mark.slow)
        for model in (
            "mobilenet_v3_large_1.0_224",
            "mobilenet_v3_small_minimalistic_1.0_224",
            "mobilenet_v3_large_minimalistic_1.0_224",
            "nasnet_mobile",
            "nasnet_large",
            "inception_v3",
            "inception_resnet_v2",
            "resnet_v1_101",
            "resnet_v1_152",
            "resnet_v2_101",
            "resnet_v2_152",
            "vgg_16",
            "vgg_19",
        )
    ),
]


@pytest.mark.parametrize("model", KERAS_APPLICATIONS)
def test_kerass_names_and_shapes_are_those_of_keras_applications(model: str) -> None:
    keras: Any = pytest.importorskip("keras")
    arch = find_arch(model)
    table = Table.load(arch.table)
    entry, record = table.networks["keras"], table.record("keras")
    values = {"num_classes": arch.num_classes, "input_size": arch.input_size, "in_channels": 3}
    keras.utils.clear_session()  # it numbers its unnamed layers
    network = getattr(keras.applications, entry.constructor)(**entry.filled(arch, **values))
    theirs = {f"{each.name}/{weight.name}": weight.shape for each in network.layers for weight in each.weights}
    optional = {pair.source for pair in table.pairs("keras", "keras", table.parts) if pair.part}
    shapes = expected_shapes(arch, table, "keras")
    assert {record.unscoped(name): shape for name, shape in shapes.items() if name not in optional} == theirs


def of_zeros(shapes: Mapping[str, tuple[int, ...]]) -> Checkpoint:
    entries = {
        name: Entry(shape, np.dtype(np.float32), partial(np.zeros, shape, np.float32)) for name, shape in shapes.items()
    }
    return Checkpoint(Path("a.pth"), "PyTorch", entries)


def test_the_part_that_a_librarys_network_always_has_is_fresh_where_the_file_lacks_it() -> None:
    """TensorNets assigns arrays by their order alone, the auxiliary head's in the middle."""
    arch = find_arch("nasnet_mobile")
    table = Table.load(arch.table)
    found = translate(of_zeros(expected_shapes(arch, table, "cadene")), arch, "cadene", "tensornets")
    want = sorted(expected_shapes(arch, table, "tensornets"), key=table.record("tensornets").rank)
    assert [*found.entries] == want
    assert found.entries["aux/logits/weights"].load().std() == pytest.approx(0.01, rel=0.05)
    assert (found.entries["aux/proj/bn/gamma"].load() == 1).all()
    assert not found.entries["aux/proj/bn/beta"].load().any()
    assert [note.partition(",")[0] for note in found.notes] == ["the auxiliary head"]


OLDER = [
    ("vgg_16", "torchvision", {"classifier.0": "classifier.1", "classifier.3": "classifier.4"}),
    ("inception_resnet_v2", "cadene", {"last_linear": "classif"}),
    ("inception_v4", "cadene", {"last_linear": "classif"}),
]


@pytest.mark.parametrize(("model", "dialect", "older"), OLDER)
def test_older_files_have_other_names_of_a_layer(model: str, dialect: str, older: dict[str, str]) -> None:
    """wkentaro/pytorch-fcn#24 and fartashf/vsepp#10; fastai/fastai#706; Cadene/tensorflow-model-zoo.torch#12."""
    arch = find_arch(model)
    shapes = expected_shapes(arch, Table.load(arch.table), dialect)
    parts = {name: name.rpartition(".") for name in shapes}
    named = {f"{older.get(layer, layer)}.{leaf}": shapes[name] for name, (layer, _, leaf) in parts.items()}
    taken = translate(of_zeros(named), arch, dialect, "torch").taken
    assert {taken[f"{now}.weight"] for now in older} == {f"{then}.weight" for then in older.values()}
