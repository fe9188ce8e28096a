"""find_idioms: the idioms of a network, each with the tensor that it reads, its nodes and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.idioms.table import IDIOMS, RULES, Idiom
from porter.graph.analysis.idioms.terms import Match, Term, match, op_of, parse, roots
from porter.graph.graph import Ref

DROPOUT = "dropout"


@dataclass(frozen=True)
class Found:
    """One idiom in a graph: it reads the node ``x``, and ``nodes`` are its own, the last one first.

    ``role`` is the idiom's. ``numbers`` are named, such as slope, epsilon, rate or groups; one that is not constant is
    missing. ``detail`` adds words to the layer's kind.
    """

    kind: str
    role: str
    x: str
    nodes: tuple[str, ...]
    numbers: Mapping[str, float] = field(default_factory=dict)
    detail: str = ""


def find_idioms(data: DataPath) -> dict[str, Found]:
    """Return the idioms by their last node. Larger ones come first: a node belongs to one idiom.

    An idiom becomes one reader of x in ``data.readers``.
    """
    found: dict[str, Found] = {}
    used: set[str] = set()
    for name in reversed(data.graph.order):
        if name not in data.nodes or name in used:
            continue
        idiom = _decided_dropout(data, name) or next(_fitting(data, name, used), None)
        if idiom is not None:
            found[name] = idiom
            used.update(idiom.nodes)
            inside = sum(other in idiom.nodes for other in data.graph.consumers[idiom.x])
            data.readers[idiom.x] -= max(0, inside - 1)
    return found


@cache  # and not at import: it takes 0.3 s
def _terms() -> list[tuple[Idiom, Term]]:
    return [(idiom, parse(pattern, RULES)) for idiom in IDIOMS for pattern in idiom.patterns]


@cache
def _by_root() -> dict[str, list[tuple[Idiom, Term]]]:
    """Return the idioms and their patterns by the ops of the patterns' last nodes."""
    found: dict[str, list[tuple[Idiom, Term]]] = {}
    for idiom, pattern in _terms():
        for op in sorted(roots(pattern)):
            found.setdefault(op, []).append((idiom, pattern))
    return found


def _fitting(data: DataPath, name: str, used: set[str]) -> Iterator[Found]:
    for idiom, term in _by_root().get(op_of(data.graph.nodes[name]), ()):
        fits = match(data, term, Ref(name))
        if fits is None or used.intersection(fits.nodes) or not _closed(data, name, fits.nodes):
            continue
        x = fits.tensors["$x"].node
        read = _READERS.get(idiom.read)
        found: Found | None = Found(idiom.kind, idiom.role, x, tuple(dict.fromkeys(fits.nodes)), fits.numbers)
        found = read(data, found, fits) if read and found else found
        if found is not None:
            yield found


def _closed(data: DataPath, end: str, nodes: tuple[str, ...]) -> bool:
    """Tell whether nothing outside reads the nodes in front of an idiom's end."""
    own = set(nodes)
    inner = own - {end}
    if inner & data.outputs:
        return False
    return all(other in own or other in data.shaping for name in inner for other in data.consumers(name))


def _decided_dropout(data: DataPath, name: str) -> Found | None:
    """Return the dropout that training alone has at a node that chooses between training and inference."""
    choice = data.view.choices.get(name)
    if choice is None:
        return None
    for idiom, term in _terms():
        fits = match(data, term, choice.training) if idiom.kind == DROPOUT else None
        sources = data.sources(data.graph.nodes[name])
        if fits is not None and len(sources) == 1:
            return _dropout(data, Found(DROPOUT, idiom.role, sources[0], (name,)), fits)
    return None


# ---- readers: an idiom's kind and numbers from what its patterns found
def _leaky(data: DataPath, found: Found, fits: Match) -> Found | None:
    return found if 0 < fits.numbers["slope"] < 1 else None


