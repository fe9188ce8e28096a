"""`port seed MODEL`: write a checkpoint of name-seeded weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import click

from porter.catalog.open_values import placeholders
from porter.cli.command import Command
from porter.cli.options import PATH, json_option
from porter.cli.progress import track
from porter.render.text import echo, print_json


class SeedCommand(Command):
    """A command with an option for each number in models' names that may be any, as their families record them."""

    def numbers(self) -> list[click.Parameter]:
        """Return the options of all open placeholders."""
        return list(numbers())


@cache
def numbers() -> tuple[click.Parameter, ...]:
    """Return an option for each open placeholder."""
    return tuple(
        click.Option([f"--{name}"], type=kind, metavar="N", help=f"Replace the {name} in MODEL, as in {titles[0]}.")
        for name, (kind, titles) in placeholders().items()
    )


@click.command(cls=SeedCommand)
@click.argument("model")
@click.option("--out", type=PATH, required=True, metavar="PREFIX", help="Prefix of the checkpoint: seeded.ckpt.")
@click.option("--training", is_flag=True, help="Add what a trainer saves: moving averages and global_step.")
@json_option
def seed(as_json: bool, **options: Any) -> None:
    """Write a TensorFlow checkpoint of MODEL with name-seeded weights, for tests and demos."""
    from porter.verbs.seed import seed

    result = seed(track=track, **options)
    if as_json:
        print_json(result.as_dict())
    else:
        wrote = f"wrote {result.out} ({result.tensors} tensors, {result.bytes:,} bytes)"
        echo(wrote)
