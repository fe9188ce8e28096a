"""Cuts a PyTorch network to its feature maps with torch.fx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import fx, nn

from porter.mapping.shapes import image_channels


class FeatureNetwork(fx.GraphModule):
    """(N, in_channels, H, W) in, a list of (N, C, h, w) maps out. ``feature_info`` describes the maps."""

    feature_info: Any

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureNetwork:
        copied = cast(FeatureNetwork, super().__deepcopy__(memo))  # only with the attributes that torch.fx knows
        copied.feature_info = self.feature_info
        return copied

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _unpickled, super().__reduce__()[:2]


def _unpickled(build: Callable[..., fx.GraphModule], arguments: tuple[Any, ...]) -> FeatureNetwork:
    """Return the pickled network: torch.fx alone would build a plain GraphModule."""
    module: Any = build(*arguments)
    features = FeatureNetwork(module, module.graph, "FeatureNetwork")
    features.feature_info = module.feature_info
    return features


class Tracer(fx.Tracer):
    """Keeps modules without children whole, so that training mode stays as it is, and every module's output."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Proxy] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return next(m.children(), None) is None

    def call_module(self, m: nn.Module, *call: Any) -> Any:
        output = super().call_module(m, *call)
        self.outputs[self.path_of_module(m)] = output
        return output


class Passed(nn.Module):
    """Has the layers of a module that torch.fx took apart, under their names, and passes on what that computed.

    So a hook on a block of the network sees the block's output here too.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for name, child in module.named_children():
            self.add_module(name, child)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def pass_blocks(network: nn.Module, graph: fx.Graph, outputs: Mapping[str, Any]) -> dict[str, fx.Node]:
    """Put a Passed in place of each module of ``network`` that was taken apart, and return each module's output.

    ``graph`` is that of ``network``, and ``outputs`` are its tracer's.
    """
    for node in graph.nodes:
        node.type = None  # torch.fx does not pickle types that are text, as `from __future__ import annotations` makes
    nodes = {path: output.node for path, output in outputs.items() if isinstance(output, fx.Proxy) and path}
    now: dict[fx.Node, fx.Node] = {}
    for path in sorted(nodes, key=lambda path: path.count("."), reverse=True):  # a block's own blocks come first
        module, node = network.get_submodule(path), now.get(nodes[path], nodes[path])
        if next(module.children(), None) is not None:
            parent, _, name = path.rpartition(".")
            setattr(network.get_submodule(parent), name, Passed(module))
            with graph.inserting_after(node):
                passed = graph.call_module(path, (node,))
            for user in [user for user in node.users if user is not passed]:
                user.replace_input_with(node, passed)
            now[nodes[path]] = node = passed
        nodes[path] = node
    return nodes


def cut(
    network: nn.Module, places: Sequence[str], chosen: Sequence[int], size: int, stem: Mapping[str, str]
) -> tuple[FeatureNetwork, list[int]]:
    """Return ``network`` with the outputs of the modules ``places`` that are ``chosen``, and the channels of all.

    ``size`` is a side of images that the network takes, in pixels, and ``stem`` maps the names of the tensors that read
    them to their axes: a run without values shows each map's channels.
    """
    tracer = Tracer()
    graph = tracer.trace(network)
    outputs = pass_blocks(network, graph, tracer.outputs)
    features = FeatureNetwork(network, graph, "FeatureNetwork")
    nodes = [outputs[place] for place in places]
    _return(features, nodes)
    depth = image_channels((axes, tuple(network.get_parameter(name).shape)) for name, axes in stem.items())
    channels = [each.shape[1] for each in _run_without_values(features, (1, depth, size, size))]
    _return(features, [nodes[at] for at in chosen])
    return features, channels


def _return(module: fx.GraphModule, nodes: list[fx.Node]) -> None:
    """Make ``module`` return ``nodes``, and remove what they do not need."""
    graph = module.graph
    graph.erase_node(next(node for node in reversed(graph.nodes) if node.op == "output"))
    graph.output(nodes)
    graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()


def _run_without_values(module: nn.Module, shape: tuple[int, ...]) -> list[torch.Tensor]:
    """Return the outputs of ``module`` on the meta device, for images of ``shape``."""
    state = {name: value.to("meta") for name, value in module.state_dict().items()}
    images = torch.empty(shape, dtype=next(module.parameters()).dtype, device="meta")
    with torch.no_grad():
        maps: list[torch.Tensor] = torch.func.functional_call(module, state, (images,))
    return maps
