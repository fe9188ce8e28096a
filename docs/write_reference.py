"""Writes what the documentation says of the code: docs/cli.md, and the module table of docs/architecture.md.

    python docs/write_reference.py

A test runs it and fails where the files change.
"""

from __future__ import annotations

import ast
from pathlib import Path

import click

from porter.cli.main import cli, port_model

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "porter"
BEGIN, END = "<!-- modules: written by write_reference.py -->\n", "<!-- end of modules -->\n"


def cli_reference() -> str:
    """Return every command's help, as a terminal of 100 columns shows it."""
    commands = {"port": cli, "port MODEL": port_model} | {f"port {name}": c for name, c in sorted(cli.commands.items())}
    parts = ["# The command line\n\nWritten by `docs/write_reference.py` from `--help`.\n"]
    root = click.Context(cli, info_name="port", max_content_width=100, terminal_width=100, **cli.context_settings)
    for name, command in commands.items():
        context = click.Context(command, root if name != "port" else None, name.removeprefix("port "))
        usage = command.get_help(root if name == "port" else context)
        parts.append(f"## {name}\n\n```\n{usage}\n```\n")
    return "\n".join(parts)


def module_table() -> str:
    """Return a table of every module and its docstring's first line, in the order of the tree."""
    rows = ["| file | what it does |", "| --- | --- |"]
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: (len(path.parts) > len(PACKAGE.parts) + 1, path)):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, f"{path} has no docstring"
        rows.append(f"| `{path.relative_to(PACKAGE.parent)}` | {' '.join(docstring.split(chr(10) * 2)[0].split())} |")
    return "\n".join(rows) + "\n"


def architecture(text: str) -> str:
    """Return docs/architecture.md with its module table renewed."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + module_table() + END + rest.split(END)[1]


def main() -> None:
    (DOCS / "cli.md").write_text(cli_reference(), encoding="utf-8")
    path = DOCS / "architecture.md"
    path.write_text(architecture(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
