"""lay_out: places boxes and wires from top to bottom so that few wires cross.

Layered drawing after Sugiyama, Tagawa and Toda (1981): a box is below all boxes that it reads, a long wire passes
through the rows between, and each row is ordered by the mean position of its neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

ROW, GAP, MARGIN, WIRE = 90, 22, 16, 14
_CHARACTER, _LINE = 6.7, 16
_SWEEPS = 6


@dataclass
class Box:
    """A box with a title and lines of text. All lengths are in SVG units.

    ``style`` is the class that colours it, ``target`` names what a click opens, and a ``stacked`` box stands for
    several. ``lay_out`` sets ``x`` and ``y``, its upper left corner.
    """

    title: str
    text: str
    style: str
    target: str = ""
    stacked: bool = False
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        return max(70.0, max(len(line) for line in (self.title, *self.text.split("\n"))) * _CHARACTER + 20)

    @property
    def height(self) -> float:
        return (_LINE * (2 + self.text.count("\n")) + 8) if self.text else _LINE + 10


@dataclass
class Wire:
    """A wire between two boxes, which are given by their numbers. ``lay_out`` sets the ``points`` of its path."""

    source: int
    target: int
    label: str = ""
    points: tuple[tuple[float, float], ...] = ()


@dataclass
class Diagram:
    """Placed boxes and wires, and the size of the whole."""

    boxes: list[Box]
    wires: list[Wire]
    width: float = 0.0
    height: float = 0.0

    def labels(self) -> list[tuple[str, float, float]]:
        """Return each label with its place; wires from one box that carry the same label show it once."""
        first = {(wire.source, wire.label): wire for wire in reversed(self.wires) if wire.label}
        wires = [wire for wire in self.wires if first.get((wire.source, wire.label)) is wire]
        return [(wire.label, wire.points[0][0] + 5, wire.points[0][1] + 13) for wire in wires]


def lay_out(boxes: list[Box], wires: list[Wire]) -> Diagram:
    """Place boxes and wires. A wire must run from an earlier box to a later one; others are dropped."""
    wires = [wire for wire in wires if wire.source < wire.target]
    rows, chains = _rows(boxes, wires, _ranks(boxes, wires))
    _order(rows, chains)
    return _placed(boxes, wires, rows, chains)


Slot = tuple[int, int]
"""A place in a row: (number, -1) is a box, and (number, row) is where a wire passes that row."""


def _ranks(boxes: Sequence[Box], wires: Sequence[Wire]) -> list[int]:
    """Return each box's row: below all that it reads, and just above its readers if it reads nothing."""
    rank = [0] * len(boxes)
    for wire in sorted(wires, key=lambda wire: wire.source):
        rank[wire.target] = max(rank[wire.target], rank[wire.source] + 1)
    fed = {wire.target for wire in wires}
    for at in reversed(range(len(boxes))):
        readers = [rank[wire.target] for wire in wires if wire.source == at]
        if at not in fed and readers:
            rank[at] = min(readers) - 1
    return rank


def _rows(
    boxes: Sequence[Box], wires: Sequence[Wire], rank: Sequence[int]
) -> tuple[list[list[Slot]], list[list[Slot]]]:
    """Return the slots of each row, and each wire as a chain of slots."""
    rows: list[list[Slot]] = [[] for _ in range(max(rank, default=0) + 1)]
    for at in range(len(boxes)):
        rows[rank[at]].append((at, -1))
    chains = []
    for number, wire in enumerate(wires):
        between = [(number, row) for row in range(rank[wire.source] + 1, rank[wire.target])]
        for slot in between:
            rows[slot[1]].append(slot)
        chains.append([(wire.source, -1), *between, (wire.target, -1)])
    return rows, chains


def _order(rows: list[list[Slot]], chains: Sequence[Sequence[Slot]]) -> None:
    """Order each row by the mean place of its slots' neighbours, sweeping down and up in turn."""
    above: dict[Slot, list[Slot]] = {}
    below: dict[Slot, list[Slot]] = {}
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            above.setdefault(b, []).append(a)
            below.setdefault(a, []).append(b)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            place = {slot: at / max(1, len(line) - 1) for line in rows for at, slot in enumerate(line)}
            joined = above if down else below
            middle = {
                slot: sum(place[o] for o in joined[slot]) / len(joined[slot]) if joined.get(slot) else place[slot]
                for slot in row
            }
            row.sort(key=lambda slot: (middle[slot], place[slot]))


def _placed(
    boxes: list[Box], wires: list[Wire], rows: Sequence[Sequence[Slot]], chains: Sequence[Sequence[Slot]]
) -> Diagram:
    """Turn the rows' order into coordinates."""

    def size(slot: Slot) -> float:
        return boxes[slot[0]].width if slot[1] < 0 else WIRE

    widths = [sum(size(slot) for slot in row) + GAP * max(0, len(row) - 1) for row in rows]
    whole = max(widths, default=0.0)
    centre: dict[Slot, tuple[float, float]] = {}
    for at, row in enumerate(rows):
        x = MARGIN + (whole - widths[at]) / 2
        for slot in row:
            centre[slot] = (x + size(slot) / 2, MARGIN + at * ROW)
            if slot[1] < 0:
                boxes[slot[0]].x, boxes[slot[0]].y = x, MARGIN + at * ROW
            x += size(slot) + GAP
    for wire, chain in zip(wires, chains, strict=True):
        first, last = boxes[wire.source], boxes[wire.target]
        points = [(first.x + first.width / 2, first.y + first.height)]
        for slot in chain[1:-1]:
            x, y = centre[slot]
            points += [(x, y), (x, y + _LINE * 3)]
        wire.points = (*points, (last.x + last.width / 2, last.y))
    height = 2 * MARGIN + ROW * (len(rows) - 1) + max((box.height for box in boxes), default=0)
    return Diagram(boxes, wires, whole + 2 * MARGIN, height)


def wire_path(wire: Wire) -> str:
    """Return a wire as an SVG path: straight through each row, curved between rows."""
    (x, y), *rest = wire.points
    parts = [f"M{x:.0f} {y:.0f}"]
    for to_x, to_y in rest:
        bend = (to_y - y) / 2
        straight = abs(to_x - x) < 1
        parts.append(
            f"L{to_x:.0f} {to_y:.0f}"
            if straight
            else f"C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"
        )
        x, y = to_x, to_y
    return "".join(parts)
