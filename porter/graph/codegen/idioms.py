"""Idioms of a graph that become one step: batch norms of plain ops, and dropout."""

from __future__ import annotations

from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.idioms.find import DROPOUT, Found, find_idioms
from porter.graph.codegen.context import Context
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.tensor import Tensor
from porter.graph.graph import Node, Ref


class Idioms:
    """The idioms of the data path by their last node."""

    def __init__(self, data: DataPath, context: Context) -> None:
        self.context = context
        self.found = {name: idiom for name, idiom in find_idioms(data).items() if idiom.kind == DROPOUT}
        self.inner = {node for name, idiom in self.found.items() for node in idiom.nodes if node != name}

    def skips(self, name: str) -> bool:
        """Tell whether a node is inside an idiom."""
        return name in self.inner

    def lower(self, node: Node) -> bool:
        """Add the step of the idiom that ends with ``node``; tell whether one does."""
        idiom = self.found.get(node.name)
        if idiom is None:
            return False
        _dropout(self.context, node, idiom, len(idiom.nodes) > 1)
        return True


def _dropout(c: Context, node: Node, idiom: Found, runs: bool) -> None:
    """Dropout: nn.Dropout, which rests in inference; ``runs`` says that the graph keeps it running."""
    rate = idiom.numbers.get("rate", 0.5)
    tensor = c.tensor(Ref(idiom.x))
    c.module(node, tensor, "nn.Dropout", {"p": rate}, first=tensor.first, what="dropout", nodes=idiom.nodes)
    c.steps[-1].random = runs
