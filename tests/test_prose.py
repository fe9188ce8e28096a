"""All prose of the tree is plain, and only the command line speaks of flags."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import porter
from helpers.places import ROOT
from helpers.sentences import refused_in
from porter.cli.flags import Flags
from porter.cli.main import cli

PACKAGE = ROOT / "porter"
FOLDERS = ("porter", "docs", "benchmarks", "golden", "mappings", "notebooks", "tests")
QUOTING = {ROOT / "tests/helpers/sentences.py"}
"""Files that quote the refused phrases in order to refuse them."""


def texts() -> list[Path]:
    """Return every file that holds prose."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    suffixes = {".py", ".md", ".ipynb", ".toml", ".j2"}
    pages = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    return [path for path in (*found, *pages) if path.suffix in suffixes or path in pages]


def prose(path: Path) -> str:
    """Return a file's text without what breaks its sentences: the marks of comments, a notebook's code and outputs."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    if path.name == "CONTRIBUTING.md":  # its table quotes the phrases in its left column
        text = re.sub(r"^\|[^|]*\|", "|", text, flags=re.MULTILINE)
    return re.sub(r"^\s*#+:? ?", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("path", sorted({*texts()} - QUOTING), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_is_plain(path: Path) -> None:
    assert not refused_in(prose(path))


def strings(path: Path, docstrings: bool = True) -> Iterator[str]:
    """Yield the literal texts of a module, with {} for each value of an f-string."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not docstrings:
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant(None)
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in joined for part in node.values}
    for node in joined:
        yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


LIBRARY = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "cli")
FLAG = re.compile(
    "|".join(
        rf"(?<![\w-]){option}(?![\w:-])"
        for option in sorted({option for command in cli.commands.values() for p in command.params for option in p.opts})
        if option.startswith("--")
    )
)
COMMAND = re.compile(r"\bport [^`]*|^ --[^`]*")
"""A whole command, or what continues one: it has flags, and ends at a backtick or with the text."""
ARGUMENT = re.compile(r"(?<!`)`([a-z_][a-z_0-9]*)(?:=[^`]*)?`(?!`)")


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_the_command_line_speaks_of_flags(path: Path) -> None:
    assert not [text for text in strings(path) if FLAG.search(COMMAND.sub("", text))]


def arguments() -> set[str]:
    """Return the arguments of the public functions. ``load`` passes ``input_size`` on to the networks' builders."""
    functions = [value for name in porter.__all__ if inspect.isfunction(value := getattr(porter, name))]
    return {"input_size"}.union(*(inspect.signature(function).parameters for function in functions))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_argument_in_backticks_has_a_flag(path: Path) -> None:
    """Backticks in messages hold an argument, which the command line replaces, or a whole command."""
    flags = Flags(cli.commands.values())
    named = {name for text in strings(path, docstrings=False) for name in ARGUMENT.findall(text)}
    assert not {name for name in named if name not in flags} - arguments()
