"""The networks of the libraries that porter has dialects of, built by the libraries themselves."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from helpers import cadene, torchvision_sources, torchvision_stand_in
from porter.catalog.models import find_arch

Build = Callable[..., nn.Module]
"""Builds a network for a number of classes; other options are the library's."""


def _timm(name: str, **options: Any) -> Build:
    def build(classes: int, **more: Any) -> nn.Module:
        torchvision_stand_in.install()
        module: nn.Module = pytest.importorskip("timm").create_model(name, num_classes=classes, **options, **more)
        return module

    return build


def _hf(name: str, **options: Any) -> Build:
    def build(classes: int, **more: Any) -> nn.Module:
        transformers: Any = pytest.importorskip("transformers")
        config = getattr(transformers, f"{name}Config")(num_labels=classes, **options, **more)
        module: nn.Module = getattr(transformers, f"{name}ForImageClassification")(config)
        return module

    return build


def _torchvision(file: str, name: str, **options: Any) -> Build:
    def build(classes: int, **more: Any) -> nn.Module:
        builder = getattr(torchvision_sources.network_file(file), name)
        module: nn.Module = builder(weights=None, num_classes=classes, **options, **more)
        return module

    return build


def _cadene(file: str, name: str) -> Build:
    def build(classes: int, **more: Any) -> nn.Module:
        module: nn.Module = getattr(cadene.network_file(file), name)(num_classes=classes, **more)
        return module

    return build


def _cadene_of_torchvision(change: str, network: Build) -> Build:
    def build(classes: int, **more: Any) -> nn.Module:
        module: nn.Module = getattr(cadene.network_file("torchvision_models"), change)(network(classes, **more))
        return module

    return build


def _cadenes_inception_v3(classes: int, **more: Any) -> nn.Module:
    file = cadene.network_file("torchvision_models")
    file.models = SimpleNamespace(inception_v3=lambda **_: INCEPTION_V3(classes, **more))
    module: nn.Module = file.inceptionv3(pretrained=None)
    return module


INCEPTION_V3 = _torchvision("inception", "inception_v3", init_weights=False)

NETWORKS: dict[tuple[str, str], Build] = {
    ("timm", "mobilenet_v1_1.0"): _timm("mobilenetv1_100"),
    ("timm", "mobilenet_v2_1.0"): _timm("mobilenetv2_100"),
    ("timm", "mobilenet_v2_0.35"): _timm("mobilenetv2_035"),
    ("timm", "mobilenet_v3_large_1.0"): _timm("tf_mobilenetv3_large_100"),
    ("timm", "mobilenet_v3_small_1.0"): _timm("tf_mobilenetv3_small_100"),
    ("timm", "mobilenet_v3_small_0.75"): _timm("tf_mobilenetv3_small_075"),
    ("timm", "mobilenet_v3_large_minimalistic_1.0"): _timm("tf_mobilenetv3_large_minimal_100"),
    ("timm", "mobilenet_v3_small_minimalistic_1.0"): _timm("tf_mobilenetv3_small_minimal_100"),
    ("timm", "nasnet_large"): _timm("nasnetalarge"),
    ("timm", "pnasnet_large"): _timm("pnasnet5large"),
    ("timm", "inception_v3"): _timm("inception_v3", aux_logits=True),
    ("timm", "inception_v4"): _timm("inception_v4"),
    ("timm", "inception_resnet_v2"): _timm("inception_resnet_v2"),
    ("timm", "vgg_16"): _timm("vgg16"),
    ("timm", "vgg_19"): _timm("vgg19"),
    ("hf", "mobilenet_v1_1.0"): _hf("MobileNetV1"),
    ("hf", "mobilenet_v1_0.25"): _hf("MobileNetV1", depth_multiplier=0.25),
    ("hf", "mobilenet_v2_1.0"): _hf("MobileNetV2"),
    ("hf", "mobilenet_v2_0.35"): _hf("MobileNetV2", depth_multiplier=0.35),
    ("hf", "mobilenet_v2_1.4"): _hf("MobileNetV2", depth_multiplier=1.4),
    ("cadene", "nasnet_large"): _cadene("nasnet", "NASNetALarge"),
    ("cadene", "nasnet_mobile"): _cadene("nasnet_mobile", "NASNetAMobile"),
    ("cadene", "pnasnet_large"): _cadene("pnasnet", "PNASNet5Large"),
    ("cadene", "inception_v3"): _cadenes_inception_v3,
    ("cadene", "inception_v4"): _cadene("inceptionv4", "InceptionV4"),
    ("cadene", "inception_resnet_v2"): _cadene("inceptionresnetv2", "InceptionResNetV2"),
    ("torchvision", "inception_v3"): INCEPTION_V3,
    ("torchvision", "inception_v1"): _torchvision("googlenet", "googlenet", init_weights=False),
    ("torchvision", "mobilenet_v2_1.0"): _torchvision("mobilenetv2", "mobilenet_v2"),
    ("torchvision", "mobilenet_v2_0.35"): _torchvision("mobilenetv2", "mobilenet_v2", width_mult=0.35),
    ("torchvision", "mobilenet_v3_large_1.0"): _torchvision("mobilenetv3", "mobilenet_v3_large"),
    ("torchvision", "mobilenet_v3_small_1.0"): _torchvision("mobilenetv3", "mobilenet_v3_small"),
}
"""Builders by dialect and model, without the size in the names of MobileNets."""

for _depth, _units in {50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}.items():
    _theirs = _torchvision("resnet", f"resnet{_depth}")
    NETWORKS |= {
        ("timm", f"resnet_v1_{_depth}"): _timm(f"resnet{_depth}"),
        ("timm", f"resnet_v2_{_depth}"): _timm(f"resnetv2_{_depth}"),
        ("hf", f"resnet_v1_{_depth}"): _hf("ResNet", depths=_units),
        ("torchvision", f"resnet_v1_{_depth}"): _theirs,
        ("cadene", f"resnet_v1_{_depth}"): _cadene_of_torchvision("modify_resnets", _theirs),
    }
for _depth in (16, 19):
    _theirs = _torchvision("vgg", f"vgg{_depth}")
    NETWORKS |= {
        ("torchvision", f"vgg_{_depth}"): _theirs,
        ("cadene", f"vgg_{_depth}"): _cadene_of_torchvision("modify_vggs", _theirs),
    }


def network(dialect: str, model: str, **options: Any) -> nn.Module:
    """Return the library's own network for ``model``, with the library's ``options`` and porter's number of classes."""
    sized = model if (dialect, model) in NETWORKS else model.rpartition("_")[0]
    return NETWORKS[dialect, sized](find_arch(model).num_classes, **options)
