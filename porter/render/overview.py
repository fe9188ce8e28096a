"""The overviews of a graph, a checkpoint and a log folder, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from porter.errors import plural
from porter.graph.analysis.analysis import Analysis, producer_text
from porter.graph.analysis.blocks import Group, cost, widths
from porter.graph.analysis.costs import CONTROL_FLOW
from porter.graph.analysis.layers import spatial
from porter.render.text import amount, bar, fact, printable, shorten, show_table
from porter.verbs.inspect import GraphInspection, Inspection, LogsInspection, Recognised, Scope, shell

MOST = 5
"""How many inputs, outputs or names are listed before the rest is only counted."""
MOST_BLOCKS = 60
LISTED = 4
"""A block of so few layers is shown as these."""


def show_inspection(out: Console, result: Inspection | GraphInspection | LogsInspection, scopes: bool = False) -> None:
    """Print whatever ``inspect`` returned; ``scopes`` shows a graph's variables by scope as well."""
    if isinstance(result, LogsInspection):
        show_logs(out, result, scopes)
    elif isinstance(result, GraphInspection):
        show_graph(out, result, scopes)
    else:
        show_checkpoint(out, result)


def line(out: Console, text: str | Text) -> None:
    out.print(Text(text) if isinstance(text, str) else text, soft_wrap=True)


def show_checkpoint(out: Console, result: Inspection) -> None:
    """Print roles, scopes and the models that it could be."""
    line(out, f"{printable(str(result.path))}: {result.format}")
    show_recognised(out, result.recognised)
    line(out, fact("holds", ", ".join(plural(count, role) for role, count in result.roles.items())))
    line(out, fact("weighs", f"{result.parameters:,} values, {result.bytes:,} bytes in its variables"))
    out.print()
    show_scopes(out, result.scopes)
    show_command(out, result.recognised)


def show_recognised(out: Console, recognised: Recognised | None) -> None:
    sentence = recognised.sentence if recognised else "no architecture that porter knows (`port list` shows them)"
    line(out, fact("what", printable(sentence)))


def show_command(out: Console, recognised: Recognised | None) -> None:
    if recognised and recognised.command:
        out.print()
        line(out, f"port it with  {printable(recognised.command)}")


def show_scopes(out: Console, scopes: Iterable[Scope], work: bool = False) -> None:
    """Print a row for each scope, with its multiply-adds if ``work``."""
    rows = list(scopes)
    most = max((scope.parameters for scope in rows), default=0)
    cells = [
        [
            shorten(scope.name),
            f"{scope.tensors:,}",
            f"{scope.parameters:,}",
            f"{scope.bytes:,}",
            *([amount(scope.multiply_adds)] if work else []),
            bar(scope.parameters, most),
        ]
        for scope in rows
    ]
    header = ["scope", "tensors", "values", "bytes", *(["multiply-adds"] if work else []), ""]
    show_table(out, header, cells, range(1, len(header) - 1))


# ---- graphs
def show_graph(out: Console, result: GraphInspection, scopes: bool = False) -> None:
    """Print what a graph is: its facts, its blocks, and the command that ports it."""
    analysis = result.analysis
    line(out, f"{printable(str(result.path))}: {analysis.source.format}{', frozen' if analysis.frozen else ''}")
    show_recognised(out, result.recognised)
    for name, value in facts(analysis):
        line(out, fact(name, value))
    for note in analysis.source.notes:
        line(out, fact("note", printable(note)))
    if analysis.groups:
        out.print()
        show_blocks(out, analysis)
    if scopes or not analysis.groups:
        out.print()
        show_scopes(out, result.scopes, work=True)
    show_command(out, result.recognised)
    repeated = [group for group in analysis.groups if group.times > 1 and len(group.layers) > 3 * group.times]
    if repeated:
        scope = max(repeated, key=lambda group: cost(group)[1] or 0).repeats()[1].name
        out.print()
        path = printable(shell(str(result.path)))
        line(out, f"one block, layer by layer:  port inspect {path} --scope {printable(shell(scope))}")


