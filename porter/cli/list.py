"""`port list`: the models, their size and work, their published accuracy and their released checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import click

from porter.catalog.models import ARCHS, Arch
from porter.cli.command import Command
from porter.cli.options import json_option
from porter.mapping.dialects import ORIGINAL
from porter.render.text import console, new_grid, print_json


@click.command(name="list", cls=Command)
@click.option(
    "--grid", "as_grid", is_flag=True, help="List every dialect of every architecture: read, write, function and proof."
)
@json_option
def list_models(as_grid: bool, as_json: bool) -> None:
    """List the models, their published accuracy, and which released checkpoints are in the cache.

    With --grid, `function` says whether the library's own network computes what the original does: by up to how many
    of the logits' standard deviations it differs, or with which settings it is exact.
    """
    if as_grid:
        show_grid(as_json)
        return
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


def show_grid(as_json: bool) -> None:
    """Print a line for each dialect of each architecture."""
    from porter.mapping.grid import grid

    cells = grid()
    if as_json:
        print_json([cell.as_dict() for cell in cells])
        return
    shown = new_grid("architecture", "dialect", "read", "write", "function", "proof")
    for cell in cells:
        sides = [where(cell.read), where(cell.write)]
        shown.add_row(cell.table, cell.dialect.name, *sides, cell.function, ", ".join(cell.proof))
    console().print(shown)


def where(conditions: Mapping[str, float]) -> str:
    """Return `yes`, or the values that a role must have: `where bias is 0`."""
    parts = [f"{role} is {value:g}" for role, value in conditions.items()]
    return f"where {' and '.join(parts)}" if parts else "yes"


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
        "multiply_adds": recorded(arch.name).multiply_adds if arch.golden == arch.name else None,
        "top1": release.top1 if release else None,
        "top5": release.top5 if release else None,
        "licence": release.licence if release else None,
        "cached": str(found.checkpoint) if found else None,
    }


def parameters(model: str) -> int:
    """Return the number of values in the original's variables, statistics included, without optional parts."""
    from porter.catalog.models import find_arch
    from porter.mapping.shapes import expected_shapes
    from porter.mapping.table import Table

    arch = find_arch(model)
    table = Table.of(arch)
    shapes = expected_shapes(arch, table, ORIGINAL)
    return sum(math.prod(shapes[pair.source]) for pair in table.pairs(ORIGINAL, ORIGINAL))
