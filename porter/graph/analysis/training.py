"""find_training: whether a graph computes as in training, with the batch's statistics and with dropout.

Such a graph computes something else than the network that its weights belong to: it depends on the other images of a
batch, or on chance. is_training may be an attribute of each batch norm, a constant, or a placeholder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.errors import plural
from porter.formats.identify import identify
from porter.formats.tensorflow.source import refuse_tag
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.conditions import Conditions, Need
from porter.graph.analysis.folding.new_layer import CONVOLUTION_OPS
from porter.graph.foreign.open import read_source
from porter.graph.functions import build_graph
from porter.graph.graph import VARIABLE_OPS, Graph, Node
from porter.graph.lowering import IFS
from porter.graph.shape_inference import infer_shapes
from porter.graph.shapes import Shapes

_FUSED = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
_ADDS = frozenset({"Add", "AddV2"})
_ROOTS = frozenset({"Rsqrt", "Sqrt", "Pow"})
_STATISTIC = frozenset(
    "Identity Squeeze Reshape ExpandDims Merge Switch Select SelectV2 Mul Maximum Cast StopGradient Sub Relu".split()
)
"""What stands between a batch's variance and the square root that divides by it."""
_UNIFORM = frozenset({"RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2"})
_ABOVE, _BELOW = frozenset({"Greater", "GreaterEqual"}), frozenset({"Less", "LessEqual"})
_SCALING = frozenset({"Mul", "Sub", "RealDiv", "Identity", "Cast", "Reshape", "ExpandDims", "Floor", *_ADDS})
"""What stands between a random number and its comparison with the rate, and between that and the masked tensor."""
_MASKING = frozenset({"Mul", "MulNoNan", "RealDiv", "Select", "SelectV2"})


@dataclass(frozen=True)
class Training:
    """How a graph computes as in training; false if it does not.

    ``norms`` names the batch norms that use the batch's statistics, of ``batch_norms`` in all; ``dropout`` names the
    random ops of dropout. ``switches`` names the placeholders that decide over the others: ``switched_norms`` and
    ``switched_dropout``.
    """

    norms: tuple[str, ...]
    dropout: tuple[str, ...]
    switched_norms: tuple[str, ...]
    switched_dropout: tuple[str, ...]
    switches: tuple[str, ...]
    batch_norms: int

    def __bool__(self) -> bool:
        return self.active or bool(self.switches)

    @property
    def active(self) -> bool:
        """Whether the graph trains, whatever is fed to it."""
        return bool(self.norms or self.dropout)

    @property
    def sentence(self) -> str:
        """What the graph is, without a full stop."""
        parts = []
        if self.norms:
            some = len(self.norms) < self.batch_norms
            count = f"{len(self.norms):,} of {self.batch_norms:,} batch norms" if some else _norms(self.norms)
            parts.append(f"{count} {'uses' if len(self.norms) == 1 else 'use'} the batch's statistics")
        if self.dropout:
            parts.append(_dropout(self.dropout))
        if self.switches:
            decided = [_norms(self.switched_norms)] if self.switched_norms else []
            decided += [_dropout(self.switched_dropout)] if self.switched_dropout else []
            verb = "switches" if len(self.switches) == 1 else "switch"
            parts.append(f"{_listed(self.switches)} {verb} {_listed(decided)}")
        return f"a training graph{'' if self.active else ' and an inference graph in one'}: {'; '.join(parts)}"

    @property
    def remedy(self) -> str:
        """How to get a graph for inference."""
        if self.active:
            return "freeze the inference graph"
        return f"freeze the graph with {_listed(self.switches)} set for inference"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "sentence": self.sentence,
            "remedy": self.remedy,
            "batch_norms": self.batch_norms,
            "batch_norms_with_batch_statistics": list(self.norms),
            "dropout": list(self.dropout),
            "switches": list(self.switches),
            "switched_batch_norms": list(self.switched_norms),
            "switched_dropout": list(self.switched_dropout),
        }


