"""Cadene's networks, from single files of pretrainedmodels: its package imports torchvision and more.

A file whose networks are torchvision's gets those of tests/sources.txt.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from helpers import torchvision_sources, torchvision_stand_in
from helpers.modules import module_of

FILES = {
    "nasnetalarge": "nasnet",
    "nasnetamobile": "nasnet_mobile",
    "pnasnet5large": "pnasnet",
    "inceptionv3": "torchvision_models",
    "inceptionv4": "inceptionv4",
    "inceptionresnetv2": "inceptionresnetv2",
    "resnet50": "torchvision_models",
    "resnet101": "torchvision_models",
    "resnet152": "torchvision_models",
    "vgg16": "torchvision_models",
    "vgg19": "torchvision_models",
}
"""The file of each constructor."""


def network_file(name: str) -> Any:
    """Return the module pretrainedmodels.models.<name>. Skips the test without tests/peers.txt."""
    package = importlib.util.find_spec("pretrainedmodels")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs tests/peers.txt")
    file = Path(package.submodule_search_locations[0]) / "models" / f"{name}.py"
    with torchvision_stand_in.standing_in():
        module = module_of(file, f"cadene_{name}")
    if name == "torchvision_models":
        module.models = torchvision_sources.Models("torchvision.models")
    return module
