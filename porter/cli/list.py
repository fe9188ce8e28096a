"""`port list`: the models, their size and work, their published accuracy and their released checkpoints."""

from __future__ import annotations

import math
from typing import Any

import click

from porter.catalog.models import ARCHS, Arch
from porter.cli.command import Command
from porter.cli.options import json_option
from porter.mapping.dialects import ORIGINAL
from porter.render.text import console, new_grid, print_json


@click.command(name="list", cls=Command)
@json_option
def list_models(as_json: bool) -> None:
    """List the models, their published accuracy, and which released checkpoints are in the cache."""
    models = {arch.name: facts(arch) for arch in ARCHS.values()}
    if as_json:
        print_json(models)
        return
    grid = new_grid("model", "input", "classes", "parameters", "multiply-adds", "top-1", "ported to", "checkpoint")
    for name, found in models.items():
        grid.add_row(
            " = ".join([name, *found["aliases"]]),
            f"{found['input_size']}x{found['input_size']}",
            str(found["num_classes"]),
            f"{found['parameters']:,}",
            "" if found["multiply_adds"] is None else f"{found['multiply_adds']:,}",
            "" if found["top1"] is None else f"{found['top1']}",
            ", ".join(found["frameworks"]),
            "in the cache" if found["cached"] else "to fetch" if found["licence"] else "",
        )
    console().print(grid)


def facts(arch: Arch) -> dict[str, Any]:
    """Return what `port list` shows of a model, as JSON has it."""
    from porter.catalog.cache import cached
    from porter.catalog.goldens import recorded
    from porter.catalog.releases import releases

    release, found = releases().get(arch.name), cached(arch.name)
    return {
        "aliases": list(arch.aliases),
        "input_size": arch.input_size,
        "num_classes": arch.num_classes,
        "frameworks": list(arch.builders),
        "parameters": parameters(arch.name),
        "multiply_adds": recorded(arch.name).multiply_adds,
        "top1": release.top1 if release else None,
        "top5": release.top5 if release else None,
        "licence": release.licence if release else None,
        "cached": str(found.checkpoint) if found else None,
    }


def parameters(model: str) -> int:
    """Return the number of values in the original's variables, statistics included, without optional parts."""
    from porter.catalog.goldens import recorded
    from porter.catalog.models import find_arch
    from porter.mapping.table import Table

    wanted = Table.of(find_arch(model)).pairs(ORIGINAL, ORIGINAL)
    variables = recorded(model).variables
    return sum(math.prod(variables[pair.source]) for pair in wanted)
