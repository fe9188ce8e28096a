"""A checkpoint's overview as text."""

from __future__ import annotations

from rich.console import Console

from porter.errors import plural
from porter.render.graph_text import show_network, show_scope_command
from porter.render.overview_text import show_command, show_recognised, show_scopes
from porter.render.text import fact, print_line, printable
from porter.verbs.inspect import Inspection


def show_checkpoint(out: Console, result: Inspection, scopes: bool = False) -> None:
    """Print the recognised model, the entries by role, the variables by scope and the command that ports them.

    The blocks of a network that the file describes take the place of the scopes, unless ``scopes`` is set.
    """
    print_line(out, f"{printable(str(result.path))}: {result.format}")
    show_recognised(out, result.recognised)
    print_line(out, fact("holds", ", ".join(plural(count, role) for role, count in result.roles.items())))
    print_line(out, fact("weighs", f"{result.parameters:,} values, {result.bytes:,} bytes in its variables"))
    for note in result.notes:
        print_line(out, fact("note", printable(note)))
    if scopes or result.network is None:
        out.print()
        show_scopes(out, result.scopes)
    if result.network is not None:
        show_network(out, result.network)
    show_command(out, result.recognised)
    if result.network is not None:
        show_scope_command(out, result.network)
