"""Makes the libraries importable that the tests read from single files: torchvision, and Cadene's pretrainedmodels."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest

from helpers import cadene, torchvision_sources, torchvision_stand_in
from porter.mapping.table import Table

FILES: dict[str, tuple[Any, dict[str, str]]] = {
    "torchvision.models": (
        torchvision_sources.network_file,
        {
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
        },
    ),
    "pretrainedmodels": (
        cadene.network_file,
        {
            "nasnetalarge": "nasnet",
            "nasnetamobile": "nasnet_mobile",
            "pnasnet5large": "pnasnet",
            "inceptionv4": "inceptionv4",
            "inceptionresnetv2": "inceptionresnetv2",
        },
    ),
}
"""For each library, the reader of its files and the file of each constructor."""


def require_library(table: str, dialect: str, patch: pytest.MonkeyPatch) -> None:
    """Let ``dialect``'s library be imported until ``patch`` is undone, or skip the test."""
    found = Table.load(table)
    library, constructor = found.record(dialect).library, found.networks[dialect].constructor
    if library in FILES:
        read, files = FILES[library]
        module = ModuleType(library)
        setattr(module, constructor, getattr(read(files[constructor]), constructor))
        patch.setitem(sys.modules, library, module)
        return
    torchvision_stand_in.install()
    package = library.partition(".")[0]
    try:
        importlib.import_module(package)
    except ImportError:
        pytest.skip(f"needs {package} of tests/peers.txt")
