"""The overviews of a graph and of event files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from porter.errors import FormatError, PorterError
from porter.formats.checkpoint import Checkpoint
from porter.graph.shapes import Shape, shape_text
from porter.verbs.inspect_checkpoint import natural, scope_depth
from porter.verbs.inspection import GraphInspection, Inspection, LogsInspection, Recognised, Scope
from porter.verbs.recognised import of_checkpoint, recognised, remedy_for

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis


def inspect_graph(analysis: Analysis, depth: int | None = None) -> GraphInspection:
    """Describe a graph that is read already; ``depth`` is that of its scopes."""
    from porter.graph.analysis.training import find_training

    shapes = {name: variable.shape for name, variable in analysis.variables.items()}
    rows = analysis.scopes(depth or scope_depth(shapes))
    scopes = [Scope(name, *row) for name, row in sorted(rows.items(), key=lambda item: natural(item[0]))]
    known = known_network(analysis)
    training = find_training(analysis)
    remedy = remedy_for(training, known, analysis) if training else ""
    return GraphInspection(analysis.source.path, analysis, tuple(scopes), known, training, remedy)


def known_network(analysis: Analysis) -> Recognised | None:
    """Return the network that a graph is, for images of the graph's own size, or None if porter knows none."""
    stored = {analysis.stored_name(name): variable.shape for name, variable in analysis.variables.items()}
    return recognised(stored, analysis.source.path, _input_size(analysis), analysis)


def with_network(result: Inspection, checkpoint: Checkpoint, size: int | None) -> Inspection:
    """Return ``result`` with the network that the checkpoint's config describes, if it has a config.

    A note says why a config describes none, such as that of a subclassed model.
    """
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.foreign.keras import keras_source

    if checkpoint.config is None:
        return result
    try:
        source = keras_source(checkpoint)
    except FormatError as error:
        said = str(error).removeprefix(f"{checkpoint.path} ")
        return replace(result, notes=(*result.notes, f"the config {said.partition(': name ')[0]}"))
    network = sized(Analysis(source, size))
    known = of_checkpoint(checkpoint, result.shapes, _input_size(network))
    return replace(result, network=network, recognised=known)


def inspect_logs(path: Path, depth: int | None, size: int | None, graph: int | None = None) -> LogsInspection:
    """Describe an event file or log folder, and the graph in it that was written last, or number ``graph``."""
    from porter.formats.tensorflow.events import graphs_by_time, newest_graph, read_logs
    from porter.graph.analysis.analysis import Analysis

    files = read_logs(path)
    number = {id(logged): at for at, logged in enumerate(graphs_by_time(files), start=1)}
    numbers = tuple(tuple(number[id(logged)] for logged in file.graphs) for file in files)
    shown = None
    if number or graph is not None:
        shown = inspect_graph(sized(Analysis(newest_graph(path, graph, files), size)), depth)
    return LogsInspection(path, tuple(files), numbers, shown)


def sized(analysis: Analysis) -> Analysis:
    """Return ``analysis``. Raises PorterError if its images have another size than the one that was given for them."""
    size, inputs = analysis.size, analysis.paths.inputs
    if size is None or analysis.takes_size or _input_size(analysis) == size:
        return analysis
    if not any(len(analysis.shapes.of(name) or ()) == 4 for name in inputs):
        raise PorterError(f"{analysis.source.path} takes no pictures, so that `size` has no effect: leave it out")
    fixed = ", ".join(f"{name} is {shape_text(analysis.shapes.of(name), 'of unknown shape')}" for name in inputs)
    raise PorterError(
        f"{analysis.source.path} leaves no image size open{f' ({fixed})' if fixed else ''}, so that `size` has no "
        "effect: leave it out"
    )


def _input_size(analysis: Analysis) -> int | None:
    """Return the height and width of the square images that the network takes."""
    found = (_side(analysis.shapes.of(name)) for name in analysis.paths.inputs)
    return next((side for side in found if side is not None), None) or _side_at_entry(analysis)


def _side_at_entry(analysis: Analysis) -> int | None:
    """Return the side of what a graph that decodes or resizes images itself gives to its network."""
    from porter.graph.rewrite.entry import find_entry, find_stem

    stem = find_stem(analysis.graph, (), analysis.paths.outputs)
    if stem is None:
        return None
    with suppress(FormatError):
        return _side(analysis.shapes[find_entry(analysis.graph, stem, ["Pad"], analysis.source.path).tensor])
    return None


def _side(shape: Shape) -> int | None:
    if shape is None or len(shape) != 4:
        return None
    return shape[1] if shape[3] in (1, 3) else shape[2]
