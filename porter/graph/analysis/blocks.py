"""find_blocks: the blocks of a network, and which of them repeat, by structure and not by name.

Scopes say where a block may begin and end, where there are scopes; without any, repeats are found in the
sequence of layers alone. What makes two blocks the same is their layers and the wiring between these.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from porter.graph.analysis.layers import CONVOLUTIONS, Layer, total
from porter.graph.shapes import Shape

SIMILAR = 0.6
"""Two blocks are the same but for what is listed where they share this part of their layers (as multisets)."""
_MOSTLY = 0.6
"""A block is shown as the repeats within it where these are this part of its layers."""
_NETWORK = 0.7
_LONGEST_PERIOD = 1500
_DEEPEST = 60
"""Scopes below this depth are not told apart: no network has any."""


@dataclass(eq=False)
class Block:
    """A scope's layers, or those between two layers where there are no scopes."""

    name: str
    layers: list[Layer] = field(repr=False)
    children: dict[str, Block] = field(default_factory=dict, repr=False)

    @property
    def labels(self) -> Counter[str]:
        return Counter(layer.label for layer in self.layers)

    @property
    def width(self) -> int | None:
        """Return the commonest number of output channels of its convolutions."""
        counts = Counter(layer.channels for layer in self.layers if layer.kind in CONVOLUTIONS)
        return counts.most_common(1)[0][0] if counts else None

    @property
    def shape(self) -> Shape:
        """Return the shape of its last layer's output."""
        return self.layers[-1].shape

    def structure(self) -> int:
        """Return a hash of the layers and the wiring between them, free of names, channels and sizes."""
        known: dict[int, int] = {}
        for layer in self.layers:
            inside = tuple(known.get(id(source), 0) for source in layer.inputs)
            known[id(layer)] = hash((layer.label, inside))
        return hash(tuple(sorted(known.values())))

    def inputs(self) -> list[Layer | str]:
        """Return the layers and graph inputs outside that it reads, in order."""
        own = {id(layer) for layer in self.layers}
        found: dict[int | str, Layer | str] = {}
        for layer in self.layers:
            for source in layer.inputs:
                if isinstance(source, str) or id(source) not in own:
                    found.setdefault(source if isinstance(source, str) else id(source), source)
        return list(found.values())


@dataclass(eq=False)
class Group:
    """One block, or a run of ``period`` blocks that repeats: ``blocks`` has them all in order."""

    blocks: list[Block]
    period: int = 1
    differences: list[str] = field(default_factory=list)
    same: bool = True
    """Whether all repeats have the same structure, and not only most of it."""

    @property
    def times(self) -> int:
        return len(self.blocks) // self.period

    @property
    def layers(self) -> list[Layer]:
        return [layer for block in self.blocks for layer in block.layers]

    def repeats(self) -> list[Block]:
        """Return each repeat as one block."""
        runs = [self.blocks[at : at + self.period] for at in range(0, len(self.blocks), self.period)]
        names = [run_name(run) for run in runs]
        if len(set(names)) < len(names):  # conv_dw_1 and conv_pw_1 have only "conv" in common, as have all others
            names = [_ends(run) for run in runs]
        layers = [[layer for block in run for layer in block.layers] for run in runs]
        return [Block(name, part) for name, part in zip(names, layers, strict=True)]

    @property
    def name(self) -> str:
        repeats = self.repeats()
        first, last = repeats[0].name, repeats[-1].name
        return first if len(repeats) == 1 else f"{first} … {_short_last(first, last)}"


def run_name(run: Sequence[Block]) -> str:
    """Return what a run of blocks is called: their common beginning, or the first and the last."""
    if len(run) == 1:
        return run[0].name
    common = first = run[0].name
    for block in run[1:]:
        while not block.name.startswith(common):
            common = common[:-1]
    # Conv2d_1_depthwise and Conv2d_1_pointwise are Conv2d_1; a cut within a word or number is none.
    cut = re.match(r"(.*[A-Za-z0-9])[/_.]$", common)
    if cut and len(cut[1]) > len(first.rpartition("/")[0]) + 1:
        return cut[1]
    return _ends(run)


