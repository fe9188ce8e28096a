"""Parts that the overviews of graphs and checkpoints share: the recognised model, its command, the scopes."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from porter.files.called import as_called
from porter.render.text import amount, bar, fact, print_line, printable, shorten, show_table
from porter.verbs.inspect import Recognised, Scope


def show_recognised(out: Console, recognised: Recognised | None) -> None:
    """Print which model a file holds."""
    sentence = recognised.sentence if recognised else "an architecture unknown to porter (`port list` shows the models)"
    print_line(out, fact("what", as_called(printable(sentence))))


def show_command(out: Console, recognised: Recognised | None) -> None:
    """Print the command that ports the file, if there is one."""
    if recognised and recognised.command:
        out.print()
        print_line(out, f"port it with  {as_called(printable(recognised.command))}")


def show_scopes(out: Console, scopes: Iterable[Scope], work: bool = False) -> None:
    """Print a row per scope of variables, with its multiply-adds if ``work`` is set."""
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
