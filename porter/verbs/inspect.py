"""inspect: what a graph, checkpoint or log folder holds. Returns results, and prints nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.roles import VARIABLE, base_name, counts, roles
from porter.mapping.recognise import Match, recognise, title

if TYPE_CHECKING:
    from porter.formats.tensorflow.events import EventFile
    from porter.graph.analysis.analysis import Analysis
    from porter.mapping.draft_table import Draft

SCOPES_SHOWN = 4
"""Without --depth, scopes are told apart as deep as it takes to have this many."""


@dataclass(frozen=True)
class Scope:
    """The variables under one name: how many, what they weigh, and the multiply-adds of their layers."""

    name: str
    tensors: int
    parameters: int
    bytes: int
    multiply_adds: int | None = None


@dataclass(frozen=True)
class Recognised:
    """An architecture that porter knows, and how to port it.

    ``sentence`` says what is there; ``command`` is None where ``port`` cannot take the file as it is.
    """

    models: tuple[str, ...]
    sentence: str
    command: str | None
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """A checkpoint's overview: its variables by role and by scope."""

    path: Path
    format: str
    roles: dict[str, int]
    parameters: int
    bytes: int
    scopes: tuple[Scope, ...]
    recognised: Recognised | None
    shapes: dict[str, tuple[int, ...]]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self) | {"path": str(self.path), "kind": "checkpoint"}


@dataclass(frozen=True)
class GraphInspection:
    """A graph's overview. ``analysis`` has all the rest."""

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
    """Event files, newest first, and the newest graph in them, if there is one."""

    path: Path
    files: tuple[EventFile, ...]
    graph: GraphInspection | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
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


def inspect(
    path: str | Path, depth: int | None = None, *, size: int | None = None
) -> Inspection | GraphInspection | LogsInspection:
    """Describe what lies at ``path``: a graph, a SavedModel, a checkpoint, an event file or a folder of these.

    ``depth`` is how deep scopes are told apart; by default as deep as there is something to tell apart.
    ``size`` stands in for the height and width of pictures where the graph leaves them open. No values are
    read. Raises PorterError, FormatError.
    """
    path = Path(path)
    if _is_log(path):
        return _inspect_logs(path, depth, size)
    if _is_graph(path):
        return inspect_graph(open_graph(path, size), depth)
    return _inspect_checkpoint(open_checkpoint(path), depth)


def open_graph(path: str | Path, size: int | None = None) -> Analysis:
    """Return the graph at ``path`` with all that follows from it. Raises PorterError, FormatError."""
    from porter.formats.tensorflow.source import read_graph
    from porter.graph.analysis.analysis import Analysis

    path = Path(path)
    if _is_log(path):
        from porter.formats.tensorflow.events import newest_graph

        return Analysis(newest_graph(path), size)
    if path.exists() and not _is_graph(path):
        raise PorterError(f"{path} holds no graph: of a checkpoint alone there is the overview and --write-table")
    return Analysis(read_graph(path), size)


def draft(path: str | Path) -> tuple[Draft, list[str]]:
    """Return a first mapping table for the graph or checkpoint at ``path``, and the variables that it covers."""
    from porter.mapping.draft_table import draft_table

    path = Path(path)
    heads: list[str] = []
    logits = None
    if _is_log(path) or _is_graph(path):
        analysis = open_graph(path)
        shapes: dict[str, Any] = {name: variable.shape for name, variable in analysis.variables.items()}
        heads, logits = _classifier(analysis)
    else:
        shapes = dict(_inspect_checkpoint(open_checkpoint(path), None).shapes)
    if not shapes:
        raise PorterError(f"{path} has no variables, so there is nothing to map")
    return draft_table(shapes, path.name, heads, logits), list(shapes)


