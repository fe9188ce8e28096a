"""analyse(Source) -> Analysis: everything that is known of a graph, each part computed when it is first asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from porter.formats.roles import VARIABLE, roles
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.graph_source import Signature, Source
from porter.graph.analysis.blocks import Group, find_blocks
from porter.graph.analysis.layers import Layer, fold_layers
from porter.graph.analysis.paths import Paths, split_paths
from porter.graph.functions import build_graph
from porter.graph.graph import Graph
from porter.graph.shapes import Shape, Shapes
from porter.graph.variables import Variable, find_variables

QUANTIZING = ("FakeQuant", "Quantize", "Dequantize", "Requantiz")


@dataclass
class Analysis:
    """A graph and what follows from it. ``size`` stands in for heights and widths that the graph leaves open."""

    source: Source
    size: int | None = None

    @cached_property
    def signature(self) -> Signature | None:
        """The SavedModel signature that is looked at: the one for serving, or the first."""
        named = {signature.name: signature for signature in self.source.signatures}
        return named.get("serving_default") or next(iter(named.values()), None)

    @cached_property
    def graph(self) -> Graph:
        return build_graph(self.source.graph, self.signature.outputs.values() if self.signature else ())

    @cached_property
    def shapes(self) -> Shapes:
        return Shapes(self.graph, self.size)

    @cached_property
    def all_variables(self) -> dict[str, Variable]:
        """Every variable, slots and counters included."""
        return find_variables(self.graph)

    @cached_property
    def roles(self) -> dict[str, str]:
        """What each variable is for. One that a SavedModel holds twice, and does not read, is left out."""
        found = roles(self.all_variables)
        if self.paths.stated:
            found = {name: role for name, role in found.items() if name in self.paths.path or role != VARIABLE}
        return found

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """The network's own variables."""
        return {name: self.all_variables[name] for name, role in self.roles.items() if role == VARIABLE}

    @cached_property
    def frozen(self) -> bool:
        """Whether the variables are constants."""
        return bool(self.all_variables) and all(self.graph.nodes[name].op == "Const" for name in self.all_variables)

    @cached_property
    def paths(self) -> Paths:
        outputs = self.signature.outputs.values() if self.signature else ()
        return split_paths(self.graph, self.all_variables.values(), outputs, self.source.train_ops)

    @cached_property
    def layers(self) -> list[Layer]:
        return fold_layers(self.graph, self.shapes, self.paths, self.all_variables)

    @cached_property
    def groups(self) -> list[Group]:
        return find_blocks(self.layers)

    @cached_property
    def ops(self) -> dict[str, int]:
        """How many nodes each op has, most first."""
        return dict(Counter(node.op for node in self.graph.nodes.values()).most_common())

    @cached_property
    def path_ops(self) -> dict[str, int]:
        """The same on the inference path alone."""
        nodes = self.graph.nodes
        return dict(Counter(nodes[name].op for name in nodes if name in self.paths.path).most_common())

    @cached_property
    def aside(self) -> dict[str, int]:
        """How many nodes are off the inference path, by purpose, most first."""
        return dict(Counter(self.paths.aside.values()).most_common())

    @cached_property
    def quantizing(self) -> dict[str, str]:
        """The nodes that quantize or imitate it, and their ops."""
        return {node.name: node.op for node in self.graph.nodes.values() if node.op.startswith(QUANTIZING)}

    @cached_property
    def multiply_adds(self) -> int | None:
        """The whole path's, None where a shape is unknown."""
        products = [layer.multiply_adds for layer in self.layers]
        return None if None in products else sum(product or 0 for product in products)

    def dtype(self, name: str) -> str:
        """Return the dtype of a node's output, where an attribute says it."""
        node = self.graph.nodes[name]
        for key in ("dtype", "T", "out_type", "DstT", "SrcT"):
            value = node.attr(key)
            if value is not None and value.type:
                kind = TYPES.get(value.type % 100)
                return kind.name if kind else "string" if value.type % 100 == 7 else f"dtype {value.type}"
        return ""

    def shape(self, name: str) -> Shape:
        return self.shapes.of(name)

    def object_name(self, variable: str) -> str:
        """Return a variable's name in the SavedModel's object graph, or ''."""
        names = self.source.variable_names
        stem, _, number = variable.rpartition("_")
        return names.get(variable) or (names.get(stem, "") if number.isdigit() else "")

    def scopes(self, depth: int) -> dict[str, tuple[int, int, int, int | None]]:
        """Return tensors, parameters, bytes and multiply-adds of each variable scope down to ``depth`` names.

        A layer's multiply-adds stand at the scope of its weights; those of a layer without any, at its own.
        """
        found: dict[str, list[Any]] = {}
        for name, variable in self.variables.items():
            row = found.setdefault(scope_of(name, depth), [0, 0, 0, 0])
            row[0] += 1
            row[1] += variable.size
            row[2] += variable.bytes
        for layer in self.layers:
            if layer.multiply_adds != 0:
                owner = scope_of(layer.variables[0] if layer.variables else f"{layer.name}/", depth)
                row = found.setdefault(owner, [0, 0, 0, 0])
                known = row[3] is not None and layer.multiply_adds is not None
                row[3] = row[3] + layer.multiply_adds if known else None
        return {name: (row[0], row[1], row[2], row[3]) for name, row in found.items()}


def scope_of(name: str, depth: int) -> str:
    """Return the first ``depth`` scopes of a variable's name."""
    return "/".join(name.split("/")[:-1][:depth]) or name


def producer_text(producer: int) -> str:
    """Return when TensorFlow's graph version ``producer`` was current.

    Since 2019 the version goes up by one a day: 440 was that of 23 June 2020 (TensorFlow 2.3.0's
    tensorflow/core/public/version.h). Before, it went up with the format, a few times a year.
    """
    if producer > 100:
        day = date(2020, 6, 23) + timedelta(days=producer - 440)
        return f"producer {producer}: a TensorFlow of {day:%B %Y}"
    return f"producer {producer}: a TensorFlow 1" if producer else "something that left no producer version"
