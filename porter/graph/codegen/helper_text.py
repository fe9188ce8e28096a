"""helper_text: the text of the definitions in helpers.py that a written network needs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

_TYPES = re.compile(r"  # type: ignore\[.*?\]$", re.MULTILINE)
_FILE = Path(__file__).with_name("helpers.py")


class _Definition(NamedTuple):
    text: str
    needs: frozenset[str]


@cache
def _definitions() -> dict[str, _Definition]:
    """Return the definitions by name, in the file's order; a call of torch.fx.wrap belongs to the one that it names."""
    source = _FILE.read_text(encoding="utf-8")
    found: dict[str, _Definition] = {}
    for node in ast.parse(source).body:
        text = _TYPES.sub("", ast.get_source_segment(source, node) or "")
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            lines = [*(f"@{ast.unparse(line)}" for line in node.decorator_list), text]
            used = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
            found[node.name] = _Definition("\n".join(lines), frozenset(used))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = ast.literal_eval(node.value.args[0])
            found[name] = found[name]._replace(text=f"{found[name].text}\n\n\n{text}")
    return found


def helper_names() -> list[str]:
    """Return the names of all definitions."""
    return list(_definitions())


def helper_text(names: Iterable[str]) -> list[str]:
    """Return the text of the definitions ``names`` and of those that they need, in order. Raises KeyError."""
    known = _definitions()
    waiting, needed = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [other for other in known[name].needs if other in known]
    return [definition.text for name, definition in known.items() if name in needed]
