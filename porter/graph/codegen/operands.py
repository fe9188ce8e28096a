"""Operands: the inputs and weights of one expression, written into its text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from porter.graph.codegen.sizes import size_text
from porter.graph.codegen.step import Literal, Weight
from porter.graph.codegen.tensor import Tensor
from porter.graph.graph import Ref


class Operands:
    """``{0}`` for the first tensor of ``names``, and ``{weight}`` for a weight of that attribute.

    ``tensor`` returns what computes a tensor, for sizes that the text reads.
    """

    def __init__(self, tensor: Callable[[Ref], Tensor]) -> None:
        self.names: list[str] = []
        self.weights: list[Weight] = []
        self.arguments: dict[str, Literal] = {}
        self._tensor = tensor

    def __call__(self, tensor: Tensor) -> str:
        """Return the text of a tensor as it is stored."""
        if tensor.name not in self.names:
            self.names.append(tensor.name)
        return f"{{{self.names.index(tensor.name)}}}"

    def last(self, tensor: Tensor) -> str:
        """Return the text of a tensor in the graph's order of axes."""
        return f"{self(tensor)}.movedim(1, -1)" if tensor.first else self(tensor)

    def aligned(self, tensor: Tensor, rank: int, first: bool) -> str:
        """Return the text of a tensor that is broadcast to ``rank`` axes, with channels second if ``first``."""
        text = self(tensor)
        if not first or rank < 3 or tensor.rank == 0:
            return self.last(tensor)
        if tensor.rank == 1:
            return f"{text}[:, {', '.join(['None'] * (rank - 2))}]"
        if tensor.rank < rank:
            return f"{self.last(tensor)}[{', '.join(['None'] * (rank - tensor.rank))}].movedim(-1, 1)"
        return text if tensor.first else f"{text}.movedim(-1, 1)"

    def argument(self, name: str, value: Literal) -> str:
        """Return the text of a number in which repeats of a step may differ."""
        free = name if name not in self.arguments else f"{name}_{len(self.arguments) + 1}"
        self.arguments[free] = value
        return f"{{{free}}}"

    def weight(
        self,
        name: str,
        order: tuple[int, ...] = (),
        shape: tuple[int, ...] | None = None,
        buffer: bool = False,
        attribute: str = "weight",
    ) -> str:
        """Return the text of a weight. Two of one step have numbers."""
        taken = {weight.attribute for weight in self.weights}
        free = attribute if attribute not in taken else f"{attribute}_{len(taken) + 1}"
        self.weights.append(Weight(name, free, order, shape, buffer))
        return f"{{{free}}}"

    def aligned_weight(self, name: str, shape: tuple[int, ...], rank: int, first: bool, buffer: bool) -> str:
        """Return the text of a weight that an operator broadcasts, as ``aligned`` does for a tensor."""
        if not first or rank < 3 or not shape:
            return self.weight(name, (), shape, buffer)
        count = math.prod(shape)
        if count == shape[-1]:  # one value for each channel
            return self.weight(name, (), (count, *[1] * (rank - 2)), buffer)
        padded = (1,) * (rank - len(shape)) + shape
        order = (len(shape) - 1, *range(len(shape) - 1)) if len(shape) < rank else (0, rank - 1, *range(1, rank - 1))
        return self.weight(name, order, (padded[0], padded[-1], *padded[1:-1]), buffer)

    def size(self, value: Any) -> str:
        """Return the text of a size or a number."""
        return size_text(value, self._size_of)

    def sizes(self, values: list[Any]) -> str:
        """Return the text of several sizes, with commas between them."""
        return ", ".join(self.size(value) for value in values)

    def _size_of(self, ref: Ref, axis: int) -> str:
        tensor = self._tensor(ref)
        return f"{self(tensor)}.shape[{tensor.axis(axis)}]"
