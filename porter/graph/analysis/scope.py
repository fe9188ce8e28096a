"""scope_view: one block's layers and the wiring between them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from porter.errors import PorterError, listing
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.as_dict import layer_dict
from porter.graph.analysis.blocks import Block, Group
from porter.graph.analysis.layers import Layer, total


@dataclass(frozen=True)
class ScopeView:
    """A block's layers in order. ``inputs`` are what they read from outside, ``readers`` who reads them there."""

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[Layer | str, ...]
    outputs: tuple[tuple[Layer, tuple[str, ...]], ...]
    group: Group | None

    @property
    def totals(self) -> tuple[int, int | None]:
        """Parameters and multiply-adds."""
        return total(list(self.layers))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        parameters, multiply_adds = self.totals
        return {
            "scope": self.name,
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "inputs": [source if isinstance(source, str) else source.name for source in self.inputs],
            "outputs": [{"layer": layer.name, "readers": list(readers)} for layer, readers in self.outputs],
            "layers": [layer_dict(layer) for layer in self.layers],
            "repeats": [repeat.name for repeat in self.group.repeats()] if self.group else [self.name],
        }


def scope_view(analysis: Analysis, scope: str) -> ScopeView:
    """Return the layers of ``scope``: a scope's name, the end of one, or a block's. Raises PorterError."""
    scope = scope.rstrip("/")
    blocks = {repeat.name: (repeat, group) for group in analysis.groups for repeat in group.repeats()}
    name = _named(analysis, scope, blocks)
    block, group = blocks.get(name, (None, None))
    layers = (
        block.layers if block else [la for la in analysis.layers if la.name == name or la.name.startswith(f"{name}/")]
    )
    own = {id(layer) for layer in layers}
    readers: dict[int, list[str]] = {}
    for layer in analysis.layers:
        if id(layer) not in own:
            for source in layer.inputs:
                if not isinstance(source, str) and id(source) in own:
                    readers.setdefault(id(source), []).append(layer.name)
    ends = set(analysis.paths.outputs)
    for layer in layers:
        if ends & set(layer.nodes):
            readers.setdefault(id(layer), []).append("the output")
    outputs = tuple((layer, tuple(readers[id(layer)])) for layer in layers if id(layer) in readers)
    return ScopeView(name, tuple(layers), tuple(Block(name, list(layers)).inputs()), outputs, group)


def _named(analysis: Analysis, scope: str, blocks: dict[str, Any]) -> str:
    """Return the one scope or block that ``scope`` means."""
    scopes: dict[str, None] = dict.fromkeys(blocks)
    for layer in analysis.layers:
        parts = layer.name.split("/")
        for depth in range(1, len(parts) + 1):
            scopes.setdefault("/".join(parts[:depth]))
    if scope in scopes:
        return scope
    ending = [name for name in scopes if name.endswith(f"/{scope}")]
    # MobilenetV1/Conv2d_0 is where its variables are: the ops stand in MobilenetV1/MobilenetV1/Conv2d_0.
    ending = ending or [name for name in scopes if name.split("/")[-len(scope.split("/")) :] == scope.split("/")]
    shortest = [name for name in ending if name.count("/") == min(other.count("/") for other in ending)]
    if len(shortest) == 1:
        return shortest[0]
    if shortest:
        raise PorterError(f"--scope {scope} could be {len(shortest)} scopes: name one of them{listing(shortest)}")
    if scope in analysis.graph.nodes or any(name.startswith(f"{scope}/") for name in analysis.graph.nodes):
        purposes = {
            analysis.paths.aside.get(n, "") for n in analysis.graph.nodes if n == scope or n.startswith(f"{scope}/")
        }
        other = ", ".join(sorted(purpose for purpose in purposes if purpose)) or "only weights"
        raise PorterError(f"--scope {scope} has no layer on the way to the outputs ({other}): --find shows its nodes")
    tails = {name.rpartition("/")[2]: name for name in reversed(scopes)} | {name: name for name in scopes}
    close = [tails[name] for name in difflib.get_close_matches(scope, tails, n=3)]
    hint = f": did you mean {' or '.join(close)}?" if close else f": there are{listing(scopes)}"
    raise PorterError(f"{analysis.source.path} has no scope {scope}{hint}")
