"""numbered: blocks of one number in their names, such as block_1_expand and block_1_project, as scopes of a tree.

Keras' models have few scopes: their layers are called after the block that holds them.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

from porter.graph.analysis.blocks import Block

_NUMBER = re.compile(r"(?<![0-9x])\d+(?=([a-z]\d*)?(_|$))|(?<=\d)[a-z]\d*(?=_|$)")
"""A block's number in a name: 1 in block_1_expand, 3 and b1 in res3b1_branch, but no kernel's size."""


def numbered(block: Block) -> list[Block]:
    """Return a scope's children, with the neighbours of one number as one block each, which has them as children."""
    children = list(block.children.values())
    stems = _stems([child.name for child in children])
    place = {id(layer): at for at, layer in enumerate(block.layers)}
    found: list[Block] = []
    for stem, run in itertools.groupby(range(len(children)), stems.__getitem__):
        members = [children[at] for at in run]
        layers = sorted((layer for member in members for layer in member.layers), key=lambda layer: place[id(layer)])
        found += [Block(stem, layers, {member.name: member for member in members})] if stem else members
    return found


def _stems(names: Sequence[str]) -> list[str]:
    """Return each name up to the number that it shares with its neighbours and others count on, '' without one."""
    candidates = [_candidates(name) for name in names]
    sizes = Counter(stem for stems in candidates for stem in stems)
    counted = Counter(_template(stem) for stem, size in sizes.items() if size > 1)
    chosen = [next((s for s in stems if sizes[s] > 1 < counted[_template(s)]), "") for stems in candidates]
    runs = Counter(stem for stem, _ in itertools.groupby(chosen))
    return [stem if runs[stem] == 1 else "" for stem in chosen]


def _candidates(name: str) -> list[str]:
    return [name[: found.end()] for found in _NUMBER.finditer(name, name.rfind("/") + 1)]


def _template(stem: str) -> str:
    return _NUMBER.sub("#", stem)
