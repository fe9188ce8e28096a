"""graph_values: the values of a graph's variables and constants, and the graph frozen with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from porter.errors import PorterError, listing, plural
from porter.formats.checkpoint import Checkpoint
from porter.formats.input_digests import Inputs
from porter.formats.roles import SHADOW_SUFFIX, VARIABLE, base_name
from porter.formats.tensorflow.source import graph_file, saved_variables
from porter.graph.foreign.open import is_foreign
from porter.graph.graph import VARIABLE_OPS

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.codegen.network import Network


@dataclass(frozen=True)
class GraphValues:
    """The values of a graph's tensors by name.

    ``variables`` are those that a checkpoint has, of a frozen graph its weights, with their names there. ``pruned`` is
    the graph that computes the outputs, without values of variables. ``frozen`` returns what inference runs of it, with
    the values, and without the dropout that its argument lists as `inference_graph` does. ``average`` is ema or raw.
    """

    load: Callable[[str], np.ndarray]
    variables: Mapping[str, str]
    pruned: Any
    frozen: Callable[[Mapping[str, str]], Any]
    average: str


def graph_values(
    analysis: Analysis, network: Network, checkpoint: str | Path | Checkpoint | None, average: str, read: Inputs
) -> GraphValues:
    """Return the values that ``network`` needs: those of ``checkpoint``, a file or an open one, or the graph's own.

    ``read`` records which files were read. Raises PorterError where a variable has no value.
    """
    from porter.formats.tensorflow.tensorproto import tensor_values
    from porter.graph.rewrite.freeze import freeze, variables
    from porter.graph.rewrite.inference import inference_graph
    from porter.graph.rewrite.inline import flat
    from porter.graph.rewrite.prune import prune

    path = analysis.source.path
    graph, nodes = analysis.source.graph, analysis.graph.nodes  # those in functions too
    pruned = prune(flat(analysis.graph, graph) if analysis.graph.inlined else graph, analysis.paths.outputs, path)
    needed = _variables(analysis)
    weights = {placed.weight.name for placed in network.weights}
    own = weights & set(analysis.all_variables)
    entries: dict[str, str] = {}
    opened: Checkpoint | None = None
    if checkpoint is not None or needed:
        opened = checkpoint if isinstance(checkpoint, Checkpoint) else _opened(analysis, checkpoint, len(needed), read)
        entries, average = _taken(opened, needed or sorted(own), analysis, average)
    else:
        average = "raw"
    read.add([graph_file(path)])
    read.close()

    def load(name: str) -> np.ndarray:
        if opened is not None and name in entries:
            return opened[entries[name]]
        if name not in nodes or nodes[name].op != "Const":
            raise PorterError(f"{path}: {name} has no value: name the graph's checkpoint by `checkpoint`")
        return tensor_values(path, name, nodes[name].proto.attr["value"].tensor)

    def frozen(masked: Mapping[str, str]) -> Any:
        graph = inference_graph(analysis.source.graph, analysis.view, masked, analysis.first)
        graph = prune(graph, analysis.paths.outputs, path)
        if entries and not needed:  # a frozen graph with the values of another checkpoint
            graph = _with_variables(graph, entries)
        return freeze(graph, {name: load(name) for name in variables(graph)})

    named = {name: base_name(entries.get(name, name)) for name in own}
    return GraphValues(load, named, pruned, frozen, average)


def _variables(analysis: Analysis) -> list[str]:
    """Return the variables that inference reads, those in the branches of its conditions too."""
    graph = analysis.view.graph
    needed = graph.needed(analysis.paths.outputs)
    return [name for name, node in graph.nodes.items() if name in needed and node.op in VARIABLE_OPS]


def _with_variables(graph: Any, names: dict[str, str]) -> Any:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    from porter.export.written_network import variable_of

    kept = GraphDef(versions=graph.versions, library=graph.library)
    kept.node.extend(variable_of(node) if node.op == "Const" and node.name in names else node for node in graph.node)
    return kept


def _opened(analysis: Analysis, checkpoint: str | Path | None, count: int, read: Inputs) -> Checkpoint:
    """Return the checkpoint with the variables' values: the user's, that beside a SavedModel, or the graph's file."""
    path = analysis.source.path
    own = path if is_foreign(path) else saved_variables(path)
    place = own if checkpoint is None else Path(checkpoint)
    if place is None:
        raise PorterError(f"{path} is not frozen, and its {plural(count, 'variable')} need values: give `checkpoint`")
    return read.open(place)


def _taken(checkpoint: Checkpoint, names: list[str], analysis: Analysis, average: str) -> tuple[dict[str, str], str]:
    """Return the entry of each variable, and whether averages are taken."""
    found: dict[str, str] = {}
    entry_of = checkpoint.entry_of()
    for name in names:
        key = base_name(analysis.source.keys.get(name, ""))  # a saver of averages restores each under its raw name
        wanted = (entry_of.get(key, ""), analysis.stored_name(name), analysis.object_name(name))
        entry = next((each for each in wanted if each and _has(checkpoint, each)), None)
        if entry is not None:
            found[name] = entry
    missing = [name for name in names if name not in found]
    if missing:
        raise PorterError(
            f"{checkpoint.path} has no value for {plural(len(missing), 'variable')} of {analysis.source.path}: name "
            f"the graph's own checkpoint{listing(missing)}"
        )
    trained = [entry for name, entry in found.items() if analysis.roles.get(name, VARIABLE) == VARIABLE]
    averaged = [entry for entry in trained if entry + SHADOW_SUFFIX in checkpoint.entries]
    if average == "auto":
        moving = ("moving_mean", "moving_variance")
        average = "ema" if all(e in averaged or e.endswith(moving) for e in trained) and averaged else "raw"
    elif average == "ema" and not averaged:
        raise PorterError(f'{checkpoint.path} holds no moving average: take `average="auto"`')
    if average == "ema":
        found = {name: e + SHADOW_SUFFIX if e + SHADOW_SUFFIX in checkpoint.entries else e for name, e in found.items()}
    return found, average


def _has(checkpoint: Checkpoint, name: str) -> bool:
    return name in checkpoint.entries or name + SHADOW_SUFFIX in checkpoint.entries
