"""A graph's overview as text: facts, blocks, variables by scope, and the command that ports it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from porter.files.called import as_called
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.blocks import FEW, Group, cost, widths
from porter.graph.analysis.compare_repeats import list_layers
from porter.graph.analysis.describe import describe
from porter.graph.analysis.joins import JOINS
from porter.graph.analysis.layers import Layer, spatial
from porter.render.graph_facts import graph_facts, training_facts
from porter.render.overview_text import show_command, show_recognised, show_scopes
from porter.render.text import amount, bar, fact, print_line, printable, shorten, show_table
from porter.verbs.inspect import GraphInspection, shell
from porter.verbs.inspection import Recognised

MOST_BLOCKS = 60


def show_graph(out: Console, result: GraphInspection, scopes: bool = False) -> None:
    """Print a graph's overview; ``scopes`` adds its variables by scope."""
    analysis = result.analysis
    frozen = ", frozen" if analysis.frozen else ""
    print_line(out, f"{printable(str(result.path))}: {analysis.source.format}{frozen}")
    for name, value in training_facts(result):
        print_line(out, fact(name, value))
    show_recognised(out, result.recognised)
    _show_analysis(out, analysis, result.recognised)
    if scopes or not analysis.groups:
        out.print()
        show_scopes(out, result.scopes, work=True)
    show_command(out, result.recognised)
    show_scope_command(out, analysis)


def show_network(out: Console, analysis: Analysis) -> None:
    """Print the network that a checkpoint's config describes: its facts, notes and blocks."""
    out.print()
    print_line(out, fact("network", printable(analysis.source.format)))
    _show_analysis(out, analysis)


def _show_analysis(out: Console, analysis: Analysis, known: Recognised | None = None) -> None:
    """Print a graph's facts, notes and blocks."""
    for name, value in graph_facts(analysis, known):
        print_line(out, fact(name, value))
    for note in analysis.source.notes:
        print_line(out, fact("note", printable(note)))
    if analysis.groups:
        out.print()
        _show_blocks(out, analysis)


def show_scope_command(out: Console, analysis: Analysis) -> None:
    """Print the command that shows the layers of the costliest block that repeats."""
    repeated = [group for group in analysis.groups if group.times > 1 and len(group.layers) > 3 * group.times]
    if repeated:
        # The second repeat, because a stage often starts with an unusual one.
        scope = max(repeated, key=lambda group: cost(group)[1] or 0).repeats()[1].name
        out.print()
        chosen = analysis.source.chosen
        option = f" --{chosen[0]} {shell(chosen[1])}" if chosen else ""
        command = f"port inspect {shell(str(analysis.source.path))}{option} --scope {shell(scope)}"
        print_line(out, f"one block, layer by layer:  {as_called(printable(command))}")


def _show_blocks(out: Console, analysis: Analysis) -> None:
    """Print a row per block; a block that repeats has one row, and remarks say how its repeats differ."""
    groups = analysis.groups
    most = max((cost(group)[1] or 0 for group in groups), default=0)
    rows: list[Sequence[str] | str] = []
    for group in groups[:MOST_BLOCKS]:
        parameters, work = cost(group)
        shape = spatial(group.blocks[-1].shape)
        rows.append([shorten(group.name, 60), _what(group), shape, f"{parameters:,}", amount(work), bar(work, most)])
        rows += [printable(f"each: {group.what}")] if group.what else []
        rows += [printable(difference) for difference in group.differences]
    if len(groups) > MOST_BLOCKS:
        rows.append(f"… and {len(groups) - MOST_BLOCKS} more; the JSON output and the HTML page list all")
    show_table(out, ("block", "", "output", "parameters", "multiply-adds", ""), rows, (2, 3, 4))


def _what(group: Group) -> str:
    """Return the layers of a small block, the number of a large block's, or how often a block repeats."""
    if group.times == 1:
        layers = group.blocks[0].layers
        if len(layers) > FEW:
            return f"{len(layers)} layers"
        return printable(_one(layers[0]) if len(layers) == 1 else list_layers(layers))
    channels = ", ".join(str(width) for width in widths(group) if width is not None)
    beside = "" if group.in_series else " side by side"
    return f"the same block {group.times} times{beside}{f' ({channels} channels)' if channels else ''}"


def _one(layer: Layer) -> str:
    """Describe the only layer of a block; of a sum, a product and the like, with what it joins."""
    names = [source if isinstance(source, str) else source.name for source in layer.inputs]
    if layer.kind not in JOINS or len(names) < 2:
        return describe(layer)
    joined = " and ".join(shorten(name, 30) for name in names) if len(names) == 2 else str(len(names))
    words = describe(layer).removeprefix(layer.kind).removeprefix(f" of {len(names)}")
    return f"{layer.kind} of {joined}{words}"
