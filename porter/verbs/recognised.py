"""The sentence and the command with which inspect reports a network that porter knows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from porter.catalog.models import find_arch, is_model
from porter.errors import PorterError, plural
from porter.formats.checkpoint import Checkpoint
from porter.formats.facts import facts_of
from porter.formats.locate import resolve_path
from porter.formats.open import open_checkpoint
from porter.formats.signatures import kind_of
from porter.mapping.description import alike, describe, size_in_name
from porter.mapping.dialects import DIALECTS, ORIGINAL
from porter.mapping.places import by_scope
from porter.mapping.recognise import Match, recognise, title
from porter.mapping.table import Table
from porter.mapping.variants import original_shapes
from porter.verbs.inspection import Recognised

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.analysis.training import Training


def recognised(
    shapes: Mapping[str, tuple[int | None, ...] | None], path: Path, size: int | None, analysis: Analysis | None
) -> Recognised | None:
    """Return the network that the variables' ``shapes`` are, or None if porter knows none.

    ``size`` is the height and width of the images that the file takes, None if it does not say. ``analysis`` is that of
    the file's graph, if it has one.
    """
    from porter.formats.tensorflow.convolutions import find_convolutions

    matches = recognise(shapes, size)
    if not matches and analysis is not None and (analysis.frozen or not tensorflows(path)):
        graph = analysis.source.graph
        found = find_convolutions(graph) if analysis.frozen else open_checkpoint(path).convolutions
        shapes = original_shapes(shapes, found)
        matches = recognise(shapes, size)
    if not matches:
        return None
    chosen = alike(matches, size)
    if size is None and analysis is not None:
        size = _fitting_size({match.arch.input_size for match in chosen}, analysis)
        chosen = alike(chosen, size)
    named = size_in_name(path, {match.arch.input_size for match in chosen})
    best = alike(chosen, named)[0]
    sentence = describe(chosen, size) + (_head(best, analysis) if best.whole else "")
    models = tuple(match.arch.name for match in chosen)
    return Recognised(models, sentence, _command(best, shapes, path, analysis), best.unknown, best.arch.input_size)


def _fitting_size(sizes: set[int], analysis: Analysis) -> int | None:
    """Return the one of ``sizes`` for which the graph's pools are made, None where several or none fit."""
    from porter.graph.analysis.fitting import fits_size

    found = [size for size in sizes if fits_size(analysis, size)] if len(sizes) > 1 else []
    return found[0] if len(found) == 1 else None


def of_checkpoint(
    checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]], size: int | None = None
) -> Recognised | None:
    """Return the network that ``checkpoint`` is by its ``shapes``, or, without one, by what porter wrote about it.

    ``size`` is the height and width of its images, if the file has its network.
    """
    facts = facts_of(checkpoint.place)
    name = str(facts.get("model"))
    arch = find_arch(name) if is_model(name) else None
    found = recognised(shapes, checkpoint.path, arch.input_size if arch else size, None)
    if found is not None:
        wrote = ", as porter wrote it" if arch is not None and arch.name in found.models else ""
        return replace(found, sentence=found.sentence + wrote)
    record = DIALECTS.get(str(facts.get("framework")))
    if arch is None or record is None:
        return None
    classes = facts.get("num_classes")
    count = f"{classes} classes" if isinstance(classes, int) and classes else "no classifier"
    sentence = f"{title(arch, sized=True)} for {record.title}, {count}, as porter wrote it"
    return Recognised((arch.name,), sentence, None, ())


def _head(best: Match, analysis: Analysis | None) -> str:
    """Describe the layers after the known network, by the weights that the network does not have."""
    if not best.unknown:
        return ""
    unknown = set(best.unknown)
    stored = analysis.stored_name if analysis is not None else str
    layers = analysis.layers if analysis is not None else []
    layers = [layer for layer in layers if unknown.intersection(map(stored, layer.variables))]
    if not layers:
        return f", and {plural(len(unknown), 'variable')} that it does not have"
    source = layers[0].inputs[0] if layers[0].inputs else None
    origin = source if isinstance(source, str) else source.name if source is not None else "?"
    classes = layers[-1].channels
    return f", then an unknown head of {classes} classes from {origin.rpartition('/')[0] or origin}"


def _command(best: Match, shapes: Mapping[str, object], path: Path, analysis: Analysis | None) -> str:
    """Return the command that ports the file, of several copies of the network the first."""
    from porter.export.writers import usual_suffix

    record = Table.of(best.arch).record(best.dialect)
    others = (name for name in (*best.arch.builders, ORIGINAL) if name != record.framework)
    target = next(others)
    checkpoint = shlex.quote(_checkpoint(path, analysis))
    options = _place(best) if best.copies else ""
    if not best.whole:
        options += " --backbone" if best.unknown else " --no-head"
    elif best.unknown and not best.copies:
        for scope in by_scope(best.unknown, shapes.keys() - set(best.unknown), record.separator):
            pattern = scope if scope in best.unknown else f"{scope}{record.separator}*"
            options += f" --ignore {shlex.quote(pattern)}"
    return (
        f"port {best.arch.name} --from {best.dialect} --to {target} --checkpoint {checkpoint}{options}"
        f" --out model{usual_suffix(DIALECTS[target])}"
    )


def _place(best: Match) -> str:
    """Return the options that choose the place of ``best`` among its copies."""
    prefix = f" --prefix {shlex.quote(best.prefix)}" if best.prefix or not best.place.renamed else ""
    return prefix + "".join(f" --rename {shlex.quote(f'{old}={new}')}" for old, new in best.place.renamed)


def _checkpoint(path: Path, analysis: Analysis | None) -> str:
    """Return the file that holds the values: ``path``, unless it is a graph without them."""
    if analysis is None:
        return str(path)
    try:
        kind = kind_of(resolve_path(path).files[0])
    except PorterError:
        return "model.ckpt"
    whole = kind.holds in ("tensors", "archive") or analysis.frozen or not tensorflows(path)
    return str(path) if kind.reader and whole else "model.ckpt"


def tensorflows(path: Path) -> bool:
    """Tell whether a graph is one of TensorFlow's, which may have its values elsewhere."""
    from porter.graph.foreign.open import is_foreign

    return not path.exists() or not is_foreign(path)


def remedy_for(training: Training, known: Recognised | None, analysis: Analysis) -> str:
    """Return what to do about a graph that computes as in training."""
    if known is None or known.command is None:
        return training.remedy
    checkpoint = shlex.quote(_checkpoint(analysis.source.path, analysis))
    verify = f"port verify {known.models[0]} --checkpoint {checkpoint}"
    return f"{training.remedy}, or verify the weights in the model's own inference graph:  {verify}"
