"""find_blocks: the blocks of a network and which of them repeat, by structure instead of names.

Scopes limit where a block begins and ends. In a graph without scopes, repeats are found in the sequence of layers.
Two blocks are the same if their layers and the wiring between these are.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from porter.graph.analysis.blocks import FEW, Block, Group
from porter.graph.analysis.compare_repeats import compare_repeats, describe_block, similar
from porter.graph.analysis.joins import joins
from porter.graph.analysis.layers import Layer
from porter.graph.analysis.numbered_names import numbered

_MOSTLY = 0.6
"""The repeats inside a block replace it if they are this part of its layers."""
_NETWORK = 0.7
"""A scope with a larger part of the layers is the network, not a block."""
_WEIGHTS = 0.9
"""So is one with a larger part of the parameters: other scopes only prepare its input and read its output."""
_LONGEST_PERIOD = 1500
_SMALL = 8
"""Layers of the largest child of a scope whose children are grouped by the numbers in their names."""
_DEEPEST = 60
"""Deeper scopes count as one name. Networks do not nest that deep."""
_Inner = dict[int, "list[Group] | None"]
"""The groups inside blocks, by their id; None for a block that stays whole."""


def _scope_tree(layers: Sequence[Layer]) -> Block:
    """Return the layers as a tree of scopes; each layer is a leaf, also one that has the name of a scope."""
    root = Block("", [])
    scopes = {scope for layer in layers for scope in _scopes(layer.name)}
    for layer in layers:
        at = root
        at.layers.append(layer)
        parts = layer.name.split("/", _DEEPEST)
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            at = at.children.setdefault(name, Block(name, []))
            at.layers.append(layer)
        if layer.name in scopes:
            at.children.setdefault(f"{layer.name}/", Block(layer.name, [])).layers.append(layer)
    return root


def _scopes(name: str) -> list[str]:
    """Return the scopes that hold ``name``."""
    parts = name.split("/", _DEEPEST)
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def find_blocks(layers: Sequence[Layer]) -> list[Group]:
    """Return the network's blocks in order; blocks that repeat form one group."""
    inner = _inside(_scope_tree(layers))
    groups = _groups(inner) if inner.children else [Group([inner])] if inner.layers else []
    for group in groups:
        if group.times == 1 and len(group.layers) > FEW:
            group.differences.append(_parts(group.blocks[0]))
        group.differences += joins(group)
    return groups


def _parts(block: Block) -> str:
    """Return a remark on the layers of a block that does not repeat."""
    kind, colon, layers = describe_block(block).rpartition(": ")
    return f"{kind}, made of {layers}" if colon else f"made of {layers}"


def _inside(block: Block) -> Block:
    """Return the first scope, from ``block`` down, that has more than one child or none."""
    while len(block.children) == 1:
        (block,) = block.children.values()
    return block


def _groups(block: Block) -> list[Group]:
    """Return a scope's blocks as groups. Where names have numbers, they may tell more than scopes."""
    children = list(block.children.values())
    groups = _grouped(block, children, {})
    if len(groups) == 1 or any(len(child.layers) > _SMALL for child in children):
        return groups
    joined = numbered(block)
    there = set(map(id, children))
    new = [one for one in joined if id(one) not in there]
    if not new:
        return groups
    inner = {id(one): _expanded(one, block) for one in new}
    repeating = _that_repeat(joined)
    for one in new:
        if id(one) in repeating and not _has_blocks(inner[id(one)]):
            inner[id(one)] = None  # VGG's convolutions repeat in a block, and the block does
    kept = {id(one) for one in new if id(one) in repeating or inner[id(one)] is not None}
    apart = [one.children.values() if id(one) in inner and id(one) not in kept else [one] for one in joined]
    others = _grouped(block, [one for part in apart for one in part], inner)
    return others if len(others) < len(groups) and _repeated(others) >= _repeated(groups) else groups


def _that_repeat(blocks: list[Block]) -> set[int]:
    """Return the ids of the blocks that repeat a neighbour."""
    pairs = zip(itertools.pairwise(_classes(blocks)), itertools.pairwise(blocks), strict=True)
    return {id(block) for (a, b), pair in pairs if a == b for block in pair}


def _has_blocks(groups: list[Group] | None) -> bool:
    """Tell whether blocks of several layers repeat."""
    return any(group.times > 1 and len(group.layers) > group.times for group in groups or ())


def _repeated(groups: Sequence[Group]) -> int:
    """Return the number of layers in blocks that repeat."""
    return sum(len(group.layers) for group in groups if group.times > 1 and group.in_series)


def _grouped(block: Block, children: list[Block], known: _Inner) -> list[Group]:
    """Return ``children`` of a scope as groups; the groups inside a child replace it if it mostly repeats.

    ``known`` has the groups inside some of the children.
    """
    groups: list[Group] = []
    siblings: list[Block] = []
    for child in _apart(block, children):
        if isinstance(child, list):
            groups += [*_repeats(siblings), *_repeats(child)]
            siblings = []
            continue
        inner = known[id(child)] if id(child) in known else _expanded(child, block)
        if inner is None:
            siblings.append(child)
            continue
        groups += [*_repeats(siblings), *inner]
        siblings = []
    return groups + _repeats(siblings)


