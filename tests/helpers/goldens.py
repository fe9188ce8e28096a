"""The goldens as parameters of tests: costly networks belong to the slow tail."""

from __future__ import annotations

from typing import Any

import pytest

from porter.catalog.goldens import recorded
from porter.files import package_data

COSTLY = 2_000_000_000
"""Multiply-adds from which on a golden's network takes many seconds; most families have a golden below."""


def goldens() -> list[Any]:
    """Return the name of every golden, marked as slow where its network is costly."""
    names = sorted(path.parent.name for path in package_data.folder("golden").glob("*/golden.npz"))
    return [pytest.param(name, marks=pytest.mark.slow if _is_costly(name) else ()) for name in names]


def _is_costly(name: str) -> bool:
    return (recorded(name).multiply_adds or 0) > COSTLY
