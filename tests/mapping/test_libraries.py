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
from helpers.logits import judged
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import ARCHS, Arch, find_arch, is_model
from porter.formats.checkpoint import Checkpoint, Entry
from porter.mapping.grid import grid
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.runners.golden import golden_images

TABLES = {name: Table.load(name) for name in sorted({arch.table for arch in ARCHS.values()})}
TENSORNETS = [table for table in TABLES.values() if "tensornets" in table.dialects]
QUICK = {"mobilenet_v1", "resnet_v2_50", "vgg_16"}
"""The tables whose graphs TensorFlow builds within seconds."""
SAME = {"mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small_minimalistic"}
"""The tables whose networks of TensorNets compute three images within seconds."""


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


def golden_of(table: Table) -> str | None:
    """Return the golden that the table compares TensorNets on, None where nobody ran TensorNets' network."""
    measured = [entry.measured for entry in table.differs if entry.dialect == "tensornets"]
    return measured[0] if measured else table.networks["tensornets"].same_on


def of_tensornets(table: Table) -> tuple[Arch, str]:
    """Return a model of ``table`` and TensorNets' function of it."""
    golden = golden_of(table)
    name = recorded(golden).model if golden else next(arch.name for arch in ARCHS.values() if arch.table == table.name)
    return find_arch(name), table.networks["tensornets"].constructor_of(find_arch(name))


def marked(table: Table, quick: set[str]) -> Any:
    return pytest.param(table, id=table.name, marks=[] if table.name in quick else pytest.mark.slow)


@pytest.mark.parametrize("table", [marked(table, QUICK) for table in TENSORNETS])
def test_names_shapes_and_order_are_those_of_tensornets(table: Table) -> None:
    arch, network = of_tensornets(table)
    shapes = expected_shapes(arch, table, "tensornets")
    ours = sorted(shapes, key=table.record("tensornets").rank)
    theirs = tensornets_graphs.variables(network, size=arch.input_size, classes=arch.num_classes)
    assert [(name, shapes[name]) for name in ours] == theirs


@pytest.mark.parametrize("table", [marked(table, SAME) for table in TENSORNETS if golden_of(table)])
def test_tensornets_computes_what_the_table_says(table: Table) -> None:
    """Its own network, with the port of the golden's weights."""
    arch, network = of_tensornets(table)
    golden = recorded(str(golden_of(table)))
    seeds, images = seeded_checkpoint(golden), golden_images(golden.input_size).astype(np.float32)
    tensors = translate(seeds, arch, "tf", "tensornets").as_checkpoint(seeds)
    found = tensornets_graphs.logits(network, dict(tensors), images, arch.num_classes)
    if logits := [entry.logits for entry in table.differs if entry.dialect == "tensornets"]:
        want = golden.values()["logits_float64"]
        assert np.abs(found - want).max() / want.std() == pytest.approx(logits[0], rel=0.01, abs=1e-4)
    else:
        assert judged(found, golden.name)


def test_each_librarys_dialect_is_compared() -> None:
    """But for the tables that only extend a compared one by another width or depth."""
    compared = {(dialect, find_arch(model).table) for dialect, model in MODELS}
    names = {"timm", "hf", "cadene", "torchvision"}
    assert compared == {(d, name) for name, table in TABLES.items() for d in table.dialects if d in names}


def test_each_librarys_function_is_compared() -> None:
    """Of every dialect the grid knows whether the library computes the original, but for some of TensorNets'."""
    assert {cell.dialect.name for cell in grid() if cell.logits is None} <= {"tensornets"}


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
    network = getattr(keras.applications, entry.constructor_of(arch))(**entry.filled(arch, **values))
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
