"""Makes the libraries importable that the tests read from single files: torchvision, and Cadene's pretrainedmodels."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from helpers import cadene, torchvision_sources, torchvision_stand_in
from porter.mapping.table import Table

FILES = {
    "torchvision.models": (torchvision_sources.network_file, torchvision_sources.FILES),
    "pretrainedmodels": (cadene.network_file, cadene.FILES),
}
"""For each library, the reader of its files and the file of each constructor."""


def require_library(table: str, dialect: str, patch: pytest.MonkeyPatch) -> None:
    """Let ``dialect``'s library be imported until ``patch`` is undone, or skip the test."""
    found = Table.load(table)
    library = found.record(dialect).library
    if library in FILES:
        constructor = str(found.networks[dialect].constructor)
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
