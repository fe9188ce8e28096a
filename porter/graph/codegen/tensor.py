"""Tensor: where a step keeps a tensor of the graph, and in which order of axes."""

from __future__ import annotations

from dataclasses import dataclass

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

    def stored(self, values: list[int]) -> list[int]:
        """Return one value for each axis of the graph in the program's order."""
        return [values[0], values[-1], *values[1:-1]] if self.first else list(values)
