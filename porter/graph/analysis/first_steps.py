"""first_steps: what a graph does to images before its first weight, and the range that its input therefore expects.

porter.graph.rewrite.own_steps cuts these steps out of a graph to run them; here they are only read, so that a file can
be described without a framework. Steps of one path count, with constant operands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from porter.graph.analysis.analysis import Analysis
from porter.graph.graph import Node
from porter.graph.loop_values import ARRAYS, LISTS, array_of

Range = tuple[float, float]
_PIXELS, _UNIT = (0.0, 255.0), (0.0, 1.0)
_COMMON = ((-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5))
"""Ranges that networks are trained on."""
_NEAR = 0.02
"""Images of [-1, 1] may reach 127 / 128 only."""
_MEANS, _UNIT_MEANS = (90.0, 140.0), (0.35, 0.55)
"""Where the channels' means of photographs lie, in pixels and in parts of 255."""
_CHANNELS = (1, 3, 4)
"""Channels of one image without a batch; three axes with more are steps of a sequence."""
_LARGEST_OPERAND = 4
"""Values of a constant with one value for all channels, or one for each."""
_SILENT = frozenset("Identity Cast ExpandDims Squeeze StopGradient PlaceholderWithDefault QuantizeV2".split())
_NAMED = {
    "ResizeBilinear": "resizes images", "ResizeNearestNeighbor": "resizes images", "ResizeBicubic": "resizes images",
    "CropAndResize": "crops and resizes images", "Transpose": "transposes them", "ReverseV2": "reverses an axis",
    "Slice": "crops them", "StridedSlice": "slices them",
}  # fmt: skip
_INTO = frozenset({"TensorArrayScatterV3", "TensorArrayWriteV3", "TensorListFromTensor", "TensorListSetItem"})
_OUT_OF = frozenset({"TensorArrayReadV3", "TensorArrayGatherV3", "TensorListGetItem", "TensorListStack"})
"""How the images of a batch enter and leave a loop over them."""
_SHAPING = frozenset({"Shape", "ShapeN", "Size", "Rank"})
_UINT8, _STRING = "uint8", "string"
_INTEGERS = ("uint8", "int8", "int16")


@dataclass(frozen=True)
class FirstSteps:
    """What happens to the images of ``input``: ``steps`` in words, and the ranges of values before and after them.

    ``expects`` is None if neither the steps nor the file tell.
    """

    input: str
    steps: tuple[str, ...]
    expects: Range | None
    gives: Range | None

    @property
    def sentence(self) -> str:
        """The steps and ranges in one line, without a full stop."""
        does = ", ".join(self.steps)
        if self.expects is None:
            return f"the graph {does}; which range it expects is unknown" if does else ""
        said = f"in {range_text(self.expects)}"
        if does and self.gives is not None:
            return f"{said}, which the graph takes to {range_text(self.gives)}: it {does}"
        return f"{said}: the graph {does}" if does else said

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {"input": self.input, "steps": list(self.steps), "expects": self.expects, "gives": self.gives}


def first_steps(analysis: Analysis) -> FirstSteps | None:
    """Return what the graph does to the images of its only image input, None if it has none or several."""
    found = [name for name in analysis.paths.inputs if _is_image(analysis, name)]
    if len(found) != 1:
        return None
    return _Walk(analysis, found[0]).found()


def _is_image(analysis: Analysis, name: str) -> bool:
    """Tell whether an input is a batch of images, one image, or a file that the graph decodes; words are none."""
    if analysis.dtype(name) == _STRING:
        readers = (analysis.graph.nodes[other].op for other in analysis.graph.reached([name]) & analysis.paths.path)
        return analysis.decodes or any(op.startswith("Decode") for op in readers)
    shape = analysis.shapes.of(name)
    return shape is not None and (len(shape) == 4 or (len(shape) == 3 and shape[-1] in _CHANNELS))


