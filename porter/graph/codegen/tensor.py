"""Tensor: where a step keeps a tensor of the graph, and in which order of axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from porter.graph.codegen.step import Free


class Untranslated(Exception):
    """A node has no translation; the text says what about it."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the program: its name, its shape in the graph's order, and whether its channels are second."""

    name: str
    shape: Free
    first: bool = False

    @property
    def rank(self) -> int:
        return len(self.shape)

    def axis(self, axis: int) -> int:
        """Return the axis of the program's tensor for an axis of the graph's."""
        axis %= max(1, self.rank)
        if not self.first or axis == 0:
            return axis
        return 1 if axis == self.rank - 1 else axis + 1

    def without(self, left: list[int]) -> bool | None:
        """Return whether the axes ``left`` of the graph's have their channels second, once the others are gone.

        None if they are in an order that no tensor of the program has.
        """
        order = sorted(left, key=self.axis)
        if order == left:
            return False
        return True if len(left) >= 3 and order == [left[0], left[-1], *left[1:-1]] else None

    def stored(self, values: list[Any]) -> list[Any]:
        """Return one value for each axis of the graph in the program's order."""
        return [values[0], values[-1], *values[1:-1]] if self.first else list(values)
