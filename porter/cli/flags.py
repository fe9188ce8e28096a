"""Turns the arguments that library errors name into the flags of the command that ran.

Library errors write an argument in backticks by its Python name: `batch`, `average="auto"`, `no_head=True`. The
command line prints --batch, --average auto, --no-head. Whole commands in backticks, which contain a space, stay.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable

import click

_ARGUMENT = re.compile(r"`([a-z_][a-z_0-9]*)(?:=([^`]*))?`")


class Flags:
    """The flag of each argument: of the command that ran if it has one, otherwise of any command."""

    def __init__(self, commands: Iterable[click.Command], running: click.Command | None = None) -> None:
        self._parameters: dict[str, click.Parameter] = {}
        for command in (*([running] if running else []), *commands):
            for parameter in command.params:
                self._parameters.setdefault(parameter.name or "", parameter)

    def __contains__(self, argument: str) -> bool:
        return argument in self._parameters

    def replace(self, message: str) -> str:
        """Return ``message`` with flags for the arguments in backticks; unknown arguments stay as they are."""
        return _ARGUMENT.sub(self._flag, message)

    def _flag(self, found: re.Match[str]) -> str:
        name, value = found.groups()
        parameter = self._parameters.get(name)
        if parameter is None:
            return found[0]
        if isinstance(parameter, click.Argument):
            shown = parameter.metavar or name.upper()
            return shown if value is None else _plain(value)
        flag = max(parameter.opts, key=len)
        if value is None or (isinstance(parameter, click.Option) and parameter.is_flag):
            return flag
        return f"{flag} {_plain(value)}"


def _plain(value: str) -> str:
    """Return a Python literal as a shell takes it: "head/*" as 'head/*', "auto" as auto; other text stays."""
    try:
        literal = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    return shlex.quote(literal) if isinstance(literal, str) else value
