"""The goldens as parameters of tests: costly networks belong to the slow tail."""

from __future__ import annotations

from typing import Any

import pytest

from porter.catalog.goldens import recorded
from porter.catalog.models import find_arch
from porter.files import package_data

COSTLY = 2_000_000_000
"""Multiply-adds from which on a golden's network takes many seconds."""


def goldens(framework: str = "torch") -> list[Any]:
    """Return the name of every golden whose model has a network in ``framework``.

    The slow tail has costly networks, and most of the released sizes of a family. The smallest network of each family
    stays, and every golden of an input size that is not released.
    """
    names = sorted(path.parent.name for path in package_data.folder("golden").glob("*/golden.npz"))
    names = [name for name in names if framework in find_arch(recorded(name).model).builders]
    cost = {name: multiply_adds(name) for name in names}
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(find_arch(recorded(name).model).family, []).append(name)
    kept = {min(family, key=cost.__getitem__) for family in families.values()} | {name for name in names if "@" in name}
    return [
        pytest.param(name, marks=() if name in kept and cost[name] < COSTLY else pytest.mark.slow) for name in names
    ]


def multiply_adds(name: str) -> int:
    """Return those of a golden's network, 0 where none are recorded."""
    return recorded(name).multiply_adds or 0