def _ends(run: Sequence[Block]) -> str:
    return run[0].name if len(run) == 1 else f"{run[0].name} + {_short_last(run[0].name, run[-1].name)}"


def within(name: str, block: str) -> str:
    """Return a layer's name without the block that it stands in, or the scope that the block stands in."""
    scope = block.rpartition("/")[0]
    return name.removeprefix(f"{block}/") if name.startswith(f"{block}/") else name.removeprefix(f"{scope}/")


def _short_last(first: str, last: str) -> str:
    """Return ``last`` without the scopes that it shares with ``first``."""
    scope = first.rpartition("/")[0]
    return last[len(scope) + 1 :] if scope and last.startswith(f"{scope}/") else last


def scope_tree(layers: Sequence[Layer]) -> Block:
    """Return the layers as a tree of scopes; a layer is a leaf of its own name."""
    root = Block("", [])
    for layer in layers:
        at = root
        at.layers.append(layer)
        parts = layer.name.split("/", _DEEPEST)
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            at = at.children.setdefault(name, Block(name, []))
            at.layers.append(layer)
    return root


def find_blocks(layers: Sequence[Layer]) -> list[Group]:
    """Return the network's blocks in order, those that repeat in one group."""
    inner = _inside(scope_tree(layers))
    return _groups(inner) if inner.children else [Group([inner])] if inner.layers else []


def _inside(block: Block) -> Block:
    """Step down as long as there is but one way."""
    while len(block.children) == 1:
        (block,) = block.children.values()
    return block


def _groups(block: Block) -> list[Group]:
    """Return a scope's blocks as groups, a child that is mostly repeats replaced by these."""
    groups: list[Group] = []
    siblings: list[Block] = []
    for child in block.children.values():
        inner = _expanded(child, len(block.layers))
        if inner is None:
            siblings.append(child)
            continue
        groups += [*_repeats(siblings), *inner]
        siblings = []
    return groups + _repeats(siblings)


def _expanded(child: Block, whole: int) -> list[Group] | None:
    """Return the groups within a block that is better shown by them, or None."""
    inner = _inside(child)
    network = len(child.layers) > _NETWORK * whole  # a scope of nearly everything is not a block
    if len(inner.children) < 2 or (len(inner.children) < 3 and not network):
        return None
    groups = _groups(inner)
    repeated = sum(len(group.layers) for group in groups if group.times > 1 and _serial(group))
    return groups if network or repeated >= _MOSTLY * len(child.layers) else None


def _serial(group: Group) -> bool:
    """Tell whether each repeat reads the one before: branches side by side are no sequence."""
    repeats = group.repeats()
    for before, after in itertools.pairwise(repeats):
        own = {id(layer) for layer in before.layers}
        if not any(id(source) in own for source in after.inputs()):
            return False
    return True


def _repeats(blocks: list[Block]) -> list[Group]:
    """Group what repeats without a gap: the shortest period of three repeats, or the longest of two."""
    classes = _classes(blocks)
    flat = all(len(block.layers) == 1 for block in blocks)
    groups: list[Group] = []
    at = 0
    while at < len(blocks):
        period, times = _best_period(classes, at, flat)
        group = Group(blocks[at : at + period * times], period)
        if (
            times > 1
            and (_serial(group) or times > 2)
            and len(group.layers) > times - 1 + (len(group.layers) == times == 2)
        ):
            if flat and period > 3:
                at, group = _shifted(blocks, classes, at, period, times, groups)
            _compare(group)
            groups.append(group)
            at += len(group.blocks)
        else:
            groups.append(Group([blocks[at]]))
            at += 1
    return groups


def _classes(blocks: list[Block]) -> list[int]:
    """Return equal numbers for blocks of the same or nearly the same layers."""
    kinds: list[tuple[Counter[str], int]] = []
    exact: dict[tuple[tuple[str, int], ...], int] = {}
    found = []
    for block in blocks:
        labels = block.labels
        key = tuple(sorted(labels.items()))
        if key not in exact:
            size = sum(labels.values())
            number = len(kinds)
            if size > 2:
                for other, index in kinds:
                    shared = sum((labels & other).values())
                    if sum(other.values()) > 2 and shared >= SIMILAR * (size + sum(other.values()) - shared):
                        number = index
                        break
            if number == len(kinds):
                kinds.append((labels, number))
            exact[key] = number
        found.append(exact[key])
    return found


