"""Analysis: everything that porter derives from a graph; each part is computed at its first use."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from porter.formats.roles import UNTRAINED, VARIABLE, roles
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.graph_source import Signature, Source
from porter.graph.analysis.blocks import Group
from porter.graph.analysis.control.functional import analysed_graph
from porter.graph.analysis.control.inference import View, inference_view
from porter.graph.analysis.find_blocks import find_blocks
from porter.graph.analysis.folding.fold import fold_layers
from porter.graph.analysis.layers import Layer, total
from porter.graph.analysis.paths import Paths, split_paths
from porter.graph.graph import Graph
from porter.graph.shape_inference import infer_shapes
from porter.graph.shapes import Shapes
from porter.graph.variables import Variable, find_variables

QUANTIZING = ("FakeQuant", "Quantize", "Dequantize", "Requantiz")


@dataclass
class Analysis:
    """A graph and what porter derives from it. ``size`` replaces an open image height and width, in pixels."""

    source: Source
    size: int | None = None

    @cached_property
    def signature(self) -> Signature | None:
        """The SavedModel signature that the analysis uses: ``serving_default``, or the first by name."""
        named = {signature.name: signature for signature in self.source.signatures}
        return named.get("serving_default") or next(iter(named.values()), None)

    @cached_property
    def first(self) -> tuple[str, ...]:
        """The tensors that the signature returns: what they depend on keeps its plain names when calls are inlined."""
        return tuple(self.signature.outputs.values()) if self.signature else ()

    @cached_property
    def graph(self) -> Graph:
        """The graph with its calls inlined, and loops and conditions of placeholders as TensorFlow 1 has them."""
        return analysed_graph(self.source.graph, self.first)

    @cached_property
    def shapes(self) -> Shapes:
        return infer_shapes(self.graph, self.size)

    @cached_property
    def all_variables(self) -> dict[str, Variable]:
        """All variables, optimizer slots and counters included."""
        return find_variables(self.graph)

    @cached_property
    def roles(self) -> dict[str, str]:
        """Each variable's role. A SavedModel may store a network's variable twice; the unread copy is left out."""
        found = roles(self.all_variables)
        if self.paths.stated:
            found = {name: role for name, role in found.items() if name in self.paths.path or role != VARIABLE}
        return found

    @cached_property
    def role_counts(self) -> dict[str, int]:
        """The number of variables per role, in the graph's order."""
        return dict(Counter(self.roles.values()))

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """The network's own variables."""
        return {name: self.all_variables[name] for name, role in self.roles.items() if role == VARIABLE}

    @cached_property
    def takes_size(self) -> bool:
        """Whether an input is a picture whose height or width the graph leaves open."""
        shapes = [self.shapes.of(name) for name in self.paths.inputs]
        pictures = (shape for shape in shapes if shape is not None and len(shape) == 4)
        return bool(self.shapes.assumed) or any(None in shape[1:] for shape in pictures) or self.decodes

    @cached_property
    def decodes(self) -> bool:
        """Whether the graph decodes its pictures itself."""
        return any(self.graph.nodes[name].op.startswith("Decode") for name in self.paths.inputs)

    def own_name(self, name: str) -> str:
        """Return the name that the signature gives to an input or output, such as logits for Identity_1; or ''."""
        given = {**self.signature.inputs, **self.signature.outputs} if self.signature else {}
        found = [key for key, tensor in given.items() if self.graph.resolve(tensor).node == name]
        return found[0] if found else ""

    @cached_property
    def frozen(self) -> bool:
        """Whether all variables are constants, or Dequantize nodes over constants."""
        ops = {self.graph.nodes[name].op for name in self.all_variables}
        return bool(ops) and ops <= {"Const", "Dequantize"}

    @cached_property
    def paths(self) -> Paths:
        outputs = self.signature.outputs.values() if self.signature else ()
        rest = (signature for signature in self.source.signatures if signature is not self.signature)
        others = [tensor for signature in rest for tensor in signature.outputs.values()]
        variables = self.all_variables.values()
        return split_paths(self.view, self.shapes, variables, outputs, self.source.train_ops, others)

    @cached_property
    def view(self) -> View:
        """The graph as inference runs it: with loops as single nodes, and training's conditions decided."""
        return inference_view(self.graph, self.shapes)

    @cached_property
    def layers(self) -> list[Layer]:
        weights = {n: variable for n, variable in self.all_variables.items() if self.roles.get(n) not in UNTRAINED}
        return fold_layers(self.view, self.shapes, self.paths, weights)

    @cached_property
    def groups(self) -> list[Group]:
        return find_blocks(self.layers)

    @cached_property
    def ops(self) -> dict[str, int]:
        """The number of nodes per op, most frequent first."""
        return dict(Counter(node.op for node in self.graph.nodes.values()).most_common())

    @cached_property
    def path_ops(self) -> dict[str, int]:
        """The number of the inference path's nodes per op, most frequent first."""
        nodes = self.graph.nodes
        return dict(Counter(nodes[name].op for name in nodes if name in self.paths.path).most_common())

    @cached_property
    def aside(self) -> dict[str, int]:
        """The number of nodes outside the inference path per purpose, most frequent first."""
        return dict(Counter(self.paths.aside.values()).most_common())

    @cached_property
    def quantizing(self) -> dict[str, str]:
        """The ops of nodes that quantize values or simulate quantization, by name."""
        return {node.name: node.op for node in self.graph.nodes.values() if node.op.startswith(QUANTIZING)}

    @cached_property
    def batch(self) -> int:
        """The number of images in the graph's fixed batch, 1 where the batch is open."""
        shapes = [self.shapes.of(name) for name in self.paths.inputs]
        sizes = {shape[0] for shape in shapes if shape is not None and len(shape) == 4 and shape[0]}
        return (sizes.pop() or 1) if len(sizes) == 1 else 1

    @cached_property
    def multiply_adds(self) -> int | None:
        """The inference path's multiply-adds for a ``batch``, or None if a shape is unknown."""
        return total(self.layers)[1]

    def dtype(self, name: str) -> str:
        """Return the dtype of a node's first output, or '' if no attribute states it."""
        node = self.graph.nodes[name]
        for key in ("dtype", "output_type", "T", "out_type", "DstT", "SrcT"):
            value = node.attr(key)
            if value is not None and value.type:
                kind = TYPES.get(value.type % 100)
                return kind.name if kind else "string" if value.type % 100 == 7 else f"dtype {value.type}"
        return ""

    def object_name(self, variable: str) -> str:
        """Return a variable's name in the SavedModel's object graph, or ''."""
        return self.source.variable_names.get(self.stored_name(variable), "")

    def stored_name(self, variable: str) -> str:
        """Return a variable's name in the checkpoint: a SavedModel's graph may number it."""
        return self.source.stored_names.get(variable, variable)

    def scopes(self, depth: int) -> dict[str, tuple[int, int, int, int | None]]:
        """Return tensors, parameters, bytes and multiply-adds of each variable scope, cut to ``depth`` names.

        A layer's multiply-adds count for the scope of its first variable, or for the layer's own without variables.
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
    """Return the first ``depth`` scopes of a variable's name, or its name if it has no scope.

    Slashes separate the scopes of a name that has any, and dots those of others, as in PyTorch.
    """
    separator = separator_of(name)
    return separator.join(name.split(separator)[:-1][:depth]) or name


def separator_of(name: str) -> str:
    """Return what separates the scopes of a name: in MobilenetV1_0.25/Conv2d_0/weights, dots are part of a name."""
    return "/" if "/" in name else "."


def producer_text(producer: int) -> str:
    """Return the TensorFlow that wrote graphs of version ``producer``.

    Since 2019 the version increases by one a day; 440 is that of 23 June 2020 (TensorFlow 2.3.0's
    tensorflow/core/public/version.h). Before, it increased with the format, a few times a year.
    """
    if producer > 100:
        day = date(2020, 6, 23) + timedelta(days=producer - 440)
        return f"producer {producer}: a TensorFlow of {day:%B %Y}"
    return f"producer {producer}: a TensorFlow 1" if producer else "unknown: the graph has no producer version"
