"""`port inspect PATH`: show what a file is, or draw it, search it and compare it with another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from porter.cli.command import Command
from porter.cli.options import PATH, json_option, tag_option
from porter.cli.progress import track
from porter.formats.named import refuse_other_suffix

_WRITTEN = {
    "html": ("an HTML page is written there: name it so, such as page.html", (".html", ".htm")),
    "svg": ("a drawing is written there: name it so, such as blocks.svg", (".svg",)),
    "write_table": ("a mapping table is written there: name it so, such as mapping.toml", (".toml",)),
    "tensorboard": ("an event file is written to a folder there: name one, such as logs/", ()),
}
"""What each option writes, and the suffixes that say so."""


@click.command(cls=Command)
@click.argument("path", type=PATH)
@click.option("--depth", type=click.IntRange(1), metavar="N", help="List the variables by scope, N names deep.")
@click.option(
    "--size", type=click.IntRange(1), metavar="N", help="Height and width of the image, if the graph leaves them open."
)
@tag_option
@click.option(
    "--graph", type=click.IntRange(1), metavar="N", help="Show the N-th graph of event files; 1 was written last."
)
@click.option("--scope", metavar="NAME", help="Show one block's layers and their wiring.")
@click.option("--find", metavar="REGEX", help="Show the nodes whose name or op matches.")
@click.option(
    "--diff",
    type=PATH,
    metavar="OTHER",
    help="Compare with OTHER: node by node, or weight by weight if either is a checkpoint.",
)
@click.option("--html", type=PATH, metavar="PAGE", help="Write one interactive HTML page, readable offline.")
@click.option("--svg", type=PATH, metavar="FILE", help="Write a drawing of the blocks, or of one --scope.")
@click.option("--write-table", type=PATH, metavar="TOML", help="Write a first mapping table for the variables.")
@click.option("--tensorboard", type=PATH, metavar="FOLDER", help="Write an event file that TensorBoard opens.")
@json_option
def inspect(
    path: Path, depth: int | None, size: int | None, tag: str | None, graph: int | None, as_json: bool, **options: Any
) -> None:
    """Show what PATH is: a graph, a SavedModel, a checkpoint, an event file or a folder of these."""
    from porter.graph.analysis.scope import scope_view
    from porter.graph.analysis.search import find_nodes
    from porter.render import inspection_files as files
    from porter.render import inspection_output as output
    from porter.verbs.inspect import compare, inspect, open_graph

    wanted = {name: value for name, value in options.items() if value is not None}
    _check(wanted, depth=depth, size=size)
    choice: dict[str, Any] = {"tag": tag, "graph": graph}
    match list(wanted):
        case []:
            output.print_inspection(inspect(path, depth, size=size, **choice), depth is not None, as_json)
        case ["write_table"]:
            output.print_written(files.write_mapping_table(wanted["write_table"], path, **choice), as_json)
        case ["scope"]:
            output.print_scope(scope_view(open_graph(path, size, **choice), wanted["scope"]), as_json)
        case ["find"]:
            output.print_nodes(find_nodes(open_graph(path, size, **choice), wanted["find"]), wanted["find"], as_json)
        case ["diff"]:
            output.print_difference(compare(path, wanted["diff"], size=size, track=track, **choice), as_json)
        case ["html"]:
            page = files.write_graph_page(wanted["html"], open_graph(path, size, **choice))
            output.print_written(page, as_json)
        case ["tensorboard"]:
            written = files.write_event_file(wanted["tensorboard"], open_graph(path, size, **choice))
            output.print_written(written, as_json)
        case _:
            diagram = files.write_diagram(wanted["svg"], open_graph(path, size, **choice), wanted.get("scope"))
            output.print_written(diagram, as_json)


def _check(wanted: Mapping[str, Any], depth: int | None, size: int | None) -> None:
    """Raise UsageError for options that contradict each other, say nothing, or would be ignored."""
    flags = [f"--{name.replace('_', '-')}" for name in wanted]
    if len(wanted) > 1 and set(wanted) != {"svg", "scope"}:
        raise click.UsageError(f"{' and '.join(flags)} exclude each other: give one of them")
    for name in ("scope", "find"):
        if wanted.get(name) == "":
            raise click.UsageError(f"--{name} is empty: leave it out, or name what to show")
    for name, (writes, own) in _WRITTEN.items():
        if name in wanted:
            refuse_other_suffix(name, wanted[name], writes, own)
    if depth is not None and wanted:
        raise click.UsageError(f"--depth is for the overview, which {flags[0]} replaces: leave out one of them")
    if size is not None and "write_table" in wanted:
        raise click.UsageError("a mapping table depends on no image size: leave --size out beside --write-table")
