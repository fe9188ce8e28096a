"""Every dialect of a library: its names and shapes are those of the library's own networks."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from helpers import cadene, tensornets_graphs, torchvision_sources, torchvision_stand_in
from porter.catalog.models import ARCHS, find_arch
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table

Build = Callable[[], nn.Module]


def _timm(name: str, classes: int = 1001, **options: Any) -> Build:
    def build() -> nn.Module:
        torchvision_stand_in.install()
        module: nn.Module = pytest.importorskip("timm").create_model(name, num_classes=classes, **options)
        return module

    return build


def _hf(name: str, classes: int = 1001, **options: Any) -> Build:
    def build() -> nn.Module:
        transformers: Any = pytest.importorskip("transformers")
        config = getattr(transformers, f"{name}Config")(num_labels=classes, **options)
        module: nn.Module = getattr(transformers, f"{name}ForImageClassification")(config)
        return module

    return build


def _torchvision(file: str, name: str, classes: int = 1001, **options: Any) -> Build:
    def build() -> nn.Module:
        options.setdefault("weights", None)
        module: nn.Module = getattr(torchvision_sources.network_file(file), name)(num_classes=classes, **options)
        return module

    return build


def _cadene(file: str, name: str, classes: int = 1001) -> Build:
    return lambda: getattr(cadene.network_file(file), name)(num_classes=classes)


def _cadene_of_torchvision(change: str, network: Build) -> Build:
    return lambda: getattr(cadene.network_file("torchvision_models"), change)(network())


def _cadenes_inception_v3() -> nn.Module:
    file = cadene.network_file("torchvision_models")
    theirs = _torchvision("inception", "inception_v3", init_weights=False)
    file.models = SimpleNamespace(inception_v3=lambda **_: theirs())
    module: nn.Module = file.inceptionv3(pretrained=None)
    return module


BOTTLENECKS = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}

NETWORKS: dict[tuple[str, str], Build] = {
    ("timm", "mobilenet_v1_1.0_224"): _timm("mobilenetv1_100"),
    ("timm", "mobilenet_v2_1.0_224"): _timm("mobilenetv2_100"),
    ("timm", "mobilenet_v2_0.35_224"): _timm("mobilenetv2_035"),
    ("timm", "mobilenet_v3_large_1.0_224"): _timm("tf_mobilenetv3_large_100"),
    ("timm", "mobilenet_v3_small_1.0_224"): _timm("tf_mobilenetv3_small_100"),
    ("timm", "mobilenet_v3_large_minimalistic_1.0_224"): _timm("tf_mobilenetv3_large_minimal_100"),
    ("timm", "mobilenet_v3_small_minimalistic_1.0_224"): _timm("tf_mobilenetv3_small_minimal_100"),
    ("timm", "nasnet_large"): _timm("nasnetalarge"),
    ("timm", "pnasnet_large"): _timm("pnasnet5large"),
    ("timm", "inception_v3"): _timm("inception_v3", aux_logits=True),
    ("timm", "inception_v4"): _timm("inception_v4"),
    ("timm", "inception_resnet_v2"): _timm("inception_resnet_v2"),
    ("timm", "vgg_16"): _timm("vgg16", 1000),
    ("timm", "vgg_19"): _timm("vgg19", 1000),
    ("hf", "mobilenet_v1_1.0_224"): _hf("MobileNetV1"),
    ("hf", "mobilenet_v1_0.25_128"): _hf("MobileNetV1", depth_multiplier=0.25),
    ("hf", "mobilenet_v2_1.0_224"): _hf("MobileNetV2"),
    ("hf", "mobilenet_v2_0.35_96"): _hf("MobileNetV2", depth_multiplier=0.35),
    ("hf", "mobilenet_v2_1.4_224"): _hf("MobileNetV2", depth_multiplier=1.4),
    ("cadene", "nasnet_large"): _cadene("nasnet", "NASNetALarge"),
    ("cadene", "nasnet_mobile"): _cadene("nasnet_mobile", "NASNetAMobile"),
    ("cadene", "pnasnet_large"): _cadene("pnasnet", "PNASNet5Large"),
    ("cadene", "inception_v4"): _cadene("inceptionv4", "InceptionV4"),
    ("cadene", "inception_resnet_v2"): _cadene("inceptionresnetv2", "InceptionResNetV2"),
    ("cadene", "inception_v3"): _cadenes_inception_v3,
    ("torchvision", "inception_v3"): _torchvision("inception", "inception_v3", init_weights=False),
    ("torchvision", "inception_v1"): _torchvision("googlenet", "googlenet", init_weights=False),
    ("torchvision", "mobilenet_v2_1.0_224"): _torchvision("mobilenetv2", "mobilenet_v2"),
    ("torchvision", "mobilenet_v2_0.35_96"): _torchvision("mobilenetv2", "mobilenet_v2", width_mult=0.35),
    ("torchvision", "mobilenet_v3_large_1.0_224"): _torchvision("mobilenetv3", "mobilenet_v3_large"),
    ("torchvision", "mobilenet_v3_small_1.0_224"): _torchvision("mobilenetv3", "mobilenet_v3_small"),
}
for _depth, _units in BOTTLENECKS.items():
    _theirs = _torchvision("resnet", f"resnet{_depth}", 1000)
    NETWORKS |= {
        ("timm", f"resnet_v1_{_depth}"): _timm(f"resnet{_depth}", 1000),
        ("timm", f"resnet_v2_{_depth}"): _timm(f"resnetv2_{_depth}"),
        ("hf", f"resnet_v1_{_depth}"): _hf("ResNet", 1000, depths=_units),
        ("torchvision", f"resnet_v1_{_depth}"): _theirs,
        ("cadene", f"resnet_v1_{_depth}"): _cadene_of_torchvision("modify_resnets", _theirs),
    }
for _depth in (16, 19):
    _theirs = _torchvision("vgg", f"vgg{_depth}", 1000)
    NETWORKS |= {
        ("torchvision", f"vgg_{_depth}"): _theirs,
        ("cadene", f"vgg_{_depth}"): _cadene_of_torchvision("modify_vggs", _theirs),
    }

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


@pytest.mark.parametrize(("dialect", "model"), NETWORKS)
def test_names_and_shapes_are_those_of_the_librarys_network(dialect: str, model: str) -> None:
    arch = find_arch(model)
    table = Table.load(arch.table)
    with torch.device("meta"):
        state = NETWORKS[dialect, model]().state_dict()
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
    compared = {(dialect, find_arch(model).table) for dialect, model in NETWORKS}
    compared |= {("tensornets", find_arch(model).table) for model in GRAPHS}
    tables = {arch.table for arch in ARCHS.values()}
    libraries = {"timm", "hf", "cadene", "torchvision", "tensornets"}
    assert compared == {(d, name) for name in tables for d in Table.load(name).dialects if d in libraries}
