"""Writes the pages and tables that follow from the code.

    python docs/write_reference.py

writes docs/cli.md, the module table of docs/architecture.md and the model table of README.md. A test fails where a
page differs from what this writes.
"""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

import click

from porter.catalog.models import ARCHS, Arch
from porter.cli.list import facts
from porter.cli.main import cli
from porter.mapping.grid import grid

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PACKAGE = ROOT / "porter"
WIDTH = 100
LEGEND = """\
porter reads and writes each marked dialect. `same`: the library's network computes what the original does, at the
released sizes, or with settings that porter writes. A number is the largest difference of its logits, in their standard
deviation. `names`: tests compare names and shapes, but not the function. `port list --grid` says more."""


def cli_reference() -> str:
    """Return every command's help, as a terminal of WIDTH columns shows it."""
    commands = {"port": cli} | {f"port {name}": command for name, command in sorted(cli.commands.items())}
    parts = ["# The command line\n\nWritten by `docs/write_reference.py` from `--help`.\n"]
    root = click.Context(cli, info_name="port", max_content_width=WIDTH, terminal_width=WIDTH, **cli.context_settings)
    for name, command in commands.items():
        context = root if command is cli else click.Context(command, root, command.name)
        parts.append(f"## {name}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def module_table() -> str:
    """Return a table of every module and its docstring's first line, in the order of the tree."""
    rows = ["| file | what it does |", "| --- | --- |"]
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: (len(path.parts) > len(PACKAGE.parts) + 1, path)):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, f"{path} has no docstring"
        rows.append(f"| `{path.relative_to(ROOT)}` | {' '.join(docstring.split(chr(10) * 2)[0].split())} |")
    return "\n".join(rows) + "\n"


def model_table() -> str:
    """Return a table of the models, one row for each mapping table: accuracy, size, work and the grid of dialects.

    A row of several models has the numbers of the first and of the last.
    """
    tables = {name: list(models) for name, models in groupby(ARCHS.values(), key=lambda arch: arch.table)}
    cells = {(cell.table, cell.dialect.name): cell for cell in grid()}
    dialects = {cell.dialect.name: cell.dialect.title for cell in cells.values()}
    heads = [f"`{dialect}` ({title})" for dialect, title in dialects.items()]
    rows = [f"| model | top-1 | parameters | multiply-adds | {' | '.join(heads)} |"]
    rows += [f"| --- | ---: | ---: | ---: |{' :-: |' * len(heads)}"]
    for name, models in tables.items():
        shown = f"`{models[0].name}`"
        if len(models) > 1:
            shown += f" … `{models[-1].name}` ({len(models)} models)"
        ends = map(model_numbers, models[:: len(models) - 1 or 1])
        numbers = [" … ".join(dict.fromkeys(row)) for row in zip(*ends, strict=True)]
        marks = [cells[name, dialect].mark if (name, dialect) in cells else "" for dialect in dialects]
        rows.append(f"| {shown} | {' | '.join(numbers + marks)} |")
    return "\n".join([*rows, "", LEGEND]) + "\n"


def model_numbers(arch: Arch) -> list[str]:
    """Return a model's published top-1 in per cent, and the millions of its parameters and multiply-adds."""
    found = facts(arch)
    millions = [found["parameters"], found["multiply_adds"]]
    top1 = "" if found["top1"] is None else f"{found['top1']}"
    return [top1, *("" if count is None else f"{count / 1e6:,.2f} M" for count in millions)]


def renewed(path: Path, name: str, table: str) -> str:
    """Return the page at ``path`` with ``table`` between its marks."""
    begin, end = f"<!-- {name}: written by write_reference.py -->\n", f"<!-- end of {name} -->\n"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    return before + begin + table + end + rest.split(end)[1]


def pages() -> dict[Path, str]:
    """Return the text of every page that follows from the code."""
    return {
        DOCS / "cli.md": cli_reference(),
        DOCS / "architecture.md": renewed(DOCS / "architecture.md", "modules", module_table()),
        ROOT / "README.md": renewed(ROOT / "README.md", "models", model_table()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
