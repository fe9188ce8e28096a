"""graph_facts: what a graph's overview says in single lines, as text and in the page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial

from porter.errors import plural
from porter.files.called import as_called
from porter.graph.analysis.analysis import Analysis, producer_text
from porter.graph.analysis.branches import branches
from porter.graph.analysis.costs import CONTROL_FLOW, is_known
from porter.graph.analysis.first_steps import first_steps
from porter.graph.analysis.fitting import size_tells
from porter.graph.analysis.found import counted_by_data, what_it_finds
from porter.graph.analysis.layers import LOOPS, Layer
from porter.graph.analysis.output_facts import output_facts
from porter.graph.shapes import shape_text
from porter.render.text import MOST, amount, first_few, printable, shorten
from porter.verbs.inspect import GraphInspection
from porter.verbs.inspection import Recognised

Fact = tuple[str, str]
_MOST_OPS = 9
_TRIAL = 1024
"""A height and width that most networks take, in pixels: whole after ten halvings, and larger than any pool."""
_NO_WORK = ("Const", "Identity", "ReadVariableOp", "VarHandleOp", "VariableV2", "NoOp", "Placeholder")


def graph_facts(analysis: Analysis, known: Recognised | None = None) -> list[Fact]:
    """Return a graph's facts: a label and printable text for each. ``known`` is the network that it is."""
    work = partial(_work, size=known.size if known else None)
    parts = (_origin, _nodes, _structure, _tensors, _parameters, work, _extras)
    return [(name, printable(value)) for part in parts for name, value in part(analysis)]


def training_facts(result: GraphInspection) -> list[Fact]:
    """Return what is said first of a graph that computes as in training, and what to do about it."""
    training = result.training
    return [("training", printable(training.sentence)), ("remedy", printable(result.remedy))] if training else []


def _origin(analysis: Analysis) -> Iterator[Fact]:
    written = producer_text(analysis.graph.producer)
    if analysis.source.wrote:
        written = f"TensorFlow {analysis.source.wrote} ({written.split(':')[0]})"
    yield "written by", analysis.source.writer or written


def _nodes(analysis: Analysis) -> Iterator[Fact]:
    count, path = len(analysis.graph.nodes), len(analysis.paths.path)
    if path == count:
        yield "nodes", f"{count:,}, all on the way to the outputs"
    else:
        yield "nodes", f"{count:,}; {path:,} of them are on the way to the outputs"
        yield "aside", "; ".join(f"{number:,} {purpose}" for purpose, number in analysis.aside.items())


def _structure(analysis: Analysis) -> Iterator[Fact]:
    graph = analysis.graph
    if graph.inlined:
        calls = plural(graph.inlined, "call")
        yield "functions", f"{calls} inlined, {plural(len(graph.functions), 'function')}"
    if graph.missing:
        yield "missing", f"{plural(len(graph.missing), 'input')} that no node computes: {first_few(graph.missing)}"
    if graph.repeated:
        names = plural(len(graph.repeated), "name")
        yield "repeated", f"{names} on several nodes, the first node counts: {first_few(graph.repeated)}"


def _tensors(analysis: Analysis) -> Iterator[Fact]:
    yield "ops", _ops(analysis)
    paths = analysis.paths
    unread = "" if paths.stated else ", which nothing reads"
    origins = branches(analysis)
    for label, names, remark in (("input", paths.inputs, ""), ("output", paths.outputs, unread)):
        for name in names[:MOST]:
            facts = [*(output_facts(analysis, name) if label == "output" else ())]
            facts += [origins[name]] if name in origins else []
            yield label, _tensor(analysis, name, remark + "".join(f"; {fact}" for fact in facts))
        if len(names) > MOST:
            yield label, f"… and {len(names) - MOST} more"
        if label == "input" and not names:
            yield label, "none"
        if label == "input" and (said := _images(analysis)):
            yield "images", said


def _images(analysis: Analysis) -> str:
    """Say what the graph does to images before its first weight, and which range it expects, as far as it tells."""
    steps = first_steps(analysis)
    return steps.sentence if steps is not None else ""


def _ops(analysis: Analysis) -> str:
    """Return the inference path's ops by count; ops that compute nothing come last."""
    counts = sorted(analysis.path_ops.items(), key=lambda item: (item[0] in _NO_WORK, -item[1]))
    shown = ", ".join(f"{count:,} {op}" for op, count in counts[:_MOST_OPS])
    return shown + (f", … and {len(counts) - _MOST_OPS} more" if len(counts) > _MOST_OPS else "")