def facts(analysis: Analysis) -> list[tuple[str, str]]:
    """Return the overview's lines: a word, and what there is to say about it."""
    graph, paths, source = analysis.graph, analysis.paths, analysis.source
    written = producer_text(graph.producer)
    if source.wrote:
        written = f"TensorFlow {source.wrote} ({written.split(':')[0]})"
    found = [("written by", written)]
    if len(paths.path) == len(graph.nodes):
        found.append(("nodes", f"{len(graph.nodes):,}, all on the way to the outputs"))
    else:
        found.append(("nodes", f"{len(graph.nodes):,}, of which {len(paths.path):,} are on the way to the outputs"))
        found.append(("aside", "; ".join(f"{count:,} {purpose}" for purpose, count in analysis.aside.items())))
    if graph.inlined:
        found.append(
            ("functions", f"{plural(graph.inlined, 'call')} inlined, {plural(len(graph.functions), 'function')}")
        )
    if graph.missing:
        found.append(
            ("missing", f"{plural(len(graph.missing), 'input')} that no node computes: {_some(graph.missing)}")
        )
    if graph.twice:
        found.append(
            ("twice", f"{plural(len(graph.twice), 'name')} more than once, the first taken: {_some(graph.twice)}")
        )
    found.append(("ops", _ops(analysis)))
    for name in paths.inputs[:MOST]:
        found.append(("input", _tensor(analysis, name)))
    if not paths.inputs:
        found.append(("input", "none is fed"))
    elif len(paths.inputs) > MOST:
        found.append(("input", f"… and {len(paths.inputs) - MOST} more"))
    for name in paths.outputs[:MOST]:
        unread = "" if paths.stated else ", which nothing reads"
        found.append(("output", _tensor(analysis, name, unread)))
    if len(paths.outputs) > MOST:
        found.append(("output", f"… and {len(paths.outputs) - MOST} more"))
    variables = analysis.variables.values()
    weight = sum(variable.size for variable in variables)
    if variables:
        count = plural(len(variables), "variable")
        if analysis.frozen:
            were = "that was a variable" if len(variables) == 1 else "that were variables"
            count = f"{plural(len(variables), 'constant')} {were}"
        total = sum(variable.bytes for variable in variables)
        unsaid = sum(variable.shape is None or None in variable.shape for variable in variables)
        silent = f"; the graph does not say the shape of {unsaid:,}" if unsaid else ""
        found.append(("parameters", f"{weight:,} in {count}, {total:,} bytes{silent}"))
    others = {role: count for role, count in _roles(analysis).items() if role != "variable"}
    if others:
        found.append(("besides", ", ".join(plural(count, role) for role, count in others.items())))
    found.append(("work", _work(analysis)))
    if analysis.quantizing:
        names = [f"{name} ({op})" for name, op in analysis.quantizing.items()]
        found.append(("quantized", f"{plural(len(names), 'node')}: {_some(names)}"))
    objects = [f"{name} = {analysis.object_name(name)}" for name in analysis.variables if analysis.object_name(name)]
    if objects:
        found.append(("objects", _some(objects)))
    if len(source.signatures) > 1:
        assert analysis.signature is not None
        names = [f"{signature.name}" for signature in source.signatures if signature is not analysis.signature]
        found.append(("signature", f"{analysis.signature.name}; there are also {_some(names)}"))
    return [(name, printable(value)) for name, value in found]


def _roles(analysis: Analysis) -> dict[str, int]:
    found: dict[str, int] = {}
    for role in analysis.roles.values():
        found[role] = found.get(role, 0) + 1
    return found


