"""Options of the command line that take several values, as a shell's pattern gives them: --images *.jpg."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

SEVERAL = ("--images",)


class SeveralCommand(click.Command):
    """A command whose ``--images`` takes all values up to the next option; given several times, they add up."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(repeated(args, SEVERAL)))


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