def _classifier(analysis: Analysis) -> tuple[list[str], str | None]:
    """Return the variables of the last layer with weights, and the op that computes the logits."""
    nodes = analysis.graph.nodes
    softmax = [name for name in nodes if nodes[name].op == "Softmax" and name in analysis.paths.path]
    last = next((layer for layer in reversed(analysis.layers) if layer.variables), None)
    if last is None:
        return [], next(iter(analysis.paths.outputs), None)
    return last.variables, nodes[softmax[-1]].inputs[0].node if softmax else last.end


def _is_log(path: Path) -> bool:
    from porter.formats.tensorflow.events import find_event_files
    from porter.formats.tensorflow.tfrecord import is_records

    if path.is_dir():
        return not (path / "saved_model.pb").is_file() and bool(find_event_files(path))
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(12)
    return is_records(head) or (not head and "tfevents" in path.name)


def _is_graph(path: Path) -> bool:
    from porter.formats.tensorflow.source import sniff_graph

    if path.is_dir():
        return sniff_graph(path) or _only_graph(path) is not None
    return path.is_file() and sniff_graph(path)


def _only_graph(folder: Path) -> Path | None:
    """Return a folder's one graph file, where it holds no checkpoint."""
    if (folder / "checkpoint").is_file() or list(folder.glob("*.index")):
        return None
    found = [path for suffix in ("*.pb", "*.pbtxt", "*.meta") for path in folder.glob(suffix)]
    return found[0] if len(found) == 1 else None


def inspect_graph(analysis: Analysis, depth: int | None = None) -> GraphInspection:
    """Describe a graph that is read already."""
    shapes = {name: variable.shape for name, variable in analysis.variables.items()}
    rows = analysis.scopes(depth or _depth(shapes))
    scopes = [Scope(name, *row) for name, row in sorted(rows.items(), key=lambda item: _natural(item[0]))]
    recognised = _recognised(shapes, analysis.source.path, _input_size(analysis), analysis)
    return GraphInspection(analysis.source.path, analysis, tuple(scopes), recognised)


def _inspect_logs(path: Path, depth: int | None, size: int | None) -> LogsInspection:
    from porter.formats.tensorflow.events import newest_graph, read_logs
    from porter.graph.analysis.analysis import Analysis

    files = read_logs(path)
    has_graph = any(file.graphs for file in files)
    graph = inspect_graph(Analysis(newest_graph(path), size), depth) if has_graph else None
    return LogsInspection(path, tuple(files), graph)


def _inspect_checkpoint(checkpoint: Checkpoint, depth: int | None) -> Inspection:
    found = roles(checkpoint.entries)
    variables = [name for name, role in found.items() if role == VARIABLE]
    sizes = {name: int(np.prod(checkpoint.entries[name].shape)) for name in variables}
    # A variable of which only the average is there is a variable all the same.
    shapes = {base_name(name): checkpoint.entries[name].shape for name in checkpoint.entries}
    kept = {name: shape for name, shape in shapes.items() if found.get(name, VARIABLE) == VARIABLE}
    return Inspection(
        checkpoint.path,
        checkpoint.format,
        counts(found, checkpoint.asides),
        sum(sizes.values()),
        sum(_bytes(checkpoint, name, sizes) for name in variables),
        tuple(_scopes(checkpoint, sizes, depth or _depth(sizes))),
        _recognised(kept, checkpoint.path, None, None),
        kept,
    )


def _bytes(checkpoint: Checkpoint, name: str, sizes: Mapping[str, int]) -> int:
    return sizes[name] * checkpoint.entries[name].dtype.itemsize


def _depth(names: Mapping[str, Any]) -> int:
    """Return how deep scopes have to be told apart for the first few of them."""
    from porter.graph.analysis.analysis import scope_of

    deepest = max((name.count("/") for name in names), default=1)
    depths = (depth for depth in range(1, deepest) if len({scope_of(name, depth) for name in names}) >= SCOPES_SHOWN)
    return next(depths, max(deepest, 1))


