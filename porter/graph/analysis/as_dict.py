"""An analysis, its layers and its blocks as plain values for JSON."""

from __future__ import annotations

from typing import Any

from porter.graph.analysis.analysis import Analysis, producer_text
from porter.graph.analysis.blocks import Group, cost
from porter.graph.analysis.branches import branches
from porter.graph.analysis.layers import Layer


def overview_dict(analysis: Analysis) -> dict[str, Any]:
    """Return a graph's overview; multiply-adds are for its ``batch``, and None if a shape is unknown."""
    graph, paths, source = analysis.graph, analysis.paths, analysis.source
    origins = branches(analysis)
    return {
        "format": source.format,
        "producer": graph.producer,
        "written": producer_text(graph.producer),
        "tensorflow_version": source.wrote,
        "writer": source.writer,
        "notes": list(source.notes),
        "tags": list(source.tags),
        "other_graphs": list(source.others),
        "nodes": len(graph.nodes),
        "functions_inlined": graph.inlined,
        "functions": len(graph.functions),
        "missing_inputs": list(graph.missing),
        "repeated_names": list(graph.repeated),
        "ops": analysis.ops,
        "inference_nodes": len(paths.path),
        "aside": analysis.aside,
        "inputs": [tensor_dict(analysis, name) for name in paths.inputs],
        "outputs": [tensor_dict(analysis, name) | {"branch": origins.get(name, "")} for name in paths.outputs],
        "outputs_stated": paths.stated,
        "variables": len(analysis.variables),
        "frozen": analysis.frozen,
        "roles": analysis.role_counts,
        "parameters": sum(variable.size for variable in analysis.variables.values()),
        "bytes": sum(variable.bytes for variable in analysis.variables.values()),
        "object_names": {n: analysis.object_name(n) for n in analysis.variables if analysis.object_name(n)},
        "batch": analysis.batch,
        "multiply_adds": analysis.multiply_adds,
        "quantizing": analysis.quantizing,
        "blocks": [group_dict(group) for group in analysis.groups],
    }


def tensor_dict(analysis: Analysis, name: str) -> dict[str, Any]:
    """Return a node's name, op, and its first output's dtype and shape."""
    shape = analysis.shapes.of(name)
    return {
        "name": name,
        "own_name": analysis.own_name(name),
        "op": analysis.graph.nodes[name].op,
        "dtype": analysis.dtype(name),
        "shape": list(shape) if shape is not None else None,
    }


def group_dict(group: Group) -> dict[str, Any]:
    """Return a block, or the repeats of a block as one entry."""
    parameters, multiply_adds = cost(group)
    return {
        "name": group.name,
        "times": group.times,
        "in_series": group.in_series,
        "blocks": [repeat.name for repeat in group.repeats()],
        "widths": [repeat.width for repeat in group.repeats()],
        "layers": len(group.layers),
        "output": list(group.blocks[-1].shape or ()),
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "same_structure": group.same,
        "each": group.what,
        "differences": group.differences,
    }


def layer_dict(layer: Layer) -> dict[str, Any]:
    """Return a layer and the names of the layers and graph inputs that it reads."""
    return {
        "name": layer.name,
        "kind": layer.kind,
        "inputs": [source if isinstance(source, str) else source.name for source in layer.inputs],
        "output": list(layer.shape) if layer.shape is not None else None,
        "kernel": list(layer.kernel),
        "strides": list(layer.strides),
        "dilation": list(layer.dilation),
        "padding": layer.padding,
        "before": layer.before,
        "bias": layer.bias,
        "batch_norm": layer.norm == "batch norm",
        "norm": layer.norm,
        "epsilon": layer.epsilon,
        "activation": layer.activation,
        "in_channels": layer.in_channels,
        "channels": layer.channels,
        "detail": layer.detail,
        "numbers": layer.numbers,
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
        "variables": layer.variables,
        "nodes": layer.nodes,
    }
