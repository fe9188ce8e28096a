"""torchvision's networks, from its own files without its compiled operations, which need another PyTorch.

`make` unpacks the wheel of tests/sources.txt beside the environment's packages, so that nothing imports it by accident.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SOURCES = Path(sys.prefix) / "sources" / "torchvision"
_NAME = "torchvision_sources"
_PACKAGES = ("", ".models", ".ops", ".transforms")
"""Packages whose own __init__ imports everything: only the files below them are imported here."""
FILES = {
    "googlenet": "googlenet",
    "inception_v3": "inception",
    "mobilenet_v2": "mobilenetv2",
    "mobilenet_v3_large": "mobilenetv3",
    "mobilenet_v3_small": "mobilenetv3",
    "resnet50": "resnet",
    "resnet101": "resnet",
    "resnet152": "resnet",
    "vgg16": "vgg",
    "vgg19": "vgg",
}
"""The file of each constructor."""


def network_file(name: str) -> Any:
    """Return the module torchvision.models.<name>. Skips the test without tests/sources.txt."""
    if not SOURCES.is_dir():
        pytest.skip("needs tests/sources.txt")
    for package in _PACKAGES:
        module = ModuleType(_NAME + package)
        module.__path__ = [str(SOURCES.joinpath(*package.split(".")[1:]))]
        sys.modules.setdefault(module.__name__, module)
    presets = ModuleType(f"{_NAME}.transforms._presets")
    vars(presets)["ImageClassification"] = object  # the networks only mention it in records of their weights
    sys.modules.setdefault(presets.__name__, presets)
    return importlib.import_module(f"{_NAME}.models.{name}")


class Models(ModuleType):
    """torchvision.models: it has the constructors of FILES."""

    def __getattr__(self, name: str) -> Any:
        if name not in FILES:
            raise AttributeError(name)
        return getattr(network_file(FILES[name]), name)
