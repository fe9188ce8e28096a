"""Lines of source as ruff format writes them, at 120 columns."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence

from porter.graph.codegen.step import Literal

WIDTH = 120
INDENT = "    "
_OPENING = {")": "(", "]": "["}


def literal(value: Literal) -> str:
    """Return a literal as source, with strings in double quotes."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        parts = ", ".join(map(literal, value))
        return f"({parts},)" if len(value) == 1 else f"({parts})"
    return repr(value) if not isinstance(value, float) or math.isfinite(value) else f'float("{value}")'


def call(depth: int, head: str, parts: Sequence[str], tail: str = ")") -> list[str]:
    """Return ``head(parts)tail`` in one line, else with the parts in a line of their own, else one in each line."""
    indent = INDENT * depth
    whole = f"{indent}{head}{', '.join(parts)}{tail}"
    if len(whole) <= WIDTH or not parts:
        return [whole]
    inner = f"{indent}{INDENT}{', '.join(parts)}"
    if len(inner) <= WIDTH:
        return [f"{indent}{head}", inner, f"{indent}{tail}"]
    return [f"{indent}{head}", *(f"{indent}{INDENT}{part}," for part in parts), f"{indent}{tail}"]


def assigned(depth: int, target: str, text: str, otherwise: tuple[str, str] | None = None) -> list[str]:
    """Return ``target = text``, with ``text if condition else other`` where ``otherwise`` is (condition, other)."""
    indent = INDENT * depth
    begin = f"{target} " if target == "return" else f"{target} = "
    whole = f"{text} if {otherwise[0]} else {otherwise[1]}" if otherwise else text
    if len(indent + begin + whole) <= WIDTH:
        return [indent + begin + whole]
    if otherwise is None and whole[-1] in _OPENING:
        head, bracket, rest = whole.partition(_OPENING[whole[-1]])
        return call(depth, f"{begin}{head}{bracket}", _parts(rest[:-1]), whole[-1])
    inner = f"{indent}{INDENT}{whole}"
    if len(inner) <= WIDTH:
        return [f"{indent}{begin}(", inner, f"{indent})"]
    if otherwise is None:
        return [indent + begin + whole]
    condition, other = otherwise
    lines = [f"{indent}{INDENT}{part}" for part in (text, f"if {condition}", f"else {other}")]
    return [f"{indent}{begin}(", *lines, f"{indent})"]


def _parts(text: str) -> list[str]:
    """Split the arguments of a call at its own commas."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def docstring(depth: int, text: str, more: str = "") -> list[str]:
    """Return a docstring: one line, and a paragraph of ``more``."""
    indent = INDENT * depth
    if not more and len(indent) + len(text) + 6 <= WIDTH:
        return [f'{indent}"""{text}"""']
    first, *rest = textwrap.wrap(text, WIDTH - len(indent) - 6, break_long_words=True)  # one line has both quotes
    paragraph = textwrap.wrap(more, WIDTH - len(indent), break_long_words=True)
    lines = [f'"""{first}', *rest, *(["", *paragraph] if paragraph else []), '"""']
    return [f"{indent}{line}" if line else "" for line in lines]
