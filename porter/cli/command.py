"""Command: the class of porter's commands. Its help and its errors name whole commands that work."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from porter.errors import MappingError, PorterError
from porter.files.called import as_called

VARIADIC = ("--images",)

RENAMED: Mapping[str, Mapping[str, str]] = {
    "convert": {"--weights": "--average", "--classes": "--drop-background", "--dtype": "--save-dtype"},
    "verify": {
        "--weights": "--average",
        "--left": "--reference",
        "--right": "--candidate",
        "--dtype": "--precision",
        "--table": "--endpoint-map",
    },
    "inspect": {"--mapping": "--write-table"},
}
"""Options of porter 0.1.0 that have another name, as CHANGELOG.md lists them. They are hints, not aliases."""


class Command(click.Command):
    """A command whose help has the called name, and whose errors suggest an option's new name or a command that works.

    ``--images`` takes all values up to the next option; repeated options add up.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``args``. An option that has another name now is refused with that name."""
        try:
            return super().parse_args(ctx, list(repeated(args, VARIADIC)))
        except click.NoSuchOption as error:
            new = RENAMED.get(self.name or "", {}).get(error.option_name)
            if new is None:
                raise
            raise click.NoSuchOption(error.option_name, f"{error.option_name} is now {new}", ctx=ctx) from None

    def numbers(self) -> list[click.Parameter]:
        """Return the options that the families' records add, none by default. They are read no earlier than needed."""
        return []

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, those of ``numbers`` before the help's option."""
        found = super().get_params(ctx)
        return [*found[: len(self.params)], *self.numbers(), *found[len(self.params) :]]

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text with the name that the command was called by."""
        return as_called(super().get_help(ctx))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where a library error has arguments that work, show whole commands with them."""
        try:
            return super().invoke(ctx)
        except MappingError as error:
            if not error.ways:
                raise
            commands = [f"`{command_line(ctx, way)}`" for way in error.ways]
            shown = f" {commands[0]}" if len(commands) == 1 else "".join(f"\n  {command}" for command in commands)
            raise PorterError(f"{error.finding}: run{' one of' if len(commands) > 1 else ''}{shown}") from error


def command_line(ctx: click.Context, way: Mapping[str, Any]) -> str:
    """Return the command of ``ctx`` with the arguments of ``way`` in place of its own.

    A command that lacks one of them gives way to `port MODEL`, which ports the same file.
    """
    from porter.mapping.dialects import DIALECTS

    command, values = ctx.command, {**_given(ctx), **way}
    if not way.keys() <= {parameter.name for parameter in command.params}:
        group = ctx.find_root().command
        assert isinstance(group, click.Group)
        command = group.commands["convert"]
        framework = DIALECTS.get(values.get("source", ""), None)
        values.setdefault("target", "keras" if framework and framework.framework == "torch" else "torch")
    words = [word for each in command.params for word in _words(each, values.get(each.name or ""))]
    return shlex.join(["port", *([] if command.name == "convert" else [command.name or ""]), *words])


def _given(ctx: click.Context) -> dict[str, Any]:
    """Return the values that stand on the command line."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def _words(parameter: click.Parameter, value: Any) -> Iterable[str]:
    """Yield the words of a parameter with this value; None and nothing leave it out."""
    if isinstance(parameter, click.Argument):
        yield str(value)
    elif value is None or value is False:
        return
    elif isinstance(parameter, click.Option) and parameter.is_flag:
        yield max(parameter.opts, key=len)
    else:
        many = [f"{old}={new}" for old, new in value.items()] if isinstance(value, dict) else value
        for each in many if isinstance(many, (list, tuple)) else [many]:
            yield from (max(parameter.opts, key=len), str(each))


def repeated(args: Sequence[str], names: Sequence[str]) -> Iterable[str]:
    """Yield ``args`` with the option before each of its values: ``--images a b`` as ``--images a --images b``."""
    option, waiting = "", False
    for number, arg in enumerate(args):
        if arg == "--":
            yield from args[number:]
            return
        if arg.startswith("-") and arg != "-":
            option, waiting = (arg.split("=")[0], "=" not in arg) if arg.split("=")[0] in names else ("", False)
            yield arg
        elif option:
            if not waiting:
                yield option
            waiting = False
            yield arg
        else:
            yield arg