def _tensor(analysis: Analysis, name: str, remark: str) -> str:
    own = analysis.own_name(name)
    remark = f" {shorten(own)}{remark}" if own and own != name else remark
    kind = f"{analysis.dtype(name)} {shape_text(analysis.shapes.of(name), 'of unknown shape')}".strip()
    return f"{shorten(name)}  {kind}  ({analysis.graph.nodes[name].op}{remark})"


def _parameters(analysis: Analysis) -> Iterator[Fact]:
    variables = analysis.variables.values()
    if variables:
        count = plural(len(variables), "variable")
        if analysis.frozen:
            were = "that was a variable" if len(variables) == 1 else "that were variables"
            count = f"{plural(len(variables), 'constant')} {were}"
        unknown = sum(variable.shape is None or None in variable.shape for variable in variables)
        silent = f"; the graph does not say the shape of {unknown:,}" if unknown else ""
        values, size = sum(variable.size for variable in variables), sum(variable.bytes for variable in variables)
        yield "parameters", f"{values:,} in {count}, {size:,} bytes{silent}"
    others = {role: number for role, number in analysis.role_counts.items() if role != "variable"}
    if others:
        yield "besides", ", ".join(plural(number, role) for role, number in others.items())


def _work(analysis: Analysis, size: int | None) -> Iterator[Fact]:
    known = sum(layer.multiply_adds or 0 for layer in analysis.layers)
    unknown = [layer for layer in analysis.layers if layer.multiply_adds is None]
    loops = [layer for layer in unknown if layer.kind in CONTROL_FLOW]
    turns = [layer for layer in unknown if layer.kind in LOOPS and "steps" not in layer.numbers]
    strange = [layer for layer in unknown if not is_known(layer.kind) and layer.kind[:1].isupper()]
    some = f"{amount(known)} multiply-adds at least" if known else "multiply-adds unknown"
    if loops:
        yield "work", f"{some}: the data decides how often {shorten(loops[0].name)} calls its functions"
    elif turns:
        yield "work", f"{some}: the data decides how many steps {shorten(turns[0].name)} takes"
    elif strange:
        ops = f"{plural(len(strange), 'op')} such as {shorten(strange[0].name)} ({strange[0].kind})"
        yield "work", f"{some}: porter does not know what {ops} computes from its weights"
    elif unknown:
        yield "work", f"{some}: {_unknown_shapes(analysis, unknown, size)}"
    else:
        sized = f" and images of {analysis.size}x{analysis.size}" if analysis.shapes.assumed else ""
        batch = "a batch of one" if analysis.batch == 1 else f"the graph's fixed batch of {analysis.batch}"
        yield "work", f"{amount(known)} multiply-adds, for {batch}{sized}"


def _unknown_shapes(analysis: Analysis, layers: list[Layer], size: int | None) -> str:
    """Say which shapes are unknown, and why: the images' size is open, or the data decides how much an op finds."""
    counted, finder = counted_by_data(analysis, layers)
    others = [layer for layer in layers if layer not in counted]
    parts = []
    if others:
        parts.append(f"{_shapes(others)} unknown{_size_advice(analysis, others, size)}")
    if finder is not None:
        found = f"{what_it_finds(finder)} {shorten(finder.name)} ({finder.op}) finds"
        parts.append(f"the data decides how many {found}, which are the batch of {_layers(counted)}")
    return "; ".join(parts)


def _shapes(layers: list[Layer]) -> str:
    return f"the shape{'' if len(layers) == 1 else 's'} of {_layers(layers)} {'is' if len(layers) == 1 else 'are'}"


def _layers(layers: list[Layer]) -> str:
    first = shorten(layers[0].name)
    return first if len(layers) == 1 else f"{plural(len(layers), 'layer')} such as {first}"


def _size_advice(analysis: Analysis, layers: list[Layer], size: int | None) -> str:
    """Return the command that gives open images the ``size`` of the network that porter knows, or any other.

    It is '' where a size would not make the work of ``layers`` known.
    """
    if analysis.size is None and analysis.takes_size and size_tells(analysis, layers, size or _TRIAL):
        command = f"port inspect {shlex.quote(str(analysis.source.path))} --size {size or 'N'}"
        return as_called(f"; `{command}` sets the images' height and width{'' if size else ' to N pixels'}")
    return ""


def _extras(analysis: Analysis) -> Iterator[Fact]:
    if analysis.quantizing:
        names = [f"{name} ({op})" for name, op in analysis.quantizing.items()]
        yield "quantized", f"{plural(len(names), 'node')}: {first_few(names)}"
    objects = [f"{name} = {analysis.object_name(name)}" for name in analysis.variables if analysis.object_name(name)]
    if objects:
        yield "objects", first_few(objects)
    used = analysis.signature
    others = [signature.name for signature in analysis.source.signatures if signature is not used]
    if used is not None and others:
        yield "signature", f"{used.name}; there are also {first_few(others)}"
