"""One scope's layers and their wiring as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from porter.errors import plural
from porter.graph.analysis.blocks import within
from porter.graph.analysis.describe import describe
from porter.graph.analysis.layers import Layer, spatial
from porter.graph.analysis.scope import ScopeView
from porter.render.text import amount, print_line, printable, shorten, show_table

_HEADER = ("", "reads", "layer", "output", "parameters", "multiply-adds", "name")
_LONG_NAME = 110


def show_scope(out: Console, view: ScopeView) -> None:
    """Print a row per layer with what it reads: a number is a row of this table, a letter is an input from outside."""
    parameters, work = view.totals
    count = plural(len(view.layers), "layer")
    print_line(out, f"{printable(view.name)}: {count}, {parameters:,} parameters, {amount(work)} multiply-adds")
    if view.group is not None and view.group.times > 1:
        print_line(out, f"  one of {view.group.times} like it: {printable(view.group.name)}")
        print_line(out, f"  each: {printable(view.group.what)}")
        for difference in view.group.differences:
            print_line(out, f"  {printable(difference)}")
    signs = {_key(source): _letter(at) for at, source in enumerate(view.inputs)}
    for source in view.inputs:
        name, shape = (source, None) if isinstance(source, str) else (source.name, source.shape)
        size = f"  {spatial(shape)}" if shape else ""
        print_line(out, f"  {signs[_key(source)]} = {printable(name)}{size}")
    out.print()
    signs |= {id(layer): str(at) for at, layer in enumerate(view.layers, 1)}
    readers = {id(layer): names for layer, names in view.outputs}
    rows = [_row(view, layer, signs, readers.get(id(layer), ())) for layer in view.layers]
    show_table(out, _HEADER, rows, (0, 3, 4, 5))


def _row(view: ScopeView, layer: Layer, signs: Mapping[int | str, str], readers: Sequence[str]) -> list[str]:
    name = within(layer.name, view.name)
    if readers:
        shown = ", ".join(within(reader, view.name) for reader in readers[:2])
        name += f"  -> {shown}" + (f" and {len(readers) - 2} more" if len(readers) > 2 else "")
    return [
        signs[id(layer)],
        " ".join(signs.get(_key(source), "?") for source in layer.inputs),
        describe(layer),
        spatial(layer.shape),
        f"{layer.parameters:,}" if layer.parameters else "",
        amount(layer.multiply_adds) if layer.multiply_adds != 0 else "",
        shorten(name, _LONG_NAME),
    ]


def _key(source: Layer | str) -> int | str:
    return source if isinstance(source, str) else id(source)


def _letter(at: int) -> str:
    """Return a, b, …, z, a1, b1, …."""
    return chr(97 + at % 26) + (str(at // 26) if at >= 26 else "")