class _Walk:
    """Follows images from their input: a value v has become ``scale * v + shift``, for each channel."""

    def __init__(self, analysis: Analysis, name: str) -> None:
        self.analysis, self.name = analysis, name
        self.graph, self.path = analysis.graph, analysis.paths.path
        self.scale, self.shift = np.ones(1), np.zeros(1)
        self.steps: list[str] = []
        self.pixels = analysis.dtype(name) == _UINT8

    def found(self) -> FirstSteps:
        at = self.name
        seen = {at}
        while (node := self._next(at)) is not None and node.name not in seen and self._take(node, at):
            seen.add(node.name)
            at = node.name
        expects = self._expected()
        gives = None
        if expects is not None and (self.scale.size, self.shift.size) != (0, 0):
            ends = np.concatenate([self.scale * side + self.shift for side in expects])
            gives = (float(ends.min()), float(ends.max()))
        return FirstSteps(self.name, tuple(self.steps), expects, gives)

    def _next(self, name: str) -> Node | None:
        """Return the only node that reads ``name`` as data, also out of an array that it puts them into."""
        nodes = self.graph.nodes
        if nodes[name].op in _INTO:
            return self._out_of(nodes[name])
        readers = [other for other in self.graph.consumers[name] if other in self.path]
        readers = [other for other in readers if nodes[other].op not in _SHAPING]
        return nodes[readers[0]] if len(readers) == 1 else None

    def _out_of(self, into: Node) -> Node | None:
        """Return the only node that reads the tensor array or list of ``into``."""
        array = self._array(into)
        nodes = (self.graph.nodes[name] for name in self.path)
        found = [node for node in nodes if node.op in _OUT_OF and self._array(node) == array]
        return found[0] if array and len(found) == 1 else None

    def _array(self, node: Node) -> str:
        made = node if node.op in LISTS else array_of(self.graph, node, ARRAYS | LISTS)
        return made.name if made else ""

    def _take(self, node: Node, before: str) -> bool:
        """Take note of a step behind ``before``; tell whether it is one, and not the network's first layer."""
        if node.op.startswith("Decode"):
            self.pixels = True
            self.steps.append("decodes files")
        elif node.op in ARITHMETIC:
            operand = self._operand(node, before)
            if operand is None:
                return False
            turned = node.inputs[0].node != before  # constant - x
            said, change = ARITHMETIC[node.op]
            was = self.scale, self.shift
            self.scale, self.shift = change(*was, operand, turned)
            if not (np.array_equal(self.scale, was[0]) and np.array_equal(self.shift, was[1])):
                self.steps.append(f"{said} {_numbers(operand)}")
        elif node.op in _NAMED and not self._adds_axes(node):
            if _NAMED[node.op] not in self.steps:
                self.steps.append(_NAMED[node.op])
        else:
            return node.op in _SILENT | _INTO | _OUT_OF | _NAMED.keys()
        return True

    def _adds_axes(self, node: Node) -> bool:
        """Tell whether a slice takes everything, and only adds axes."""
        begin = self.analysis.shapes.values.get(node.inputs[1]) if node.op == "StridedSlice" else None
        if begin is None:
            return False
        masks = [node.integer(f"{name}_mask") for name in ("new_axis", "ellipsis", "begin", "end")]
        return (masks[0] | masks[1] | (masks[2] & masks[3])) + 1 == 1 << begin.size

    def _operand(self, node: Node, before: str) -> np.ndarray | None:
        others = [ref for ref in node.inputs if ref.node != before]
        value = self.analysis.shapes.values.get(others[0]) if len(others) == 1 and len(node.inputs) == 2 else None
        if value is None or value.dtype.kind not in "iuf" or not 0 < value.size <= _LARGEST_OPERAND:
            return None
        return value.reshape(-1).astype(np.float64)

    def _expected(self) -> Range | None:
        """Return the range of the input, as far as its dtype, its scales or the steps tell."""
        stated = self._stated()
        if stated is not None:
            return stated
        if self.pixels or self.analysis.dtype(self.name) == _STRING:
            return _PIXELS
        if not self.steps or not np.all(np.isfinite(self.scale) & (self.scale != 0)):
            return None
        for given in (_PIXELS, _UNIT):
            low, high = (self.scale * side + self.shift for side in given)
            changed = (low.min(), high.max()) != given
            if changed and any(np.allclose([low, high], np.array(ends)[:, None], atol=_NEAR) for ends in _COMMON):
                return given
        centre = -self.shift / self.scale  # what becomes zero: the means
        for given, (least, most) in ((_PIXELS, _MEANS), (_UNIT, _UNIT_MEANS)):
            if np.all((least <= centre) & (centre <= most)):
                return given
        return None

    def _stated(self) -> Range | None:
        """Return the range of an input whose integers stand for floats, in these floats."""
        node = self.graph.nodes[self.name]
        scale, zero = node.attr("scale"), node.attr("zero_point")
        kind = self.analysis.dtype(self.name)
        if scale is None or zero is None or kind not in _INTEGERS:
            return None
        limits = np.iinfo(kind)
        return (limits.min - zero.i) * scale.f, (limits.max - zero.i) * scale.f


_Change = Callable[[np.ndarray, np.ndarray, np.ndarray, bool], tuple[np.ndarray, np.ndarray]]


def _subtracted(scale: np.ndarray, shift: np.ndarray, by: np.ndarray, turned: bool) -> tuple[np.ndarray, np.ndarray]:
    return (-scale, by - shift) if turned else (scale, shift - by)


def _divided(scale: np.ndarray, shift: np.ndarray, by: np.ndarray, turned: bool) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.full(1, np.nan),) * 2 if turned else (scale / by, shift / by)


ARITHMETIC: dict[str, tuple[str, _Change]] = {
    "Mul": ("multiplies by", lambda scale, shift, by, _: (scale * by, shift * by)),
    "Add": ("adds", lambda scale, shift, by, _: (scale, shift + by)),
    "AddV2": ("adds", lambda scale, shift, by, _: (scale, shift + by)),
    "BiasAdd": ("adds", lambda scale, shift, by, _: (scale, shift + by)),
    "Sub": ("subtracts", _subtracted),
    "RealDiv": ("divides by", _divided),
    "Div": ("divides by", _divided),
}
"""What an op with a constant operand does to ``scale * v + shift``."""


def _numbers(values: np.ndarray) -> str:
    return ", ".join(dict.fromkeys(f"{value:.6g}" for value in values))


def range_text(ends: Range) -> str:
    """Return a range as text, rounded to two digits."""
    # Adding 0 turns -0 into 0.
    return f"[{round(ends[0], 2) + 0.0:g}, {round(ends[1], 2) + 0.0:g}]"
