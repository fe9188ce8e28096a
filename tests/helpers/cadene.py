"""Cadene's networks, from single files of pretrainedmodels: its package imports torchvision and more."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from helpers import torchvision_stand_in
from helpers.modules import module_of


def network_file(name: str) -> Any:
    """Return the module pretrainedmodels.models.<name>. Skips the test without tests/peers.txt."""
    package = importlib.util.find_spec("pretrainedmodels")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs tests/peers.txt")
    file = Path(package.submodule_search_locations[0]) / "models" / f"{name}.py"
    with torchvision_stand_in.standing_in():
        return module_of(file, f"cadene_{name}")