def _some(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(shorten(name) for name in names[:MOST])
    return shown + (f", … and {len(names) - MOST} more" if len(names) > MOST else "")


def _ops(analysis: Analysis) -> str:
    """Return the ops on the inference path by count, those that do no work at the end."""
    dull = ("Const", "Identity", "ReadVariableOp", "VarHandleOp", "VariableV2", "NoOp", "Placeholder")
    counts = sorted(analysis.path_ops.items(), key=lambda item: (item[0] in dull, -item[1]))
    shown = ", ".join(f"{count:,} {op}" for op, count in counts[:9])
    return shown + (f", … and {len(counts) - 9} more" if len(counts) > 9 else "")


def _tensor(analysis: Analysis, name: str, remark: str = "") -> str:
    shape = analysis.shapes.of(name)
    size = (
        "of unknown shape"
        if shape is None
        else "x".join("?" if side is None else str(side) for side in shape) or "scalar"
    )
    return f"{shorten(name)}  {analysis.dtype(name)} {size}  ({analysis.graph.nodes[name].op}{remark})".replace(
        "   ", "  "
    )


def _work(analysis: Analysis) -> str:
    known = sum(layer.multiply_adds or 0 for layer in analysis.layers)
    unknown = [layer for layer in analysis.layers if layer.multiply_adds is None]
    if unknown:
        some = f"{amount(known)} multiply-adds at least" if known else "multiply-adds unknown"
        shapes = [analysis.shapes.of(name) for name in analysis.paths.inputs]
        open_ = any(shape is None or None in shape for shape in shapes) and analysis.size is None
        advice = ": give --size, the side of the pictures" if open_ else ""
        looping = [layer for layer in unknown if layer.kind in CONTROL_FLOW]
        if looping:
            return f"{some}, as the data says how often the functions of {shorten(looping[0].name)} run"
        return (
            f"{some}, as {plural(len(unknown), 'layer')} such as {shorten(unknown[0].name)} have no known shape{advice}"
        )
    sized = f" and pictures of {analysis.size}x{analysis.size}" if analysis.shapes.assumed else ""
    return f"{amount(known)} multiply-adds, for a batch of one{sized}"


def show_blocks(out: Console, analysis: Analysis) -> None:
    """Print a row for each block, and one for all repeats of a block, with what differs between these."""
    groups = analysis.groups
    most = max((cost(group)[1] or 0 for group in groups), default=0)
    rows: list[Sequence[str] | str] = []
    for group in groups[:MOST_BLOCKS]:
        parameters, work = cost(group)
        shape = spatial(group.blocks[-1].shape)
        cells = [shorten(group.name, 60), _repeated(group), shape, f"{parameters:,}", amount(work), bar(work, most)]
        rows += [cells, *(printable(difference) for difference in group.differences)]
    if len(groups) > MOST_BLOCKS:
        rows.append(f"… and {len(groups) - MOST_BLOCKS} more: --json and --html have them all")
    show_table(out, ("block", "", "output", "parameters", "multiply-adds", ""), rows, (2, 3, 4))


def _repeated(group: Group) -> str:
    """Say how often a block is there, and how wide its convolutions are; or what a single layer is."""
    if group.times == 1:
        from porter.graph.analysis.describe import describe

        block = group.blocks[0]
        if len(block.layers) > LISTED:
            return f"{len(block.layers)} layers"
        one = len(block.layers) == 1
        return printable(describe(block.layers[0]) if one else ", ".join(layer.label for layer in block.layers))
    sizes = ", ".join(str(width) for width in widths(group) if width is not None)
    sizes = f" ({sizes} channels)" if sizes else ""
    return f"the same block {group.times} times{sizes}"


# ---- logs
def show_logs(out: Console, result: LogsInspection, scopes: bool = False) -> None:
    """Print every event file, newest first, then the newest graph."""
    line(out, f"{printable(str(result.path))}: {plural(len(result.files), 'TensorBoard event file')}, newest first")
    beside = sorted(path.stem for path in result.path.glob("*.index")) if result.path.is_dir() else []
    if beside:
        line(
            out, fact("besides", printable(f"{plural(len(beside), 'checkpoint')}, to inspect by name: {_some(beside)}"))
        )
    for file in result.files:
        out.print()
        name = (
            file.path.relative_to(result.path) if result.path != file.path and result.path.is_dir() else file.path.name
        )
        line(out, printable(str(name)))
        when = f"{_time(file.first_time)} to {_time(file.last_time)}" if file.records else "no event"
        line(out, fact("events", f"{file.records:,}, {when}, last step {file.last_step:,}"))
        for step, kind, source in file.graphs:
            line(out, fact("graph", f"{kind} of step {step:,}: {plural(len(source.graph.node), 'node')}"))
        for damage in file.damage[:MOST]:
            line(out, fact("damaged", printable(damage)))
        if len(file.damage) > MOST:
            line(out, fact("damaged", f"… and {len(file.damage) - MOST} more"))
        if file.tags:
            show_tags(out, file.tags.values())
    if result.graph is not None:
        out.print()
        show_graph(out, result.graph, scopes)


def show_tags(out: Console, tags: Iterable[Any]) -> None:
    rows = [
        (
            f"  {shorten(tag.name)}",
            tag.kind,
            f"{tag.points:,}",
            f"{tag.first_step:,} to {tag.last_step:,}",
            "" if tag.last_value is None else f"{tag.last_value:.6g}",
        )
        for tag in tags
    ]
    show_table(out, ("  tag", "kind", "points", "steps", "last value"), rows, (2, 4))


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "an impossible time"
