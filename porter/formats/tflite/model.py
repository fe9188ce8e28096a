"""read_model(path) -> Model: the subgraphs, tensors and operators of a .tflite file.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, whose fields are numbered in their order there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from porter.errors import FormatError
from porter.formats.tflite.flatbuffer import Flatbuffer, Table
from porter.formats.tflite.schema import CUSTOM, DTYPES, OPS

_MOST = 400_000
"""Tensors and operators of the largest model that porter reads, as for TensorFlow's graphs."""
_MOST_PARTS = 8
_VERSION = re.compile(r"[\w.+-]{1,40}")
_SLOT = re.compile(r":\d+$")
_SEPARATORS = re.compile(r"[\s:^]+")


@dataclass
class Tensor:
    """One tensor. ``name`` is unique in the model; ``stored_name`` is the file's own.

    ``dtype`` is TensorFlow's number. ``shape`` has None for sizes that the file leaves open. ``start`` and ``size``
    say where its constant value lies in the file; ``size`` is 0 for a computed tensor. A quantized tensor has
    ``scales`` and ``zeros``, one for each index of ``axis``, or one for all. ``blockwise`` marks a tensor with scales
    of another form, and ``sparse`` has the SparsityParameters of a tensor that leaves out zeros. ``made`` says what a
    converter made a constant as that is no weight of its source, and ``shared`` marks one weight in several tensors.
    """

    name: str
    stored_name: str
    dtype: int
    shape: tuple[int | None, ...]
    start: int = 0
    size: int = 0
    scales: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32), repr=False)
    zeros: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    axis: int = 0
    blockwise: bool = False
    sparse: Table | None = None
    made: str = ""
    shared: bool = False

    @property
    def constant(self) -> bool:
        return self.size > 0