def _scopes(checkpoint: Checkpoint, sizes: Mapping[str, int], depth: int) -> list[Scope]:
    from porter.graph.analysis.analysis import scope_of

    members: dict[str, list[str]] = {}
    for name in sizes:
        members.setdefault(scope_of(name, depth), []).append(name)
    return [
        Scope(scope, len(names), sum(sizes[n] for n in names), sum(_bytes(checkpoint, n, sizes) for n in names))
        for scope, names in sorted(members.items(), key=lambda item: _natural(item[0]))
    ]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key in which Conv2d_2 comes before Conv2d_10."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"([0-9]+)", name)]


def _input_size(analysis: Analysis) -> int | None:
    """Return the side of the square pictures that the graph takes."""
    for name in analysis.paths.inputs:
        shape = analysis.shapes.of(name)
        if shape is not None and len(shape) == 4:
            return shape[1] if shape[3] in (1, 3) else shape[2]
    return None


def _recognised(
    shapes: Mapping[str, tuple[int | None, ...] | None], path: Path, size: int | None, analysis: Analysis | None
) -> Recognised | None:
    matches = recognise(shapes, size)
    if not matches:
        return None
    best = matches[0]
    alike = [match for match in matches if match.whole == best.whole and match.prefix == best.prefix]
    fitting = [match for match in alike if match.arch.input_size == size]
    chosen = fitting or alike
    sentence = _sentence(best, chosen, size, analysis)
    models = tuple(match.arch.name for match in chosen)
    return Recognised(models, sentence, _command(best, path, analysis), best.unknown)


def _sentence(best: Match, alike: list[Match], size: int | None, analysis: Analysis | None) -> str:
    sizes = sorted({match.arch.input_size for match in alike}, reverse=True)
    known = title(best.arch)
    if size is not None:
        known += f" at {size}"
    elif len(sizes) > 1:
        known += f", whose weights are the same at {', '.join(map(str, sizes))}"
    else:
        known += f" at {sizes[0]}"
    if best.prefix:
        known = f"contains {known}, in the scope {best.prefix.rstrip('/')}"
    if not best.whole:
        return f"{known}, without its classifier"
    if best.classes is not None and best.classes != best.arch.num_classes:
        known += f", with {best.classes} classes"
    head = _head(best, analysis)
    return f"{known}{head}"


def _head(best: Match, analysis: Analysis | None) -> str:
    """Describe what stands behind the known network, where its weights are not the network's."""
    if not best.unknown:
        return ""
    if analysis is None:
        return f", and {_variables(len(best.unknown))} that it does not have"
    unknown = set(best.unknown)
    layers = [layer for layer in analysis.layers if unknown & set(layer.variables)]
    if not layers:
        return f", and {_variables(len(unknown))} that it does not have"
    first = layers[0]
    source = first.inputs[0] if first.inputs else None
    origin = source if isinstance(source, str) else source.name if source is not None else "?"
    classes = layers[-1].channels
    return f", then an unknown head of {classes} classes from {origin.rpartition('/')[0] or origin}"


def _variables(count: int) -> str:
    return f"{count} variable{'' if count == 1 else 's'}"


def _command(best: Match, path: Path, analysis: Analysis | None) -> str | None:
    """Return the command that ports the file; None where the network stands in a scope or lacks its head."""
    if best.prefix or not best.whole:
        return None
    checkpoint = str(path)
    if analysis is not None and not (analysis.frozen and path.suffix == ".pb"):
        checkpoint = "model.ckpt"  # the values lie elsewhere
    patterns = dict.fromkeys(f"{name.split('/')[0]}/*" if "/" in name else name for name in best.unknown)
    known = best.arch.name
    ignore = "".join(f" --ignore {_quoted(pattern)}" for pattern in patterns)
    return f"port {known} --from tf --to torch --checkpoint {shell(checkpoint)}{ignore} --out model.safetensors"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def shell(text: str) -> str:
    """Return an argument as a shell takes it."""
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else _quoted(text)


def _finite(value: Any) -> Any:
    """Return plain values with what JSON has no number for, such as a NaN loss, as text."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
