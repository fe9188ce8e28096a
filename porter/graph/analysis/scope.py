"""scope_view: the layers of one scope or block, and their wiring."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from porter.errors import PorterError, listing
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.as_dict import layer_dict
from porter.graph.analysis.blocks import Block, Group
from porter.graph.analysis.layers import Layer, total


@dataclass(frozen=True)
class ScopeView:
    """A scope's layers in order.

    ``inputs`` are the layers and graph inputs outside that they read. ``outputs`` are the layers that are read outside,
    with the names of their readers. ``group`` holds the block's repeats, if the scope is a block.
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[Layer | str, ...]
    outputs: tuple[tuple[Layer, tuple[str, ...]], ...]
    group: Group | None

    @property
    def totals(self) -> tuple[int, int | None]:
        """The layers' parameters and multiply-adds; the latter are None if a shape is unknown."""
        return total(self.layers)

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
    """Return the layers of ``scope``: a scope, the end of a scope's name, or a block.

    Raises PorterError if there is no such scope, or several; the message names scopes that exist.
    """
    blocks = {repeat.name: (repeat, group) for group in analysis.groups for repeat in group.repeats()}
    name = _resolve(analysis, scope.rstrip("/"), blocks)
    block, group = blocks.get(name, (None, None))
    layers = block.layers if block else [layer for layer in analysis.layers if _is_in(layer.name, name)]
    readers = _readers(analysis, layers)
    outputs = tuple((layer, tuple(readers[id(layer)])) for layer in layers if id(layer) in readers)
    return ScopeView(name, tuple(layers), tuple(Block(name, list(layers)).inputs()), outputs, group)


def _is_in(name: str, scope: str) -> bool:
    return name == scope or name.startswith(f"{scope}/")


def _readers(analysis: Analysis, layers: list[Layer]) -> dict[int, list[str]]:
    """Return the names of the layers outside that read each of ``layers``, by its id."""
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
    return readers


def _resolve(analysis: Analysis, scope: str, blocks: Iterable[str]) -> str:
    """Return the one scope or block that ``scope`` names."""
    scopes: dict[str, None] = dict.fromkeys(blocks)
    for layer in analysis.layers:
        parts = layer.name.split("/")
        for depth in range(1, len(parts) + 1):
            scopes.setdefault("/".join(parts[:depth]))
    if scope in scopes:
        return scope
    # slim's variables are in MobilenetV1/Conv2d_0, but its ops are in MobilenetV1/MobilenetV1/Conv2d_0.
    ending = [name for name in scopes if name.endswith(f"/{scope}")]
    shortest = [name for name in ending if name.count("/") == min(other.count("/") for other in ending)]
    if len(shortest) == 1:
        return shortest[0]
    path = analysis.source.path
    if shortest:
        raise PorterError(f"{path} has {len(shortest)} scopes that end in {scope}: name one of them{listing(shortest)}")
    raise _missing(analysis, scope, list(scopes))


def _missing(analysis: Analysis, scope: str, scopes: list[str]) -> PorterError:
    path = analysis.source.path
    nodes = [name for name in analysis.graph.nodes if _is_in(name, scope)]
    if nodes:
        purposes = sorted({analysis.paths.aside[name] for name in nodes if name in analysis.paths.aside})
        return PorterError(
            f"{path}: the scope {scope} has no layer on the way to the outputs, but {len(nodes)} other nodes "
            f"({', '.join(purposes) or 'weights and parts of layers'}): search for these by name"
        )
    tails = {name.rpartition("/")[2]: name for name in reversed(scopes)} | {name: name for name in scopes}
    close = [tails[name] for name in difflib.get_close_matches(scope, tails, n=3)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are{listing(scopes)}"
    return PorterError(f"{path} has no scope {scope}: {hint}")
