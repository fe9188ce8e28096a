"""The results of inspect: overviews of a checkpoint, a graph and a log folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from porter.formats.tensorflow.events import EventFile
    from porter.graph.analysis.analysis import Analysis


@dataclass(frozen=True)
class Scope:
    """The variables under one name: their number, values and bytes, and the multiply-adds of their layers."""

    name: str
    tensors: int
    parameters: int
    bytes: int
    multiply_adds: int | None = None


@dataclass(frozen=True)
class Recognised:
    """An architecture that porter knows, and how to port it.

    ``sentence`` describes it; ``command`` is None if `port` cannot take the file as it is. ``unknown`` names the
    variables that the architecture does not have.
    """

    models: tuple[str, ...]
    sentence: str
    command: str | None
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """A checkpoint's overview: the number of entries by role, its variables by scope, and what its names leave open."""

    path: Path
    format: str
    roles: dict[str, int]
    parameters: int
    bytes: int
    scopes: tuple[Scope, ...]
    recognised: Recognised | None
    shapes: dict[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self) | {"path": str(self.path), "kind": "checkpoint"}


@dataclass(frozen=True)
class GraphInspection:
    """A graph's overview; ``analysis`` computes everything else on demand."""

    path: Path
    analysis: Analysis
    scopes: tuple[Scope, ...]
    recognised: Recognised | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        from porter.graph.analysis.as_dict import overview_dict

        recognised = asdict(self.recognised) if self.recognised else None
        return {
            "kind": "graph",
            "path": str(self.path),
            **overview_dict(self.analysis),
            "scopes": [asdict(scope) for scope in self.scopes],
            "recognised": recognised,
        }


@dataclass(frozen=True)
class LogsInspection:
    """Event files, newest first, and their newest graph, if any."""

    path: Path
    files: tuple[EventFile, ...]
    graph: GraphInspection | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; a number that is not finite becomes text."""
        files = [
            {
                "path": str(file.path),
                "version": file.version,
                "events": file.records,
                "first_time": file.first_time,
                "last_time": file.last_time,
                "last_step": file.last_step,
                "tags": [asdict(tag) for tag in file.tags.values()],
                "graphs": [{"step": step, "name": name, "nodes": len(s.graph.node)} for step, name, s in file.graphs],
                "damage": file.damage,
            }
            for file in self.files
        ]
        return {
            "kind": "logs",
            "path": str(self.path),
            "files": _finite(files),
            "graph": self.graph.as_dict() if self.graph else None,
        }


def _finite(value: Any) -> Any:
    """Return plain values with every number that JSON lacks, such as a NaN loss, as text."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
