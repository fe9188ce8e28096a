"""`port decompile GRAPH`: write a TensorFlow graph's network as PyTorch source, or show what would be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from porter.cli.command import Command
from porter.cli.options import FAILED, PATH, average_option, json_option, tag_option
from porter.cli.progress import track
from porter.errors import plural
from porter.render.text import console, print_json, printable

UNTRANSLATED = 2


@click.command(cls=Command)
@click.argument("graph", type=PATH)
@click.option("--to", "target", metavar="FRAMEWORK", default="torch", help="Framework of the source: torch.")
@click.option("--out", metavar="FOLDER", help="Folder for the source, the weights and the verdict.")
@click.option("--checkpoint", type=PATH, help="Checkpoint with the values of the graph's variables.")
@click.option("--inputs", multiple=True, metavar="NODE", help="Node in whose place the network begins. Repeatable.")
@click.option("--outputs", multiple=True, metavar="NODE", help="Node with which the network ends. Repeatable.")
@click.option("--anyway", is_flag=True, help="Write a network that porter knows under a name, too.")
@click.option(
    "--dropout",
    type=click.Choice(["keep", "drop"]),
    default="keep",
    show_default=True,
    help="Dropout that the graph keeps running in inference: keep it in eval mode, or drop it there.",
)
@average_option
@click.option("--size", type=click.IntRange(1), metavar="N", help="Height and width of the images, if open.")
@tag_option
@click.option("--trust-graph", is_flag=True, help="Let TensorFlow run ops that do more than compute.")
@json_option
def decompile(graph: Path, as_json: bool, **options: Any) -> int:
    """Write the network in GRAPH as PyTorch source that reads like a person's.

    Without --out, show what would be written, and what stands in the way.
    """
    from porter.verbs.decompile import decompile

    result = decompile(graph, track=track, **options)
    if as_json:
        print_json(result.as_dict())
    else:
        show(result)
    if result.problems:
        return UNTRANSLATED
    return 0 if result else FAILED


def show(result: Any) -> None:
    """Print the network that porter knows, what stands in the way, what was or would be written, and the verdict."""
    out = console()
    if result.known is not None:
        _line(out, f"{result.path} is {result.known.sentence}")
        if result.known.command:
            _line(out, f"  porter has this network:  {result.known.command}")
    for note in result.notes:
        _line(out, f"  note  {note}")
    if result.problems:
        _show_problems(out, result)
        return
    network = result.network
    what = f"{network.name}: {network.lines} lines of source, {plural(len(network.weights), 'tensor')} of the graph"
    _line(out, what)
    if result.report is not None:
        for said in (str(result.report), *result.report.notes):
            _line(out, f"  {said}")
    if result.out is not None:
        _line(out, f"wrote {result.out}/: {', '.join(sorted(file.name for file in result.out.iterdir()))}")
    elif result.report is not None:
        divergence = result.report.first_divergence
        where = f": {printable(divergence.endpoint)} diverges first" if divergence else ""
        _line(out, f"nothing was written, because parity failed{where}")
    else:
        for name, stands_for in network.classes:
            _line(out, f"  {name}: {stands_for}")
        _line(out, "nothing was written: add --out FOLDER")


def _show_problems(out: Console, result: Any) -> None:
    by_op: dict[str, list[Any]] = {}
    for problem in result.problems:
        by_op.setdefault(problem.op, []).append(problem)
    _line(out, f"{result.path}: {plural(len(result.problems), 'node')} without a translation; name other --outputs")
    for op, problems in by_op.items():
        _line(out, f"  {printable(op)} × {len(problems)}: {problems[0].why}")
        for problem in problems:
            shapes = ", ".join("?" if shape is None else _shape(shape) for shape in problem.shapes)
            _line(out, f"    {printable(problem.node)} of {shapes or 'no inputs'}")


def _shape(shape: tuple[int | None, ...]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def _line(out: Console, text: str) -> None:
    out.print(Text(text), soft_wrap=True)
