"""Activations."""

from __future__ import annotations

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.tensor import Untranslated
from porter.graph.graph import Node
from porter.graph.rewrite.widen import shortest

LOWERINGS = Lowerings()
_MODULES = {
    "Relu": ("nn.ReLU", "F.relu({0})"),
    "Relu6": ("nn.ReLU6", "F.relu6({0})"),
    "Elu": ("nn.ELU", "F.elu({0})"),
    "Selu": ("nn.SELU", "F.selu({0})"),
    "Sigmoid": ("nn.Sigmoid", "torch.sigmoid({0})"),
    "Tanh": ("nn.Tanh", "torch.tanh({0})"),
    "Softplus": ("nn.Softplus", "F.softplus({0})"),
    "Softsign": ("nn.Softsign", "F.softsign({0})"),
}


@LOWERINGS.of(*_MODULES)
def activation(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    module, expression = _MODULES[node.op]
    c.module(node, tensor, module, {}, first=tensor.first, expression=expression)


@LOWERINGS.of("LeakyRelu")
def leaky_relu(c: Context, node: Node) -> None:
    alpha = node.attr("alpha")
    _leaky(c, node, 0.2 if alpha is None else shortest(alpha.f))


def _leaky(c: Context, node: Node, slope: float) -> None:
    tensor = c.tensor(node.inputs[0])
    arguments = {"negative_slope": slope}
    c.module(node, tensor, "nn.LeakyReLU", arguments, first=tensor.first, what="leaky relu")


@LOWERINGS.of("Softmax LogSoftmax")
def softmax(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    if not tensor.rank:
        raise Untranslated("its input has no axes")
    axis = 1 if tensor.first else -1
    function = "softmax" if node.op == "Softmax" else "log_softmax"
    module = {"softmax": "nn.Softmax", "log_softmax": "nn.LogSoftmax"}[function]
    c.module(
        node, tensor, module, {"dim": axis}, first=tensor.first, what="softmax", expression=f"{{0}}.{function}({axis})"
    )
