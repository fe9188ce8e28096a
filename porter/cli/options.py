"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from porter.mapping.translate import AVERAGES

FAILED = 1
"""Exit status where parity fails or a check finds damage."""


class _Path(click.Path):
    """A path; an empty one, as from an unset variable of the shell, would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Raises click.BadParameter if it is empty."""
        if value == "":
            self.fail("it is empty: name a file or folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)

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
labels_option = click.option(
    "--labels",
    type=PATH,
    metavar="FILE",
    help="Names of your own classes: one a line, or JSON, a list or {index: name}.",
)
prefix_option = click.option(
    "--prefix", metavar="TEXT", help="Prefix of the model's names in the file, such as 'import/'. Default: detected."
)
rename_option = click.option(
    "--rename",
    multiple=True,
    metavar="OLD=NEW",
    callback=lambda _context, _option, values: scopes(values),
    help="Read the scope OLD of the file as the model's scope NEW. Default: detected if all shapes fit. Repeatable.",
)
backbone_option = click.option(
    "--backbone",
    is_flag=True,
    help="Take the network out of a larger one, such as a detector: without its classifier and all other variables.",
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


def scopes(values: Iterable[str]) -> dict[str, str]:
    """Return ``{old: new}`` of the values OLD=NEW. Raises UsageError for another text."""
    pairs = [value.partition("=") for value in values]
    for old, found, new in pairs:
        if not found or not new:
            raise click.UsageError(f"--rename takes OLD=NEW, got {old + found + new}")
    return {old: new for old, _, new in pairs}