@dataclass(frozen=True)
class Operator:
    """One operator: its op's name, the numbers of its tensors (-1 for an absent one) and its options, if any."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    def integer(self, field: int, default: int = 0) -> int:
        """Return an int32 option."""
        return self.options.number(field, "i", default) if self.options else default

    def byte(self, field: int) -> int:
        """Return an option of one byte: a flag or an enumeration."""
        return self.options.number(field, "b") if self.options else 0


@dataclass(frozen=True)
class Subgraph:
    """One graph of a model; the first is the network, and others are the bodies of its loops and conditions."""

    name: str
    tensors: list[Tensor]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: list[Operator]


@dataclass(frozen=True)
class Call:
    """A signature: the tensors of its inputs and outputs by their names, in the subgraph ``subgraph``."""

    name: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    subgraph: int


@dataclass(frozen=True)
class Model:
    """A .tflite file. ``data`` are its bytes, and ``writer`` is what it says of its converter."""

    path: Path
    data: memoryview
    subgraphs: list[Subgraph]
    calls: list[Call]
    writer: str


def read_model(path: Path) -> Model:
    """Read a .tflite file's structure, and no values. Raises FormatError if it is damaged."""
    try:
        return _Reader(path).model()
    except FormatError as error:
        raise FormatError(f"{path} is not a whole TensorFlow Lite model ({error}); copy or download it again") from None


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = memoryview(np.memmap(path, np.uint8, "r"))  # type: ignore[arg-type] # it has a buffer
        self.root = Flatbuffer(self.data).root()
        self.names: set[str] = set()
        self.count = 0
        self.buffers = [self._place(buffer) for buffer in self.root.tables(4)]
        self.ops = [_op(code) for code in self.root.tables(1)]

    def model(self) -> Model:
        subgraphs = [self._subgraph(table, number) for number, table in enumerate(self.root.tables(2))]
        if not subgraphs or not subgraphs[0].operators:
            raise FormatError("it has no operators")
        _take_initial_values(subgraphs)
        calls = [self._call(table, subgraphs) for table in self.root.tables(7)]
        return Model(self.path, self.data, subgraphs, calls, self._converter() or self.root.text(3).strip())

    def _converter(self) -> str:
        """Return the TensorFlow whose converter wrote the file, '' if its metadata do not say so.

        Source: tensorflow/compiler/mlir/lite/schema/conversion_metadata.fbs.
        """
        for entry in self.root.tables(6):
            buffer = entry.number(1, "I")
            if entry.text(0) == "CONVERSION_METADATA" and buffer < len(self.buffers):
                start, size = self.buffers[buffer]
                with suppress(FormatError):
                    environment = Flatbuffer(self.data[start : start + size]).root().table(0)
                    version = environment.text(0) if environment else ""
                    return f"the converter of TensorFlow {version}" if _VERSION.fullmatch(version) else ""
        return ""

    def _place(self, buffer: Table) -> tuple[int, int]:
        """Return where a buffer's bytes are: in the flatbuffer, or behind it in a large file."""
        offset, size = buffer.number(1, "Q"), buffer.number(2, "Q")
        if offset > 1:
            if offset + size > len(self.data):
                raise FormatError(f"a buffer ends at byte {offset + size} of {len(self.data)}")
            return offset, size
        return buffer.place(0)

    def _subgraph(self, table: Table, number: int) -> Subgraph:
        name = table.text(4) or f"subgraph_{number}"
        tensors = [self._tensor(tensor) for tensor in table.tables(0)]
        # A converter gives a bias the name of the op that it is added in: the op itself keeps it.
        for at in sorted(range(len(tensors)), key=lambda at: tensors[at].constant):
            tensors[at].name = self._free(tensors[at].stored_name, f"{name}/" if number else "", at)
        operators = [self._operator(operator, len(tensors)) for operator in table.tables(3)]
        inputs, outputs = table.ints(1), table.ints(2)
        _check((*inputs, *outputs), len(tensors), absent=False)
        return Subgraph(name, tensors, inputs, outputs, operators)

    def _counted(self) -> None:
        self.count += 1
        if self.count > _MOST:
            raise FormatError(f"it has more than {_MOST:,} tensors and operators")

    def _tensor(self, table: Table) -> Tensor:
        self._counted()
        stored, kind, buffer = table.text(3), table.number(1, "b"), table.number(2, "I")
        if not 0 <= kind < len(DTYPES):
            raise FormatError(f"the tensor {stored} has the unknown dtype {kind}")
        if buffer >= max(len(self.buffers), 1):
            raise FormatError(f"the tensor {stored} lies in buffer {buffer} of {len(self.buffers)}")
        start, size = self.buffers[buffer] if buffer and self.buffers else (0, 0)
        shape = table.ints(7) or table.ints(0)
        tensor = Tensor("", stored, DTYPES[kind], tuple(s if s >= 0 else None for s in shape), start, size)
        tensor.sparse = table.table(6)
        quantized = table.table(4)
        if quantized is not None:
            tensor.scales, tensor.zeros = quantized.array(2, "<f4"), quantized.array(3, "<i8")
            # Converters give biases the axis of their kernel.
            tensor.axis = quantized.number(6, "i") if len(shape) != 1 else 0
            tensor.blockwise = quantized.number(4, "B") > 0
        return tensor

    def _free(self, stored: str, scope: str, number: int) -> str:
        """Return a name for a tensor that no other has: of the fused ops that a converter lists, the first free one."""
        parts = [_SEPARATORS.sub("_", _SLOT.sub("", part)).strip("/") for part in stored.split(";", _MOST_PARTS)]
        names = [part for part in parts if part] or [f"tensor_{number}"]
        name = next((name for name in names if name not in self.names), f"{scope}{names[0]}")
        found, again = name, 0
        while found in self.names:
            again = again + 1 if again else number
            found = f"{name}_{again}"
        self.names.add(found)
        return found

    def _operator(self, table: Table, tensors: int) -> Operator:
        self._counted()
        code = table.number(0, "I")
        if code >= len(self.ops):
            raise FormatError(f"an operator has the op {code} of {len(self.ops)}")
        inputs, outputs = table.ints(1), table.ints(2)
        _check((*inputs, *outputs), tensors)
        options = table.table(4) if table.number(3, "B") else None
        return Operator(self.ops[code], inputs, outputs, options)

    def _call(self, table: Table, subgraphs: Sequence[Subgraph]) -> Call:
        number = table.number(4, "I")
        if number >= len(subgraphs):
            raise FormatError(f"a signature is of subgraph {number} of {len(subgraphs)}")
        sides = [{part.text(0): part.number(1, "I") for part in table.tables(side)} for side in (0, 1)]
        _check((*sides[0].values(), *sides[1].values()), len(subgraphs[number].tensors), absent=False)
        return Call(table.text(2), sides[0], sides[1], number)


def _op(table: Table) -> str:
    """Return an op's name; files before 2020 number it in a field of one byte."""
    code = max(table.number(0, "b"), table.number(3, "i"))
    if not 0 <= code < len(OPS):
        raise FormatError(f"it has the op number {code}, which is newer than porter's schema")
    return table.text(1) or OPS[CUSTOM] if code == CUSTOM else OPS[code]


def _check(numbers: Sequence[int], count: int, absent: bool = True) -> None:
    """Raise FormatError if one of ``numbers`` is no tensor; -1 stands for an absent one."""
    for number in numbers:
        if not (-1 if absent else 0) <= number < count:
            raise FormatError(f"an operator or signature has tensor {number} of {count}")


