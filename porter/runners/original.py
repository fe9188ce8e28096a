"""original_side: TensorFlow runs the original, from the user's graph, a frozen checkpoint or the recorded graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from porter.catalog.goldens import Recorded, recorded
from porter.errors import PorterError
from porter.files.installed import require_package
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.roles import base_name
from porter.formats.tensorflow import bundle
from porter.formats.tensorflow.frozen import FORMAT
from porter.mapping.dialects import ORIGINAL
from porter.mapping.original_graph import original_graph, set_classes
from porter.mapping.shapes import classes_of
from porter.mapping.stored_names import find_prefix
from porter.mapping.table import Table
from porter.mapping.translate import Translation, translate
from porter.runners.context import Context
from porter.runners.reference_weights import (
    Reader,
    constants_reader,
    porters_reader,
    reference_weights,
    tensorflows_reader,
)
from porter.runners.side import ReadWeights, Side, original_weights


@dataclass(frozen=True)
class _Graph:
    """A graph in floats without calls, and how many FakeQuant nodes it lost.

    ``golden`` is set for the recorded graph, which a checkpoint with another head may fill.
    """

    path: Path
    definition: Any
    fake_quants: int = 0
    golden: Recorded | None = None

    @property
    def title(self) -> str:
        name = "the original graph" if self.golden else self.path.name
        return f"{name} without its {self.fake_quants} FakeQuant nodes" if self.fake_quants else name


def original_side(context: Context, path: Path | None = None, translation: Translation | None = None) -> Side:
    """Return TensorFlow running the original.

    ``path`` is the user's graph: a frozen .pb, or a .pb, .pbtxt, .meta or SavedModel whose variables get the values
    that a port of the checkpoint gets. A SavedModel may bring its own checkpoint. Without ``path`` the context's
    checkpoint runs itself where it is a frozen inference graph; otherwise it fills the model's recorded graph.
    ``translation`` says which entries of the checkpoint a port takes, by default those of the context's options.

    Images enter at the network, whatever the graph does to images before; see porter.runners.entered. FakeQuant nodes
    pass their input through. Raises PorterError where the graph is not the model's, its variables have no values, or
    the graph's dtype cannot hold them.
    """
    require_package("tensorflow", "tf")
    from porter.graph.rewrite.freeze import variables
    from porter.graph.rewrite.prune import prune
    from porter.runners.entered import Entered, enter, find_endpoints
    from porter.runners.own_preprocessing import GraphPreprocessing
    from porter.runners.tensorflow import VERSION, TFRunner

    if path is None or (context.checkpoint is not None and path == context.checkpoint.path):
        assert context.checkpoint is not None
        if translation is None or translation.source != ORIGINAL:
            translation = translate(context.checkpoint, context.arch, context.source, ORIGINAL, context.options)
    graph = _open_graph(path, context)
    prefix = _prefix({node.name for node in graph.definition.node}, context, translation)
    if graph.golden is None:
        network = enter(graph.definition, context, prefix, translation, graph.path)
    else:
        network = Entered(graph.definition, find_endpoints(graph.definition, context, prefix))
    definition, where = network.graph, network.where
    pruned = prune(definition, where.values(), graph.path) if where else definition
    weights: ReadWeights | None = partial(_constants, graph.path, context)
    title, judged = f"{graph.title}{'' if graph.fake_quants else ' itself'}", None
    if graph.golden is None and where:
        _refuse_training(graph, where.values(), context)
    if count := len(variables(pruned)):
        checkpoint = _checkpoint_for(graph, count, context)
        translation = translation or _translation(checkpoint, context)
        read = partial(reference_weights, translation, context.arch, _reader(graph, checkpoint))
        values, weights = read(), None if translation.made else read
        asked = context.table.parts_in("tf", values)
        where = {name: op for name, op in where.items() if context.table.optional.get(name) in (None, *asked)}
        if graph.golden:
            where = _with_this_head(where, values, context.table)
            set_classes(
                definition, context.table, graph.golden.num_classes, _classes(values, context.table, graph.golden)
            )
            judged = list(where)[-1]
        # The graph's variables have the checkpoint's names, or the table's behind the prefix.
        names = {base_name(entry): name for name, entry in translation.taken.items() if translation.source == "tf"}
        names |= {prefix + name: name for name in values}
        pruned = _filled(prune(definition, where.values(), graph.path), graph.path, names, values, checkpoint, context)
        whose = "its own" if checkpoint.opens_as or (graph.golden and checkpoint.format == FORMAT) else "porter's"
        title = f"{graph.title}, filled by {whose} reader of {checkpoint.path.name}"
    runner = TFRunner(pruned, context.table, graph.path, where, context.trust_graph, judged)
    runner.lacking, runner.whole = network.lacking, network.whole
    runner.preprocessing = None if network.own is None else GraphPreprocessing(network.own, graph.path)
    return Side("tf", f"TensorFlow {VERSION} running {title}", runner, weights)


def _constants(path: Path, context: Context) -> Mapping[str, np.ndarray] | None:
    """Return the weights that the frozen graph ``path`` holds."""
    return original_weights(open_checkpoint(path), context.arch, ORIGINAL, context.options)


def _open_graph(path: Path | None, context: Context) -> _Graph:
    """Read the graph that runs, without its FakeQuant nodes. Raises PorterError where loading it runs impure ops."""
    from porter.formats.tensorflow import frozen
    from porter.formats.tensorflow.source import graph_file, read_graph
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.analysis.training import training_of
    from porter.graph.rewrite.inline import inlined
    from porter.graph.rewrite.prune import prune
    from porter.graph.rewrite.quantized import without_fake_quant
    from porter.graph.rewrite.safety import check_ops

    golden = None
    if path is None:
        assert context.checkpoint is not None
        if context.checkpoint.format == frozen.FORMAT and not training_of(context.checkpoint.path):
            path = context.checkpoint.place
        else:
            golden = recorded(context.arch.golden)
            path = golden.graph
    elif not path.exists():
        raise PorterError(f"{path} does not exist: name a .pb, .pbtxt or .meta file, or a SavedModel's folder")
    else:
        context.inputs.add([graph_file(path)])
    source = read_graph(path, tag=context.tag)
    if source.init_ops and not context.trust_graph:
        # porter does not run these ops, but a model with impure ones deserves no trust.
        needed = f"{source.init_ops[0]} needs, which TensorFlow runs when it loads the model,"
        check_ops(prune(source.graph, source.init_ops, path), path, needed)
    definition, fake_quants = without_fake_quant(
        original_graph(context.arch, context.size, context.channels)
        if golden
        else inlined(source.graph, Analysis(source).first)
    )
    return _Graph(path, definition, fake_quants, golden)


def _refuse_training(graph: _Graph, outputs: Iterable[str], context: Context) -> None:
    """Raise PorterError if the graph computes ``outputs`` as in training, which no port does."""
    from porter.formats.tensorflow.graph_source import graph_source
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.analysis.training import find_training

    training = find_training(Analysis(graph_source(graph.path, graph.definition)), outputs)
    if training:
        given = context.checkpoint
        weights = graph.path if given is None or graph.path in given.path.parents else given.path
        command = f"port verify {context.arch.name} --checkpoint {quote(str(weights))}"
        raise PorterError(
            f"{graph.path} is {training.sentence}, and no port computes that: {training.remedy}, or verify the weights "
            f"in the model's own inference graph with `{command}`"
        )


def _prefix(nodes: Collection[str], context: Context, translation: Translation | None) -> str:
    """Return the prefix of the table's ops: the user's or the variables' where it fits, else the one found."""
    ops = [endpoint.where["tf"] for endpoint in context.table.endpoints if "tf" in endpoint.where]
    for prefix in (context.options.prefix, translation.prefix if translation else None):
        if prefix is not None and any(prefix + op in nodes for op in ops):
            return prefix
    return find_prefix(nodes, ops)


