"""Options that several commands share, and options that take several values, as a shell expands them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from porter.mapping.translate import AVERAGES

FAILED = 1
"""Exit status where parity fails or a check finds damage."""

PATH = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
average_option = click.option(
    "--average",
    type=click.Choice(AVERAGES),
    default="auto",
    show_default=True,
    help="Weights to take: the moving averages (ema), the raw values (raw), or the averages if every variable has "
    "one (auto).",
)
ignore_option = click.option(
    "--ignore",
    multiple=True,
    metavar="PATTERN",
    help="Skip the variables that match, such as 'head/*'. Repeatable.",
)
images_option = click.option(
    "--images",
    multiple=True,
    metavar="FILE…",
    type=PATH,
    help="Images to verify on, such as --images *.jpg. Default: the sample images.",
)
prefix_option = click.option(
    "--prefix", metavar="TEXT", help="Prefix of the model's names in the file, such as 'import/'. Default: detected."
)
tag_option = click.option(
    "--tag",
    metavar="TAGS",
    help="Graph of a SavedModel with several, by its tags, such as serve or serve,gpu. Default: one not for training.",
)
expect_option = click.option(
    "--expect-sha256",
    multiple=True,
    metavar="[NAME=]HEX",
    help="Refuse an input with another SHA-256; with several files, NAME=HEX for each. Repeatable.",
)

VARIADIC = ("--images",)


class VariadicCommand(click.Command):
    """A command whose ``--images`` takes all values up to the next option; repeated options add up."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(repeated(args, VARIADIC)))


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