def _take_initial_values(subgraphs: Sequence[Subgraph]) -> None:
    """Give the variables that a network reads the values that another subgraph assigns when the model is loaded."""
    assigned: dict[str, Tensor] = {}
    for graph in subgraphs[1:]:
        handles = _handles(graph)
        for operator in graph.operators:
            if operator.op == "ASSIGN_VARIABLE" and len(operator.inputs) > 1 and operator.inputs[0] in handles:
                assigned.setdefault(handles[operator.inputs[0]], graph.tensors[operator.inputs[1]])
    handles = _handles(subgraphs[0])
    for operator in subgraphs[0].operators:
        if operator.op != "READ_VARIABLE" or not operator.outputs or not operator.inputs:
            continue
        value = assigned.get(handles.get(operator.inputs[0], ""))
        read = subgraphs[0].tensors[operator.outputs[0]]
        if value is not None and value.constant and (value.shape, value.dtype) == (read.shape, read.dtype):
            read.start, read.size, read.sparse = value.start, value.size, value.sparse
            read.scales, read.zeros, read.axis = value.scales, value.zeros, value.axis
            value.size = 0  # it is the variable's now, and no second weight


def _handles(graph: Subgraph) -> dict[int, str]:
    """Return the variables that tensors are handles of."""
    handles = (operator for operator in graph.operators if operator.op == "VAR_HANDLE" and operator.options)
    return {
        operator.outputs[0]: operator.options.text(1) for operator in handles if operator.outputs and operator.options
    }


# ---- what constants are for
_THROUGH = frozenset({"DEQUANTIZE", "DENSIFY"})
"""Ops that only change how a constant is stored."""
_KERNELS = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "TRANSPOSE_CONV": "transposed",
    "FULLY_CONNECTED": "dense",
}
_LAYOUTS = {"conv": (1, 2, 3, 0), "transposed": (1, 2, 0, 3), "dense": (1, 0)}
"""The transposes from TensorFlow Lite's OHWI and OI to HWIO, HWOI and IO, TensorFlow's layouts."""


def origins(graph: Subgraph) -> dict[int, int]:
    """Return the constant behind each tensor that is one, also behind DEQUANTIZE and DENSIFY."""
    found = {number: number for number, tensor in enumerate(graph.tensors) if tensor.constant}
    for operator in graph.operators:
        if operator.op in _THROUGH and operator.inputs[:1] and operator.inputs[0] in found:
            found |= dict.fromkeys(operator.outputs[:1], found[operator.inputs[0]])
    return found


def kernels(graph: Subgraph) -> Iterator[tuple[int, str, Operator]]:
    """Yield the constants that are kernels, what they are a kernel of, and the operator that reads them."""
    constants = origins(graph)
    for operator in graph.operators:
        kind = _KERNELS.get(operator.op)
        if kind and len(operator.inputs) > 1 and operator.inputs[1] in constants:
            yield constants[operator.inputs[1]], kind, operator


class Layout:
    """How a constant becomes TensorFlow's: ``shape`` is that of the result."""

    def __init__(self, tensor: Tensor, kind: str = "", outputs: int | None = None) -> None:
        self.axes: tuple[int, ...] = ()
        self.shape = tensor.shape
        if kind == "depthwise" and len(tensor.shape) == 4 and tensor.shape[0] == 1 and None not in tensor.shape:
            _, height, width, channels = (size or 0 for size in tensor.shape)
            inputs = outputs if outputs and channels % outputs == 0 else channels
            self.shape = (height, width, inputs, channels // max(inputs, 1))
        elif kind in _LAYOUTS and len(tensor.shape) == len(_LAYOUTS[kind]):
            self.axes = _LAYOUTS[kind]
            self.shape = tuple(tensor.shape[axis] for axis in self.axes)

    def applied(self, values: np.ndarray) -> np.ndarray:
        """Return the values of the tensor in TensorFlow's layout."""
        turned = values.transpose(self.axes) if self.axes else values
        return turned.reshape([size or 0 for size in self.shape])


def layouts(graph: Subgraph) -> dict[int, Layout]:
    """Return the layouts of all constants; the first operator that reads a kernel decides over it."""
    found: dict[int, Layout] = {}
    for number, kind, operator in kernels(graph):
        inputs = graph.tensors[operator.inputs[0]].shape if operator.inputs[0] >= 0 else ()
        found.setdefault(number, Layout(graph.tensors[number], kind, inputs[-1] if inputs else None))
    return {
        number: found.get(number) or Layout(tensor) for number, tensor in enumerate(graph.tensors) if tensor.constant
    }
