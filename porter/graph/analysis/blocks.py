"""Block and Group: a network's blocks, and runs of blocks that repeat."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from porter.graph.analysis.layers import CONVOLUTIONS, Layer, total
from porter.graph.shapes import Shape

FEW = 4
"""A block with at most this many layers is shown as a list of them."""


@dataclass(eq=False)
class Block:
    """The layers of a scope, or a run of layers in a graph without scopes. ``children`` are the scopes inside."""

    name: str
    layers: list[Layer] = field(repr=False)
    children: dict[str, Block] = field(default_factory=dict, repr=False)

    @cached_property
    def parameters(self) -> int:
        """The parameters of its layers, counted once: a scope is compared with each scope inside."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def labels(self) -> Counter[str]:
        """The layers' labels as a multiset."""
        return Counter(layer.label for layer in self.layers)

    @property
    def width(self) -> int | None:
        """The most frequent number of output channels among its convolutions; of several, the bottleneck's."""
        counts = Counter(layer.channels for layer in self.layers if layer.kind in CONVOLUTIONS)
        return min(counts, key=lambda channels: (-counts[channels], channels or 0)) if counts else None

    @property
    def shape(self) -> Shape:
        """The shape of its last layer's output."""
        return self.layers[-1].shape

    def structure(self) -> int:
        """Return a hash of the layers and their wiring that ignores names, channels and sizes."""
        known: dict[int, int] = {}
        for layer in self.layers:
            inside = tuple(known.get(id(source), 0) for source in layer.inputs)
            known[id(layer)] = hash((layer.label, inside))
        return hash(tuple(sorted(known.values())))

    def inputs(self) -> list[Layer | str]:
        """Return the layers outside it and the graph inputs that it reads, in order."""
        own = {id(layer) for layer in self.layers}
        found: dict[int | str, Layer | str] = {}
        for layer in self.layers:
            for source in layer.inputs:
                if isinstance(source, str) or id(source) not in own:
                    found.setdefault(source if isinstance(source, str) else id(source), source)
        return list(found.values())


@dataclass(eq=False)
class Group:
    """One block, or a run of ``period`` blocks that repeats.

    ``blocks`` lists the blocks of all repeats in order. ``what`` describes the usual repeat, and ``differences`` are
    sentences about single ones.
    """

    blocks: list[Block]
    period: int = 1
    differences: list[str] = field(default_factory=list)
    what: str = ""
    same: bool = True
    """Whether all repeats have exactly the same structure."""

    @property
    def times(self) -> int:
        return len(self.blocks) // self.period

    @property
    def layers(self) -> list[Layer]:
        return [layer for block in self.blocks for layer in block.layers]

    @property
    def in_series(self) -> bool:
        """Whether each repeat reads the one before it, unlike parallel branches."""
        repeats = self.repeats()
        for before, after in itertools.pairwise(repeats):
            own = {id(layer) for layer in before.layers}
            if not any(id(source) in own for source in after.inputs()):
                return False
        return True

    def repeats(self) -> list[Block]:
        """Return each repeat as one block."""
        runs = [self.blocks[at : at + self.period] for at in range(0, len(self.blocks), self.period)]
        names = [run_name(run) for run in runs]
        if len(set(names)) < len(names):  # conv_dw_1 and conv_pw_1 share only conv, as all other pairs do
            names = [_ends(run) for run in runs]
        layers = [[layer for block in run for layer in block.layers] for run in runs]
        inside = [{name: child for block in run for name, child in block.children.items()} for run in runs]
        return [Block(name, part, children) for name, part, children in zip(names, layers, inside, strict=True)]

    @property
    def name(self) -> str:
        repeats = self.repeats()
        first, last = repeats[0].name, repeats[-1].name
        return first if len(repeats) == 1 else f"{first} … {_short_last(first, last)}"


def run_name(run: Sequence[Block]) -> str:
    """Return the name of a run of blocks: their common beginning, or the first and the last name."""
    if len(run) == 1:
        return run[0].name
    common = first = run[0].name
    for block in run[1:]:
        while not block.name.startswith(common):
            common = common[:-1]
    # Conv2d_1_depthwise and Conv2d_1_pointwise make Conv2d_1; a cut inside a word or number does not count.
    cut = re.match(r"(.*[A-Za-z0-9])[/_.]$", common)
    if cut and len(cut[1]) > len(first.rpartition("/")[0]) + 1:
        return cut[1]
    return _ends(run)


def _ends(run: Sequence[Block]) -> str:
    return run[0].name if len(run) == 1 else f"{run[0].name} + {_short_last(run[0].name, run[-1].name)}"


def within(name: str, block: str) -> str:
    """Return a layer's name without its block's name, or without the scope of that block."""
    scope = block.rpartition("/")[0]
    return name.removeprefix(f"{block}/") if name.startswith(f"{block}/") else name.removeprefix(f"{scope}/")


def _short_last(first: str, last: str) -> str:
    """Return ``last`` without the scope that it shares with ``first``."""
    scope = first.rpartition("/")[0]
    return last[len(scope) + 1 :] if scope and last.startswith(f"{scope}/") else last


def tails(names: Sequence[str]) -> list[str]:
    """Return the last parts of names; these tell neighbouring blocks apart."""
    return [name.rpartition("/")[2] or name for name in names]


def widths(group: Group) -> list[int | None]:
    """Return the repeats' widths; equal widths in a row appear once."""
    found: list[int | None] = []
    for repeat in group.repeats():
        if not found or repeat.width != found[-1]:
            found.append(repeat.width)
    return found


def cost(group: Group) -> tuple[int, int | None]:
    """Return a group's parameters and its multiply-adds, which are None if a shape is unknown."""
    return total(group.layers)