def _checkpoint_for(graph: _Graph, count: int, context: Context) -> Checkpoint:
    """Return the checkpoint that fills the graph's variables: the user's, or the one beside a SavedModel."""
    from porter.formats.tensorflow.source import saved_variables

    if context.checkpoint is not None:
        return context.checkpoint
    beside = saved_variables(graph.path)
    if beside is None:
        raise PorterError(f"{graph.path} is not frozen, and its {count} variables need values: give `checkpoint`")
    return context.inputs.open(beside)


def _translation(checkpoint: Checkpoint, context: Context) -> Translation:
    """Return the entries that a port takes. A prefix that only the user's graph has does not apply to them."""
    options = context.options
    if options.prefix and not any(name.startswith(options.prefix) for name in checkpoint.entries):
        options = replace(options, prefix=None)
    source = context.source if checkpoint is context.checkpoint else ORIGINAL
    return translate(checkpoint, context.arch, source, ORIGINAL, options)


def _reader(graph: _Graph, checkpoint: Checkpoint) -> Reader:
    """Return TensorFlow's reader where it reads the checkpoint; the recorded graph takes no other for such a file."""
    if checkpoint.opens_as is not None:
        return tensorflows_reader(checkpoint)
    if graph.golden and checkpoint.format == FORMAT:
        return constants_reader(checkpoint.path)
    if graph.golden is None or checkpoint.format not in (bundle.FORMAT, bundle.OBJECT_BASED):
        return porters_reader(checkpoint)
    raise PorterError(
        f"{checkpoint.path} ({checkpoint.format}) is not a file that TensorFlow opens, so it cannot run the original: "
        "verify against the checkpoint or frozen graph that it was ported from, under its own name"
    )


