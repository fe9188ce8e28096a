"""Size: a size that follows the network's input, as an expression of the sizes of its tensors.

NumPy computes with arrays of sizes and integers, so that the shape arithmetic of a graph becomes plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from porter.graph.graph import Ref

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "//": 2, "/": 2, "%": 2}


@dataclass(frozen=True, eq=False)
class Size:
    """The size of ``axis`` of a tensor, or an ``operator`` or function of ``parts``, which are sizes or numbers."""

    operator: str
    parts: tuple[Any, ...]

    @classmethod
    def of(cls, ref: Ref, axis: int) -> Size:
        """Return the size of an axis, in the graph's order."""
        return cls("shape", (ref, axis))

    def call(self, function: str, *others: Any) -> Size:
        """Return a Python function of this size and ``others``."""
        return Size(function, (self, *others))

    def same(self, other: Any) -> bool:
        """Tell whether two sizes are the same expression."""
        if not isinstance(other, Size) or other.operator != self.operator or len(other.parts) != len(self.parts):
            return False
        pairs = zip(self.parts, other.parts, strict=True)
        return all(a.same(b) if isinstance(a, Size) else not isinstance(b, Size) and a == b for a, b in pairs)

    def text(self, tensor: Callable[[Ref, int], str]) -> str:
        """Return the expression as Python; ``tensor`` writes the size of a tensor's axis."""
        if self.operator == "shape":
            return tensor(*self.parts)
        if self.operator not in _PRECEDENCE:
            return f"{self.operator}({', '.join(size_text(part, tensor) for part in self.parts)})"
        rank = _PRECEDENCE[self.operator]
        left, right = self.parts
        first = size_text(left, tensor, rank)
        return f"{first} {self.operator} {size_text(right, tensor, rank + 1)}"

    def __add__(self, other: Any) -> Any:
        return self if _is(other, 0) else Size("+", (self, other))

    def __radd__(self, other: Any) -> Any:
        return self if _is(other, 0) else Size("+", (other, self))

    def __sub__(self, other: Any) -> Any:
        return self if _is(other, 0) else Size("-", (self, other))

    def __rsub__(self, other: Any) -> Any:
        return Size("-", (other, self))

    def __mul__(self, other: Any) -> Any:
        return self if _is(other, 1) else Size("*", (self, other))

    def __rmul__(self, other: Any) -> Any:
        return self if _is(other, 1) else Size("*", (other, self))

    def __floordiv__(self, other: Any) -> Any:
        return self if _is(other, 1) else Size("//", (self, other))

    def __rfloordiv__(self, other: Any) -> Any:
        return Size("//", (other, self))

    def __truediv__(self, other: Any) -> Any:
        return self if _is(other, 1) else Size("/", (self, other))

    def __rtruediv__(self, other: Any) -> Any:
        return Size("/", (other, self))

    def __mod__(self, other: Any) -> Any:
        return Size("%", (self, other))

    def __neg__(self) -> Any:
        return Size("-", (0, self))


def _is(value: Any, number: int) -> bool:
    return not isinstance(value, Size) and bool(value == number)


def size_text(value: Any, tensor: Callable[[Ref, int], str], outer: int = 0) -> str:
    """Return a size or a number as Python, in brackets where an operator of the precedence ``outer`` reads it."""
    if not isinstance(value, Size):
        number = value.item() if hasattr(value, "item") else value
        return f"({number})" if outer and number < 0 else repr(number)
    text = value.text(tensor)
    return f"({text})" if _PRECEDENCE.get(value.operator, 9) < outer else text
