"""grid: architecture by dialect: what porter reads and writes, whether the library computes the same, and the proof.

Everything follows from the tables: nothing here names a model or a library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from porter.catalog.models import ARCHS, Arch
from porter.mapping.dialects import ORIGINAL, Dialect
from porter.mapping.differs import exact_settings, percent, written_settings
from porter.mapping.rows import Lone
from porter.mapping.table import Table


@dataclass(frozen=True)
class Cell:
    """One architecture in one dialect.

    ``read`` and ``write`` are conditions on values, by role, that a port from and to the original's names has: none
    where it takes any file. ``logits`` is the largest known difference of the library's own network, in standard
    deviations of the original's logits: 0 where it computes the same, None where nobody compared it. At input sizes
    that are multiples of ``multiple`` there is no difference. ``settings`` make the library exact.

    ``proof`` lists what the tests compare: ``original`` runs in TensorFlow itself, ``golden`` compares porter's network
    with the recorded original, ``library`` the library's own network, and ``names`` its names and shapes alone.
    """

    table: str
    models: tuple[str, ...]
    dialect: Dialect
    read: dict[str, float]
    write: dict[str, float]
    logits: float | None
    multiple: int | None
    settings: dict[str, Any]
    proof: tuple[str, ...]

    @property
    def function(self) -> str:
        """Whether the library's network computes the original's function, in words."""
        if self.logits is None:
            return "not compared"
        if not self.logits:
            return "same"
        if self.settings:
            return f"same with {written_settings(self.settings)}"
        at = f"same at multiples of {self.multiple}, otherwise " if self.multiple else ""
        return f"{at}differs by {percent(self.logits)}"

    @property
    def mark(self) -> str:
        """The same in a word or a number."""
        if self.logits is None:
            return "names"
        return "same" if not self.logits or self.settings or self.multiple else percent(self.logits)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "architecture": self.table,
            "models": list(self.models),
            "dialect": self.dialect.name,
            "title": self.dialect.title,
            "read": True,
            "read_where": self.read,
            "write": True,
            "write_where": self.write,
            "function": self.function,
            "logits": self.logits,
            "multiple": self.multiple,
            "settings": self.settings,
            "proof": list(self.proof),
        }


def grid() -> list[Cell]:
    """Return a cell for each dialect of each architecture, in the order of the models."""
    found = []
    for name, archs in groupby(ARCHS.values(), key=lambda arch: arch.table):
        models, table = list(archs), Table.load(name)
        found += [_cell(table, models, record) for record in table.records.values()]
    return found


def _cell(table: Table, models: list[Arch], record: Dialect) -> Cell:
    name = record.name
    own = name == ORIGINAL or (name == record.framework and name in models[0].builders)
    differs = [entry for entry in table.differs if entry.dialect == name]
    same = name in table.networks and table.networks[name].same_on is not None
    logits = max(
        (entry.logits for entry in differs), default=0.0 if same or (own and name not in table.networks) else None
    )
    proof = ["original"] if name == ORIGINAL else ["golden"] if own else []
    proof += ["library"] if same or differs else []
    return Cell(
        table.name,
        tuple(arch.name for arch in models),
        record,
        _conditions(table.lone(name, ORIGINAL)),
        _conditions(table.lone(ORIGINAL, name)),
        logits,
        next((entry.multiple for entry in differs), None),
        exact_settings(differs, name),
        tuple(proof or ["names"]),
    )


def _conditions(tensors: Iterable[Lone]) -> dict[str, float]:
    """Return the roles that one side lacks, with the value that each must have."""
    return {lone.role: lone.fill for lone in tensors}
