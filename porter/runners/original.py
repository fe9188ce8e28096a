"""A graph of the user's as a side: TensorFlow runs it, filled from a checkpoint where it is not frozen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from porter.errors import PorterError
from porter.files.installed import require_package
from porter.formats.checkpoint import Checkpoint
from porter.mapping.stored_names import find_prefix
from porter.mapping.translate import Options, translate

if TYPE_CHECKING:
    from porter.runners.context import Context
    from porter.runners.tensorflow import TFRunner


def live_runner(path: Path, context: Context) -> tuple[TFRunner, str]:
    """Return the runner of the graph in ``path`` and what it is.

    ``path`` is a frozen .pb, or a .pb, .pbtxt, .meta or SavedModel whose variables get the values that a port of the
    checkpoint gets: its averages, where those are taken. A SavedModel brings its own checkpoint.
    Raises PorterError where the graph is not the model's, or its variables have no values.
    """
    require_package("tensorflow", "tf")
    from porter.formats.tensorflow.source import graph_file, read_graph, saved_variables
    from porter.graph.rewrite.freeze import freeze, variables
    from porter.graph.rewrite.prune import prune
    from porter.graph.rewrite.safety import check_ops
    from porter.runners import tensorflow as tf

    if not path.exists():
        raise PorterError(f"{path} does not exist: name a .pb, .pbtxt or .meta file, or a SavedModel's folder")
    context.inputs.add([graph_file(path)])
    source = read_graph(path)
    graph = source.graph
    if source.init_ops and not context.trust_graph:
        # porter does not run them, but what does more than compute is no model to trust.
        needed = f"{source.init_ops[0]} needs, which TensorFlow runs when it loads the model,"
        check_ops(prune(graph, source.init_ops, path), path, needed)
    ops = [endpoint.where["tf"] for endpoint in context.table.endpoints if "tf" in endpoint.where]
    nodes = {node.name for node in graph.node}
    prefix = context.options.prefix
    if prefix is None or not any(prefix + op in nodes for op in ops):
        prefix = find_prefix(nodes, ops)
    title = f"TensorFlow {tf.VERSION} running {path.name}"
    there = [prefix + op for op in ops if prefix + op in nodes]
    pruned = prune(graph, there, path) if there else graph
    names = variables(pruned)
    if not names:
        return tf.TFRunner(pruned, context.table, path, prefix, context.trust_graph), f"{title} itself"
    checkpoint = context.checkpoint
    if checkpoint is None and (beside := saved_variables(path)) is not None:
        checkpoint = context.inputs.open(beside)
    if checkpoint is None:
        raise PorterError(f"{path} is not frozen, and its {len(names)} variables need values: give --checkpoint")
    values = _values(path, names, prefix, checkpoint, context)
    reader = "its own" if checkpoint.opens_as else "porter's"
    title += f", filled by {reader} reader of {checkpoint.path.name}"
    return tf.TFRunner(freeze(pruned, values), context.table, path, prefix, context.trust_graph), title


def _values(
    path: Path, names: list[str], prefix: str, checkpoint: Checkpoint, context: Context
) -> dict[str, np.ndarray]:
    """Return the graph's variables: the entries that a port takes for them, as TensorFlow reads them where it can."""
    from porter.runners import tensorflow as tf

    options = Options(context.options.average, context.options.ignore)
    taken = translate(checkpoint, context.arch, "tf", "tf", options).taken
    missing = [name for name in names if name.removeprefix(prefix) not in taken]
    if missing:
        raise PorterError(
            f"{path}: its variable {missing[0]} is none of {context.arch.name}'s: name the model's own inference graph"
        )
    wanted = {name: taken[name.removeprefix(prefix)] for name in names}
    if checkpoint.opens_as is None:
        return {name: checkpoint[entry] for name, entry in wanted.items()}
    keys = {name: checkpoint.stored_as.get(entry, entry) for name, entry in wanted.items()}
    read = tf.read_variables(checkpoint.opens_as, set(keys.values()))
    return {name: read[key] for name, key in keys.items()}
