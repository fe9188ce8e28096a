"""Plain pieces of terminal output: numbers, names, lines, tables, JSON and the pager."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from porter.files.json import to_json

if TYPE_CHECKING:  # rich takes 0.02 s, which a port does without
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

MOST = 5
"""How many names a list shows before it only counts the rest."""
LONG_NAME = 72
_STEERING = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters that are legal in JSON but change what a terminal shows."""


def _drop_output() -> None:
    """Let a command finish with its own exit status where the reader of its output has gone away, as ``head`` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """Return standard output. In a pipe, it has no colours and a fixed width, so that tables keep theirs."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            _drop_output()

    out = Output(highlight=False, markup=False)
    return out if out.is_terminal else Output(highlight=False, markup=False, width=200, color_system=None)


def echo(text: str, bold: bool = False) -> None:
    """Print lines to standard output without wrapping them: printable ones, and ``bold`` on a terminal."""
    _print("\n".join(map(printable, text.split("\n"))), bold)


def _print(text: str, bold: bool = False) -> None:
    try:
        click.secho(text, bold=bold)
    except BrokenPipeError:
        _drop_output()


def print_json(value: Any) -> None:
    """Print one object on one line."""
    _print(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", to_json(value)))


def print_line(out: Console, text: str | Text) -> None:
    """Print a line without wrapping it."""
    from rich.text import Text

    out.print(Text(text) if isinstance(text, str) else text, soft_wrap=True)


def new_grid(*columns: str) -> Grid:
    """Return an empty table whose columns do not wrap."""
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        grid.add_column(column, no_wrap=True)
    return grid


def printable(text: str) -> str:
    """Return an untrusted name with control characters escaped, so that it cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def shorten(text: str, width: int = LONG_NAME) -> str:
    """Return a printable name of at most ``width`` characters, cut in the middle."""
    shown = printable(text)
    half = (width - 1) // 2
    return shown if len(shown) <= width else f"{shown[:half]}…{shown[-(width - 1 - half) :]}"


def first_few(names: Iterable[str]) -> str:
    """Return the first names, and how many there are besides."""
    names = list(names)
    shown = ", ".join(shorten(name) for name in names[:MOST])
    return shown + (f", … and {len(names) - MOST} more" if len(names) > MOST else "")


def amount(number: int | None) -> str:
    """Return a count in millions if it is large: 568.74 M, 23,783 M; ? stands for None."""
    if number is None:
        return "?"
    if number < 1_000_000:
        return f"{number:,}"
    return f"{number / 1e6:,.0f} M" if number >= 1e9 else f"{number / 1e6:,.2f} M"


def bar(part: int | None, whole: int | None, width: int = 10) -> str:
    """Return a bar for ``part`` of ``whole``, at most ``width`` characters long, in eighths of a character."""
    if not part or not whole:
        return ""
    eighths = max(1, round(8 * width * part / whole))
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")


def fact(name: str, value: str) -> Text:
    """Return one line of an overview: a label and its value."""
    from rich.text import Text

    return Text(f"  {name:<10} {value}")


def show_table(
    out: Console, header: Sequence[str], rows: Sequence[Sequence[str] | str], right: Sequence[int] = ()
) -> None:
    """Print columns as wide as their cells; the columns ``right`` are aligned to the right.

    A row that is a string is a remark about the row above it. Lines are never cut: a terminal wraps them, and a
    pipe has no width.
    """
    from rich.cells import cell_len
    from rich.text import Text

    cells = [row for row in rows if not isinstance(row, str)]
    widths = [max(cell_len(text) for text in column) for column in zip(header, *cells, strict=True)]

    def joined(row: Sequence[str]) -> str:
        padded = [
            " " * (width - cell_len(text)) + text if at in right else text + " " * (width - cell_len(text))
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    print_line(out, Text(joined(header), style="bold"))
    for row in rows:
        remark = isinstance(row, str)
        print_line(out, Text(f"    {row}" if remark else joined(row), style="dim" if remark else ""))


class Pages:
    """A context that sends output to a pager if it is longer than the terminal."""

    def __init__(self) -> None:
        self.out = console()
        self.paged = self.out.is_terminal and sys.stdin.isatty()

    def __enter__(self) -> Console:
        if self.paged:
            self._capture = self.out.capture()
            self._capture.__enter__()
        return self.out

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if not self.paged:
            return
        self._capture.__exit__(kind, value, trace)
        text = self._capture.get()
        if kind is None and text.count("\n") >= self.out.height:
            click.echo_via_pager(text, color=True)
        else:
            click.echo(text, nl=False, color=True)
