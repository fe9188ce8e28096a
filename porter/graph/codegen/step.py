"""Step: one call of a PyTorch module or function that stands for one or several nodes of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

Literal = bool | int | float | str | None | tuple["Literal", ...]
"""A value that can stand in source as it is."""


@dataclass(frozen=True)
class Weight:
    """A tensor of the graph that a module keeps: a variable, or a constant of more than a few values.

    ``order`` transposes the original's axes into the module's; ``shape``, if any, is the module's after the transpose.
    """

    name: str
    attribute: str
    order: tuple[int, ...] = ()
    shape: tuple[int, ...] | None = None
    buffer: bool = False


@dataclass(eq=False)
class Step:
    """One step of ``forward``.

    ``node`` computes the step's output, ``nodes`` lists what it stands for, and ``inputs`` are the tensors that it
    reads, by their names in the graph. A step is a module (``module`` is its constructor, such as ``nn.Conv2d`` or a
    helper's name, with ``arguments``) or an ``expression`` in which ``{0}`` stands for the first input. ``helpers`` are
    the definitions that the source needs beside torch. ``channels_first`` says that its output, of the original's axes
    batch, ..., channels, has the channels second.
    """

    node: str
    nodes: list[str]
    inputs: list[str]
    module: str = ""
    arguments: dict[str, Literal] = field(default_factory=dict)
    weights: list[Weight] = field(default_factory=list)
    expression: str = ""
    helpers: frozenset[str] = frozenset()
    channels_first: bool = False
    what: str = ""
    """The step in a word, such as conv, max pool or concat: the name of an attribute where the scopes give none."""