def _apart(block: Block, children: list[Block]) -> list[Block | list[Block]]:
    """Return a scope's ``children``; two that read each other are no blocks, and become their layers in order.

    TF1 code often keeps all convolutions in one scope and all additions in another.
    """
    home = {id(layer): at for at, child in enumerate(children) for layer in child.layers}
    reads = {
        (home[id(layer)], home[id(source)])
        for layer in block.layers
        for source in layer.inputs
        if isinstance(source, Layer) and id(source) in home
    }
    mixed = {(at, other) for at, other in reads if at < other and (other, at) in reads}
    if not mixed:
        return [*children]
    first = {at: at for pair in mixed for at in pair}
    """The first child of those that read each other, also through others."""

    def top(at: int) -> int:
        while first[at] != at:
            at = first[at]
        return at

    for pair in sorted(mixed):
        low, high = sorted(map(top, pair))
        first[high] = low
    flat: dict[int, list[Block]] = {}
    for layer in block.layers:
        if home[id(layer)] in first:
            flat.setdefault(top(home[id(layer)]), []).append(Block(layer.name, [layer]))
    return [flat.get(at, child) for at, child in enumerate(children) if at in flat or at not in first]


def _expanded(child: Block, parent: Block) -> list[Group] | None:
    """Return the groups that should replace ``child`` of ``parent`` in the list, or None if it should stay whole."""
    inner = _inside(child)
    network = len(child.layers) > _NETWORK * len(parent.layers) or child.parameters > _WEIGHTS * parent.parameters
    if len(inner.children) < 2 or (len(inner.children) < 3 and not network):
        return None
    groups = _groups(inner)
    return groups if network or _repeated(groups) >= _MOSTLY * len(child.layers) else None


def _repeats(blocks: list[Block]) -> list[Group]:
    """Group adjacent blocks that repeat.

    The shortest period with three repeats wins; without one, the longest with two.
    """
    classes = _classes(blocks)
    flat = all(len(block.layers) == 1 for block in blocks)
    groups: list[Group] = []
    at = 0
    while at < len(blocks):
        period, times = _best_period(classes, at, flat)
        group = Group(blocks[at : at + period * times], period)
        if _is_repeat(group):
            if period > 3 and all(len(block.layers) == 1 for block in group.blocks):
                start, group = _shifted(blocks, classes, at, group)
                groups += [Group([block]) for block in blocks[at:start]]
                at = start
            compare_repeats(group)
            groups.append(group)
            at += len(group.blocks)
        else:
            groups.append(Group([blocks[at]]))
            at += 1
    return groups


def _is_repeat(group: Group) -> bool:
    """Tell whether a run counts as a repeat. Two equal blocks do if they are in series and not single layers."""
    return group.times > 2 or (group.times == 2 and len(group.layers) > 2 and group.in_series)


def _classes(blocks: list[Block]) -> list[int]:
    """Number the blocks so that blocks with the same or nearly the same layers have equal numbers."""
    kinds: list[Counter[str]] = []
    known: dict[tuple[tuple[str, int], ...], int] = {}
    found = []
    for block in blocks:
        labels = block.labels
        key = tuple(sorted(labels.items()))
        if key not in known:
            known[key] = next((at for at, other in enumerate(kinds) if similar(labels, other)), len(kinds))
            if known[key] == len(kinds):
                kinds.append(labels)
        found.append(known[key])
    return found


def _best_period(classes: list[int], at: int, flat: bool) -> tuple[int, int]:
    """Return the period of the repeat that begins at ``at`` and its number of repeats, or (1, 1)."""
    best = (1, 1)
    left = len(classes) - at
    for period in range(1, min(left // 2, _LONGEST_PERIOD) + 1):
        if classes[at] != classes[at + period] or classes[at : at + period] != classes[at + period : at + 2 * period]:
            continue
        times = (_end_of_run(classes, at, period) - at) // period
        if period > 1 and _mostly_runs(classes[at : at + period]):
            continue  # in a stage of equal cells and a reduction, the cells are the blocks
        if times >= 3:
            return period, times
        if (flat or period == 1) and (times - 1) * period > (best[1] - 1) * best[0]:
            best = (period, times)
    return best


def _end_of_run(classes: list[int], at: int, period: int) -> int:
    """Return where the blocks from ``at`` on stop repeating, which may be inside a repeat."""
    end = at + 2 * period
    while end < len(classes) and classes[end] == classes[end - period]:
        end += 1
    return end


def _mostly_runs(classes: list[int]) -> bool:
    """Tell whether a shorter run, three or more times in a row, makes up at least half of a run of blocks."""
    size = len(classes)
    for period in range(1, size // 3 + 1):
        equal = 0
        for a, b in zip(classes, classes[period:], strict=False):
            equal = equal + 1 if a == b else 0
            if equal >= 2 * period and 2 * (equal + period) >= size:
                return True
    return False


def _shifted(blocks: list[Block], classes: list[int], at: int, group: Group) -> tuple[int, Group]:
    """Move the start of a run in a graph without scopes to where the fewest tensors cross between repeats.

    Returns the new start and the run from there.
    """
    period = group.period
    end = _end_of_run(classes, at, period)
    place = {id(block.layers[0]): index for index, block in enumerate(blocks)}

    def crossing(boundary: int) -> int:
        sources = {
            place[id(source)]
            for block in blocks[boundary : boundary + 2 * period]
            for source in block.layers[0].inputs
            if not isinstance(source, str) and place.get(id(source), boundary) < boundary
        }
        return len(sources)

    def rank(boundary: int) -> tuple[int, bool, int, int]:
        joined = boundary > 0 and blocks[boundary - 1].layers[-1].kind in ("concat", "add")  # blocks end with these
        return crossing(boundary), not joined, -((end - boundary) // period), boundary

    start = min(range(at, min(at + period, end - period + 1)), key=rank)
    count = (end - start) // period
    return start, Group(blocks[start : start + count * period], period)
