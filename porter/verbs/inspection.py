"""The results of inspect: overviews of a checkpoint, a graph and a log folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from porter.formats.tensorflow.events import EventFile, LoggedGraph
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.analysis.training import Training


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
    size: int | None = None
    """The height and width of the model's images."""


@dataclass(frozen=True)
class Inspection:
    """A checkpoint's overview: the number of entries by role, its variables by scope, and what its names leave open.

    ``network`` is the analysis of the network that a file with a Keras config describes.
    """

    path: Path
    format: str
    roles: dict[str, int]
    parameters: int
    bytes: int
    scopes: tuple[Scope, ...]
    recognised: Recognised | None
    shapes: dict[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()
    network: Analysis | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        from porter.graph.analysis.as_dict import overview_dict

        network = overview_dict(self.network) if self.network else None
        plain = asdict(replace(self, network=None))
        return plain | {"path": str(self.path), "kind": "checkpoint", "network": network}


@dataclass(frozen=True)
class GraphInspection:
    """A graph's overview; ``analysis`` computes everything else on demand.

    ``training`` says how it computes as in training, and ``remedy`` what to do then; both are false for an inference
    graph.
    """

    path: Path
    analysis: Analysis
    scopes: tuple[Scope, ...]
    recognised: Recognised | None
    training: Training
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        from porter.graph.analysis.as_dict import overview_dict
        from porter.graph.analysis.first_steps import first_steps

        recognised = asdict(self.recognised) if self.recognised else None
        return {
            "kind": "graph",
            "path": str(self.path),
            "training": self.training.as_dict() | {"remedy": self.remedy} if self.training else None,
            **overview_dict(self.analysis),
            "images": steps.as_dict() if (steps := first_steps(self.analysis)) else None,
            "scopes": [asdict(scope) for scope in self.scopes],
            "recognised": recognised,
        }


@dataclass(frozen=True)
class LogsInspection:
    """Event files, newest first, and one of their graphs, if any: by default the one that was written last.

    ``numbers`` has the number of each file's graphs, by which they are chosen; 1 was written last.
    """

    path: Path
    files: tuple[EventFile, ...]
    numbers: tuple[tuple[int, ...], ...]
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
                "graphs": [_logged(number, graph) for number, graph in zip(numbers, file.graphs, strict=True)],
                "damage": file.damage,
            }
            for file, numbers in zip(self.files, self.numbers, strict=True)
        ]
        return {
            "kind": "logs",
            "path": str(self.path),
            "files": _finite(files),
            "graph": self.graph.as_dict() if self.graph else None,
        }


def _logged(number: int, graph: LoggedGraph) -> dict[str, Any]:
    nodes = len(graph.source.graph.node)
    return {"number": number, "step": graph.step, "name": graph.name, "time": graph.time, "nodes": nodes}


def _finite(value: Any) -> Any:
    """Return plain values with every number that JSON lacks, such as a NaN loss, as text."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
