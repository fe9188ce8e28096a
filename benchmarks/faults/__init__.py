"""The faults that the drill plants: one file of this folder for each family, found by listing the folder.

A file has ``MODEL``, the golden whose model is changed, at that golden's size, and ``FAULTS``, its list of ``Fault``.
The drill, the table in docs/verify.md and the tests take every file up.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from planting import Fault, planted

_FAMILIES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]

FAULTS: dict[str, list[Fault]] = {family.MODEL: family.FAULTS for family in _FAMILIES}
"""The faults by model."""

__all__ = ["FAULTS", "Fault", "planted"]