def _best_period(classes: list[int], at: int, flat: bool) -> tuple[int, int]:
    """Return the period of the repeat that begins at ``at``, and how often it is there; (1, 1) for none."""
    best = (1, 1)
    left = len(classes) - at
    for period in range(1, min(left // 2, _LONGEST_PERIOD) + 1):
        if classes[at] != classes[at + period] or classes[at : at + period] != classes[at + period : at + 2 * period]:
            continue
        end = at + 2 * period
        while end < len(classes) and classes[end] == classes[end - period]:
            end += 1
        times = (end - at) // period
        if period > 1 and _mostly_runs(classes[at : at + period]):
            continue  # a stage of equal cells and a reduction is not a block: the cells are
        if times >= 3:
            return period, times
        if (flat or period == 1) and (times - 1) * period > (best[1] - 1) * best[0]:
            best = (period, times)
    return best


def _mostly_runs(classes: list[int]) -> bool:
    """Tell whether half of a run of blocks, or more, is one shorter run three times and more in a row."""
    size = len(classes)
    for period in range(1, size // 3 + 1):
        equal = 0
        for a, b in zip(classes, classes[period:], strict=False):
            equal = equal + 1 if a == b else 0
            if equal >= 2 * period and 2 * (equal + period) >= size:
                return True
    return False


def _shifted(
    blocks: list[Block], classes: list[int], at: int, period: int, times: int, groups: list[Group]
) -> tuple[int, Group]:
    """Without scopes a run's first layer is arbitrary: begin where the fewest tensors cross from repeat to repeat."""
    end = at + period * times
    while end < len(classes) and classes[end] == classes[end - period]:
        end += 1
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
        joined = boundary > 0 and blocks[boundary - 1].layers[-1].kind in ("concat", "add")  # how blocks end
        return crossing(boundary), not joined, -((end - boundary) // period), boundary

    start = min(range(at, min(at + period, end - period + 1)), key=rank)
    groups += [Group([block]) for block in blocks[at:start]]
    count = (end - start) // period
    return start, Group(blocks[start : start + count * period], period)


def _compare(group: Group) -> None:
    """Say what differs between a group's repeats."""
    repeats = group.repeats()
    shapes = Counter(repeat.structure() for repeat in repeats)
    usual = next(repeat for repeat in repeats if repeat.structure() == shapes.most_common(1)[0][0])
    group.same = len(shapes) == 1
    common = usual.labels
    odd: dict[str, list[str]] = {}
    for repeat in repeats:
        more, less = repeat.labels - common, common - repeat.labels
        words = [f"has {_counted(more)}"] if more else []
        words += [f"lacks {_counted(less)}"] if less else []
        if not words and repeat.structure() != usual.structure():
            words = ["is wired differently"]
        if words:
            odd.setdefault(" and ".join(words), []).append(repeat.name)
    group.differences += [f"{', '.join(tails(names))} {what}" for what, names in odd.items()]
    strided = [repeat.name for repeat in repeats if any(side > 1 for layer in repeat.layers for side in layer.strides)]
    told = {name for names in odd.values() for name in names}
    if strided and len(strided) < len(repeats) and not told >= set(strided):
        group.differences.append(f"{', '.join(tails(strided))} {'has' if len(strided) == 1 else 'have'} a stride")


def tails(names: Sequence[str]) -> list[str]:
    """Return the names without the scopes that they are in; a list of one block's neighbours needs no more."""
    return [name.rpartition("/")[2] or name for name in names]


def widths(group: Group) -> list[int | None]:
    """Return each repeat's width, runs of the same only once."""
    found: list[int | None] = []
    for repeat in group.repeats():
        if not found or repeat.width != found[-1]:
            found.append(repeat.width)
    return found


def _counted(labels: Counter[str]) -> str:
    return ", ".join(f"{count} {label}" if count > 1 else label for label, count in labels.items())


def cost(group: Group) -> tuple[int, int | None]:
    """Return a group's parameters and multiply-adds."""
    return total(group.layers)
