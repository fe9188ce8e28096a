"""Step: one call of a PyTorch module or function that stands for one or several nodes of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

Literal = bool | int | float | str | None | tuple["Literal", ...]
"""A value that can stand in source as it is."""
Free = tuple[int | None, ...]
"""The sizes of a tensor's axes in the graph's order, None where a size follows the input: the batch always does."""

DEFAULTS: dict[str, dict[str, Literal]] = {
    "nn.Conv2d": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True},
    "nn.Conv3d": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True},
    "nn.BatchNorm2d": {"eps": 1e-05, "momentum": 0.1, "affine": True},
    "nn.BatchNorm3d": {"eps": 1e-05, "momentum": 0.1, "affine": True},
    "nn.BatchNorm1d": {"eps": 1e-05, "momentum": 0.1, "affine": True},
    "nn.InstanceNorm2d": {"eps": 1e-05, "affine": False},
    "nn.InstanceNorm3d": {"eps": 1e-05, "affine": False},
    "nn.LayerNorm": {"eps": 1e-05, "elementwise_affine": True},
    "nn.GroupNorm": {"eps": 1e-05, "affine": True},
    "nn.ConvTranspose2d": {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "bias": True},
    "nn.ConvTranspose3d": {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "bias": True},
    "nn.Linear": {"bias": True},
    "nn.MaxPool2d": {"padding": 0, "dilation": 1},
    "nn.MaxPool3d": {"padding": 0, "dilation": 1},
    "nn.AvgPool2d": {"padding": 0, "count_include_pad": True},
    "nn.AvgPool3d": {"padding": 0, "count_include_pad": True},
    "nn.LeakyReLU": {"negative_slope": 0.01},
}
"""The default of each argument of a constructor (torch's documentation): the source leaves an equal value out."""


@dataclass(frozen=True)
class Weight:
    """A tensor of the graph that a module keeps: a variable, or a constant of more than a few values.

    ``order`` transposes the original's axes into the module's; ``shape``, if any, is the module's after the transpose.
    ``dtype`` is PyTorch's of values that are not floating, such as torch.long; no training changes these.
    """

    name: str
    attribute: str
    order: tuple[int, ...] = ()
    shape: tuple[int, ...] | None = None
    buffer: bool = False
    dtype: str = ""


@dataclass(frozen=True)
class Call:
    """A constructor, such as nn.Conv2d or a helper's name, and its arguments by their parameters' names, in order.

    Every argument is given, those with the default's value too, so that several calls compare.
    """

    module: str
    arguments: dict[str, Literal] = field(default_factory=dict)
    helpers: frozenset[str] = frozenset()


@dataclass(eq=False)
class Step:
    """One step of ``forward``.

    ``node`` computes the step's output, ``nodes`` lists what it stands for, and ``inputs`` are the tensors that it
    reads, by their names in the graph. A step is a module (``module`` is its constructor, such as ``nn.Conv2d`` or a
    helper's name, with ``arguments``) or an ``expression`` in which ``{0}`` stands for the first input and ``{name}``
    for an argument. ``helpers`` are the definitions that the source needs beside torch. ``channels_first`` says that
    its output, of the original's axes batch, ..., channels, has the channels second.

    ``general`` computes the same as ``module`` by a helper that takes other arguments too: nn.Conv2d with padding 1 is
    a SAME convolution whose stride is 1. A class whose repeats differ uses it.
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
    general: Call | None = None
    outputs: int = 1
    """How many tensors it returns: of a tuple, a reader's ``node:1`` is the second."""
    fills: dict[str, float] = field(default_factory=dict)
    """Weights of a module that the graph has no tensor for, and their value: 1 for a batch norm without a gamma."""
    shape: Free | None = None
    """The output's shape in the graph's order."""
    masked: str = ""
    """The graph's tensor that dropout masks here in inference too; '' for every other step."""
    random: bool = False
    """Whether a constant keeps this dropout running; a placeholder may end it."""

    @property
    def call(self) -> Call:
        """The step's own constructor."""
        return Call(self.module, self.arguments, self.helpers)

    @property
    def computes(self) -> tuple[str, ...]:
        """The names of the tensors that it computes."""
        return (self.node, *(f"{self.node}:{number}" for number in range(1, self.outputs)))


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
