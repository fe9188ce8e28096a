"""A folder of TensorBoard event files, or one of them, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from porter.errors import plural
from porter.formats.tensorflow.events import EventFile
from porter.render.graph_text import show_graph
from porter.render.text import MOST, fact, first_few, print_line, printable, shorten, show_table
from porter.verbs.inspect import LogsInspection


def show_logs(out: Console, result: LogsInspection, scopes: bool = False) -> None:
    """Print every event file, newest first, then the chosen graph; ``scopes`` adds its variables by scope."""
    count = plural(len(result.files), "TensorBoard event file")
    print_line(out, f"{printable(str(result.path))}: {count}, newest first")
    beside = sorted(path.stem for path in result.path.glob("*.index")) if result.path.is_dir() else []
    if beside:
        names = f"{plural(len(beside), 'checkpoint')}, to inspect by name: {first_few(beside)}"
        print_line(out, fact("besides", printable(names)))
    for file, numbers in zip(result.files, result.numbers, strict=True):
        out.print()
        inside = result.path != file.path and result.path.is_dir()
        name = file.path.relative_to(result.path) if inside else file.path.name
        print_line(out, printable(str(name)))
        _show_file(out, file, numbers)
    if result.graph is not None:
        out.print()
        show_graph(out, result.graph, scopes)


def _show_file(out: Console, file: EventFile, numbers: Sequence[int]) -> None:
    when = f"{_time(file.first_time)} to {_time(file.last_time)}" if file.records else "empty"
    print_line(out, fact("events", f"{file.records:,}, {when}, last step {file.last_step:,}"))
    for number, graph in zip(numbers, file.graphs, strict=True):
        nodes = plural(len(graph.source.graph.node), "node")
        written = f"written {_time(graph.time)}"
        print_line(out, fact(f"graph {number}", f"{graph.name} of step {graph.step:,}: {nodes}, {written}"))
    for damage in file.damage[:MOST]:
        print_line(out, fact("damaged", printable(damage)))
    if len(file.damage) > MOST:
        print_line(out, fact("damaged", f"… and {len(file.damage) - MOST} more"))
    if file.tags:
        _show_tags(out, file.tags.values())


def _show_tags(out: Console, tags: Iterable[Any]) -> None:
    rows = [
        (
            f"  {shorten(tag.name)}",
            tag.kind,
            f"{tag.points:,}",
            f"{tag.first_step:,} to {tag.last_step:,}",
            "" if tag.last_value is None else f"{tag.last_value:.6g}",
        )
        for tag in tags
    ]
    show_table(out, ("  tag", "kind", "points", "steps", "last value"), rows, (2, 4))


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "an invalid time"
