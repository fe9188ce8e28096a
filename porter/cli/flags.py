"""Turns the arguments that library errors name into the flags of the command that ran.

Library errors write an argument in backticks by its Python name: `batch`, `average="auto"`, `no_head=True`. The
command line prints --batch, --average auto, --no-head. An argument that only another command has is named with that
command: --checkpoint of `port convert`. Whole commands in backticks, which contain a space, stay.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable

import click

from porter.cli.command import Command

_ARGUMENT = re.compile(r"`([a-z_][a-z_0-9]*)(?:=([^`]*))?`( of\b)?")


class Flags:
    """The flag of each argument: of the command that ran if it has one, otherwise of another command that has it."""

    def __init__(self, commands: Iterable[click.Command], running: click.Command | None = None) -> None:
        self._parameters: dict[str, click.Parameter] = {}
        self._elsewhere: dict[str, str | None] = {}
        # Errors that speak of another command's argument mostly speak of a port, or of its verification.
        others = sorted(commands, key=lambda command: (command.name != "convert", command.name != "verify"))
        for command in (*([running] if running else []), *others):
            for parameter in (*command.params, *(command.numbers() if isinstance(command, Command) else ())):
                if parameter.name not in self._parameters:
                    self._parameters[parameter.name or ""] = parameter
                    if running is not None and command is not running:
                        self._elsewhere[parameter.name or ""] = command.name

    def __contains__(self, argument: str) -> bool:
        return argument in self._parameters

    def replace(self, message: str) -> str:
        """Return ``message`` with flags for the arguments in backticks; unknown arguments stay as they are."""
        return _ARGUMENT.sub(self._flag, message)

    def _flag(self, found: re.Match[str]) -> str:
        name, value, of = found.groups()
        parameter = self._parameters.get(name)
        if parameter is None:
            return found[0]
        shown = _shown(parameter, name, value)
        if of or name not in self._elsewhere:
            return shown + (of or "")
        return f"{shown} of `port {self._elsewhere[name]}`"


def _shown(parameter: click.Parameter, name: str, value: str | None) -> str:
    if isinstance(parameter, click.Argument):
        metavar = parameter.metavar or name.upper()
        return metavar if value is None else _plain(value)
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
