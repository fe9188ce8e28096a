"""`port check FILE`: find damage in what porter wrote, or in a TensorFlow checkpoint."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from porter.cli.command import Command
from porter.cli.options import FAILED, PATH, expect_option, json_option
from porter.render.text import console, print_json


@click.command(cls=Command)
@click.argument("path", metavar="FILE", type=PATH)
@expect_option
@json_option
def check(path: Path, expect_sha256: tuple[str, ...], as_json: bool) -> int:
    """Check FILE for damage: a file or folder that porter wrote, or a TensorFlow checkpoint.

    porter's outputs are compared with the digests that they carry, checkpoints with their checksums. The exit status
    is 0 if FILE is intact, 1 if it is damaged, and 2 if it cannot be checked.
    """
    from porter.formats.input_digests import Inputs
    from porter.verbs.check import check

    result = check(path, Inputs(expect_sha256))
    if as_json:
        print_json(result.as_dict())
    else:
        console().print(Text(str(result), style="green" if result else "bold red"), soft_wrap=True)
    return 0 if result else FAILED