def find_training(analysis: Analysis, outputs: Iterable[str] = ()) -> Training:
    """Return how the graph computes ``outputs`` as in training, by default those of its inference path."""
    return _Finder(analysis, outputs).found()


def training_of(path: Path, tag: str | None = None) -> Training | None:
    """Return how the graph at ``path`` computes as in training, None if ``path`` is no graph; see read_graph.

    Raises FormatError, PorterError.
    """
    kind = identify(path).kind
    if kind.holds != "graph":
        refuse_tag(path, tag, kind.name)
        return None
    return find_training(Analysis(read_source(path, tag=tag)))


def _norms(names: Collection[str]) -> str:
    return plural(len(names), "batch norm")


def _dropout(names: Collection[str]) -> str:
    return "dropout" if len(names) == 1 else f"dropout at {len(names):,} places"


def _listed(parts: Collection[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


class _Finder:
    """Finds the nodes that compute as in training, and what decides whether each of them runs."""

    def __init__(self, analysis: Analysis, outputs: Iterable[str]) -> None:
        self.graph, self.shapes = _with_branches(analysis)
        self.conditions = Conditions(self.graph)
        ends = list(outputs) or analysis.paths.outputs
        self.needs = self.conditions.needs(self.graph.resolve(name).node for name in ends)
        self.data = self.graph.reached(analysis.paths.inputs)
        if not self.data:  # a graph without inputs: all but constants and variables counts as data
            named = self.graph.nodes.items()
            self.data = {name for name, node in named if node.op not in {"Const", *VARIABLE_OPS}}
        # An input may be augmented at random too; all that a convolution feeds is the network's.
        nodes = self.graph.nodes
        self.network = self.graph.reached(name for name in self.data if nodes[name].op in CONVOLUTION_OPS)

    def found(self) -> Training:
        norms = {name: need for name in self._nodes(_FUSED | _ROOTS) if (need := self._norm(name)) is not None}
        dropout = {name: need for name in self._nodes(_UNIFORM) if (need := self._dropout(name)) is not None}
        others = sum(name not in norms and not self.needs[name] for name in self._nodes(_FUSED))
        switches = {name for need in (*norms.values(), *dropout.values()) for name in need}
        return Training(
            tuple(name for name, need in norms.items() if not need),
            tuple(name for name, need in dropout.items() if not need),
            tuple(name for name, need in norms.items() if need),
            tuple(name for name, need in dropout.items() if need),
            tuple(sorted(switches)),
            sum(not need for need in norms.values()) + others,
        )

    def _nodes(self, ops: Collection[str]) -> Iterator[str]:
        """Return the nodes of ``ops`` that the outputs may need, in the graph's order."""
        nodes = self.graph.nodes
        return (name for name in nodes if nodes[name].op in ops and self.needs.get(name) is not None)

    def _node(self, name: str) -> Node | None:
        return self.graph.nodes.get(name)

    def _norm(self, name: str) -> Need:
        """Return what decides whether ``name`` uses the batch's statistics; None if it never does."""
        node = self.graph.nodes[name]
        if node.op not in _FUSED:
            return self._variance(node)
        stated = node.attr("is_training")  # the op's default is true (tensorflow/core/ops/nn_ops.cc)
        trains = (stated is None or stated.b) and not self._one_by_one(node)
        return self.needs[name] if trains else None

    def _one_by_one(self, node: Node) -> bool:
        """Tell whether a Reshape makes a batch of one of a norm's input, as Keras' layer normalization does."""
        source = self._node(node.inputs[0].node) if node.inputs else None
        if source is None or source.op != "Reshape" or len(source.inputs) < 2:
            return False
        shape = self._node(source.inputs[1].node)
        if shape is not None and shape.op == "Pack" and shape.inputs:
            return self.conditions.scalar(shape.inputs[0]) == 1
        value = self.shapes.values.get(source.inputs[1])
        return value is not None and value.size > 0 and int(value.reshape(-1)[0]) == 1

    def _variance(self, root: Node) -> Need:
        """Return what decides whether a root's operand is a batch's variance and an epsilon; None if it is not."""
        sums = [self._node(ref.node) for ref in root.inputs[:1]]
        waiting = [ref.node for node in sums if node is not None and node.op in _ADDS for ref in node.inputs]
        seen = set(waiting)
        for name in waiting:  # the list grows in the loop
            node = self._node(name)
            if node is None or name not in self.data:
                continue
            if node.op == "Mean" and self._over_batch(node):
                return self.needs.get(name)
            if node.op in _STATISTIC:
                new = [ref.node for ref in node.inputs if ref.node not in seen]
                seen.update(new)
                waiting += new
        return None

    def _over_batch(self, node: Node) -> bool:
        """Tell whether a mean keeps the channels alone, the last axis or the one behind the batch."""
        axes = self.shapes.values.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if axes is None:
            return False
        shape = self.shapes[node.inputs[0]]
        given = [int(axis) for axis in axes.reshape(-1)]
        rank = len(shape) if shape is not None else len(given) + 1
        over = {axis % rank for axis in given} if rank else set()
        return 0 in over and len(over) == rank - 1

    def _dropout(self, name: str) -> Need:
        """Return what decides whether a random op masks a tensor of the network; None if it never does."""
        waiting: list[tuple[str, float, frozenset[str]]] = [(name, 0.0, frozenset())]
        seen = {name}
        for at, shift, switches in waiting:  # the list grows in the loop
            for other in self.graph.consumers[at]:
                node = self.graph.nodes[other]
                if other in seen or self.needs.get(other) is None:
                    continue
                seen.add(other)
                decided = switches
                if node.op in _ABOVE | _BELOW:
                    keeps, decided = self._rate(node, at)
                elif node.op == "Floor":
                    keeps = shift >= 1 and not switches
                else:
                    if node.op in _SCALING:
                        waiting.append((other, *self._shifted(node, at, shift, switches)))
                    continue
                if not keeps and self._masks(other):
                    need = self.needs[name]
                    return None if need is None else need | decided
        return None

    def _rate(self, node: Node, random: str) -> tuple[bool, frozenset[str]]:
        """Return whether a comparison of ``random`` with the rate keeps every value, and what decides the rate."""
        if len(node.inputs) < 2:
            return True, frozenset()
        first = node.inputs[0].node == random
        rate = self.conditions.scalar(node.inputs[1 if first else 0])
        if isinstance(rate, float):
            return (rate <= 0 if first is (node.op in _ABOVE) else rate >= 1), frozenset()
        return False, rate or frozenset()

    def _shifted(self, node: Node, random: str, shift: float, switches: frozenset[str]) -> tuple[float, frozenset[str]]:
        """Return what was added to a random number behind ``node``: a value, or the placeholders that decide it."""
        if node.op in _ADDS:
            for ref in node.inputs:
                value = self.conditions.scalar(ref) if ref.node != random else None
                if isinstance(value, float):
                    shift += value
                elif value is not None:
                    switches |= value
        return shift, switches

    def _masks(self, mask: str) -> bool:
        """Tell whether a mask is multiplied with a tensor that the network computes."""
        waiting = [mask]
        seen = set(waiting)
        for at in waiting:  # the list grows in the loop
            for other in self.graph.consumers[at]:
                node = self.graph.nodes[other]
                if node.op in _MASKING and any(ref.node != at and ref.node in self.network for ref in node.inputs):
                    return True
                if node.op in _SCALING and other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return False


def _with_branches(analysis: Analysis) -> tuple[Graph, Shapes]:
    """Return the graph with both branches of its conditions inlined, and its shapes."""
    if not any(node.op in IFS for node in analysis.graph.nodes.values()):
        return analysis.graph, analysis.shapes
    outputs = analysis.signature.outputs.values() if analysis.signature else ()
    graph = build_graph(analysis.source.graph, outputs, lowers=lambda _: True)
    return graph, infer_shapes(graph, analysis.size)