def _with_this_head(where: Mapping[str, str], values: Mapping[str, np.ndarray], table: Table) -> dict[str, str]:
    """Return the endpoints that the recorded graph computes with the checkpoint's head: without one, not its logits."""
    if all(pair.target in values for pair in table.pairs("tf", "tf") if pair.head):
        return dict(where)
    left_out = {e.name for e in table.endpoints if e.of_head or e.softmax}
    return {endpoint: op for endpoint, op in where.items() if endpoint not in left_out}


def _classes(values: Mapping[str, np.ndarray], table: Table, golden: Recorded) -> int:
    """Return the number of classes of the head in ``values``, which a port may drop one of; 0 without a head."""
    head = next((pair for pair in table.pairs("tf", "tf") if pair.head and pair.source in values), None)
    if head is None:
        return 0
    return classes_of(head, values[head.source].shape, golden.variables[head.source], golden.num_classes) or 0


def _filled(
    graph: Any,
    path: Path,
    names: Mapping[str, str],
    values: Mapping[str, np.ndarray],
    checkpoint: Checkpoint,
    context: Context,
) -> Any:
    """Return ``graph``, which ``path`` has, frozen with ``values`` in each variable's dtype.

    ``names`` maps its variables to the table's names.
    """
    from porter.formats.tensorflow.dtypes import TYPES
    from porter.graph.rewrite.freeze import freeze, variables

    own = set(variables(graph))
    found = {}
    for node in graph.node:
        if node.name not in own:
            continue
        name = names.get(node.name, node.name)
        if name not in values:
            raise PorterError(
                f"{path}: its variable {node.name} does not belong to {context.arch.name}: name the model's own "
                "inference graph"
            )
        kind = TYPES.get(node.attr["dtype"].type)
        dtype = kind.loaded if kind else values[name].dtype
        found[node.name] = _in_dtype(values[name], dtype, checkpoint.path, name)
    return freeze(graph, found)


def _in_dtype(values: np.ndarray, dtype: np.dtype, path: Path, name: str) -> np.ndarray:
    """Return ``values`` in the dtype of the graph's variable. Raises PorterError where that would round them."""
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    if not np.array_equal(narrow.astype(values.dtype), values, equal_nan=True):
        raise PorterError(
            f"{path}: {name} holds {values.dtype} values that do not fit the {dtype} of the original graph: port it "
            "without `verify`, or verify a frozen graph of it"
        )
    return narrow
