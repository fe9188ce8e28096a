"""`port fetch MODEL`: download a released checkpoint into the cache."""

from __future__ import annotations

import click

from porter.cli.command import Command
from porter.cli.options import json_option
from porter.cli.progress import track
from porter.render.text import echo, print_json


@click.command(cls=Command)
@click.argument("model")
@json_option
def fetch(model: str, as_json: bool) -> None:
    """Fetch the released checkpoint of MODEL into the cache.

    The environment variable PORTER_CACHE moves the cache.
    """
    from porter.verbs.fetch import fetch

    result = fetch(model, track)
    if as_json:
        print_json(result.as_dict())
    else:
        echo(f"{result.checkpoint}\n  from {result.source}, SHA-256 {result.sha256}")