def _leaky_of_halves(data: DataPath, found: Found, fits: Match) -> Found | None:
    half_sum, half_difference = fits.numbers["half_sum"], fits.numbers["half_difference"]
    slope = half_sum - half_difference
    fitting = abs(half_sum + half_difference - 1) < 1e-4 and 0 < slope < 1
    return replace(found, numbers={"slope": float(f"{slope:.6g}")}) if fitting else None


def _norm(data: DataPath, found: Found, fits: Match) -> Found | None:
    """Name a norm after the axes of its statistics."""
    shape, axes = data.shapes[fits.tensors["$x"]], data.shapes.values.get(fits.tensors["%axes"])
    if shape is None or axes is None or not shape:
        return None
    rank = len(shape)
    over = {int(axis) % rank for axis in axes.reshape(-1).tolist()}
    kept = set(range(rank)) - over
    space = {frozenset(range(1, rank - 1)), frozenset(range(2, rank))}
    if rank >= 3 and over in space and kept != {0}:
        kind = "instance norm" if rank != 3 or over == {1} else "layer norm"
    elif 0 in over and len(kept) == 1:
        kind = "batch norm"
    elif rank == 5 and 0 in kept and len(over) == 3:
        kind = "group norm"
    elif 0 in kept and rank - 1 in over:
        kind = "layer norm"
    else:
        return None
    groups = [size for at, size in enumerate(shape) if at in kept and at and size]
    numbers = {"groups": float(groups[0])} if kind == "group norm" and groups else {}
    return replace(found, kind=kind, numbers={**fits.numbers, **numbers})


def _keras_layer_norm(data: DataPath, found: Found, fits: Match) -> Found | None:
    norms = [data.graph.nodes[name] for name in fits.nodes if "FusedBatchNorm" in data.graph.nodes[name].op]
    value = norms[0].attr("epsilon") if norms else None
    return replace(found, numbers={"epsilon": float(f"{value.f:.6g}")} if value is not None else {})


def _squeeze_excite(data: DataPath, found: Found, fits: Match) -> Found | None:
    """Read the channels of both layers, and refuse a pool over anything but space."""
    first, second = (data.shapes[fits.tensors[name]] for name in ("%kernel_1", "%kernel_2"))
    axes = data.shapes.values.get(fits.tensors["%axes"]) if "%axes" in fits.tensors else None
    if (
        not first
        or len(first) < 2
        or not second
        or (axes is not None and sorted(axes.reshape(-1).tolist()) not in ([1, 2], [2, 3]))
    ):
        return None
    ways = dict(way.split("=") for way in fits.ways)
    words = [ways["middle"].replace("_", " ").lower(), ways["gate"].replace("_", " ").lower()]
    channels = f"{first[-2]}->{first[-1]}->{second[-1]}"
    numbers = {"squeezed": float(first[-1])} if first[-1] else {}
    return replace(found, numbers=numbers, detail=f"{channels}, {', '.join(words)}")


def _dropout(data: DataPath, found: Found, fits: Match) -> Found:
    """Read the rate, if it is constant; dropout has none in inference."""
    kept = fits.tensors.get("&keep")
    value = data.shapes.values.get(kept or fits.tensors["&rate"])
    if value is None or value.size != 1:
        source = (kept or fits.tensors["&rate"]).node
        return replace(found, numbers={}, detail=f"{'keeps' if kept else 'rate'} {source}")
    number = float(f"{float(value.item()):.6g}")
    rate = float(f"{1 - number:.6g}") if kept else number
    return replace(found, numbers={"rate": rate}, detail=f"{rate:g}")


_READERS: dict[str, Callable[[DataPath, Found, Match], Found | None]] = {
    "leaky": _leaky,
    "leaky_of_halves": _leaky_of_halves,
    "norm": _norm,
    "keras_layer_norm": _keras_layer_norm,
    "squeeze_excite": _squeeze_excite,
    "dropout": _dropout,
}
