"""Step: one call of a PyTorch module or function that stands for one or several nodes of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

Literal = bool | int | float | str | None | tuple["Literal", ...]
"""A value that can stand in source as it is."""
Free = tuple[int | None, ...]
"""The sizes of a tensor's axes in the graph's order, None where a size follows the input: the batch always does."""


@dataclass(frozen=True)
class Weight:
    """A tensor of the graph that a module keeps: a variable, or a constant of more than a few values.

    ``order`` transposes the original's axes into the module's; ``shape``, if any, is the module's after the transpose.
    ``buffer`` says that training leaves it alone.
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
    reads, by their names in the graph. ``outputs`` are those that it computes: ``node`` alone, unless it lists others.

    A step is a module (``module`` is its constructor, such as ``nn.Conv2d`` or a helper's name, with ``arguments``), or
    an ``expression`` in which ``{0}`` stands for the first input and ``{scale}`` for the weight of that attribute. One
    without weights may have both: then the expression computes the same. ``fills`` are the attributes of a module that
    the graph has no tensor for, and their values: a batch norm's weight of 1, for example.

    ``helpers`` are the definitions that the source needs beside torch. ``channels_first`` says that its output, of the
    original's axes batch, ..., channels, has the channels second; ``shape`` is the output's in the graph's order.
    ``random`` marks dropout that the graph keeps running in inference.
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
    outputs: tuple[str, ...] = ()
    fills: dict[str, float] = field(default_factory=dict)
    shape: Free | None = None
    random: bool = False


@dataclass(frozen=True)
class Port:
    """An input or output of the network: ``tensor`` is its name in the graph, and ``source`` the tensor of the steps.

    The two differ for an output that an Identity or another step without effect names. ``shape`` is in the graph's
    order, and ``channels_first`` as in `Step`.
    """

    tensor: str
    source: str
    shape: Free
    channels_first: bool = False


@dataclass(frozen=True)
class Problem:
    """A node that has no translation: ``why`` says what about it, and ``shapes`` are those of its inputs."""

    node: str
    op: str
    shapes: tuple[Free | None, ...]
    why: str


@dataclass(frozen=True)
class Program:
    """A network as steps in forward order. With ``problems``, the steps are not the whole of it."""

    steps: list[Step]
    inputs: list[Port]
    outputs: list[Port]
    problems: list[Problem]
