"""The sentence and the command with which inspect reports a network that porter knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from porter.errors import plural
from porter.mapping.recognise import Match, recognise, title
from porter.verbs.inspection import Recognised

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis


def recognised(
    shapes: Mapping[str, tuple[int | None, ...] | None], path: Path, size: int | None, analysis: Analysis | None
) -> Recognised | None:
    """Return the network that the variables' ``shapes`` are, or None if porter knows none.

    ``size`` is the height and width of the images that the file takes, None if it does not say. ``analysis`` is that of
    the file's graph, if it has one.
    """
    matches = recognise(shapes, size)
    if not matches:
        return None
    best = matches[0]
    alike = [match for match in matches if match.whole == best.whole and match.prefix == best.prefix]
    fitting = [match for match in alike if match.arch.input_size == size]
    chosen = fitting or alike
    models = tuple(match.arch.name for match in chosen)
    return Recognised(models, _sentence(best, chosen, size, analysis), _command(best, path, analysis), best.unknown)


def _sentence(best: Match, alike: list[Match], size: int | None, analysis: Analysis | None) -> str:
    sizes = sorted({match.arch.input_size for match in alike}, reverse=True)
    known = title(best.arch)
    if size is not None:
        known += f" at {size}"
    elif len(sizes) > 1:
        known += f", whose weights are the same at {', '.join(map(str, sizes))}"
    else:
        known += f" at {sizes[0]}"
    if best.prefix:
        known = f"contains {known}, in the scope {best.prefix.rstrip('/')}"
    if not best.whole:
        return f"{known}, without its classifier"
    if best.classes is not None and best.classes != best.arch.num_classes:
        known += f", with {best.classes} classes"
    return f"{known}{_head(best, analysis)}"


def _head(best: Match, analysis: Analysis | None) -> str:
    """Describe the layers after the known network, by the weights that the network does not have."""
    if not best.unknown:
        return ""
    unknown = set(best.unknown)
    layers = [layer for layer in analysis.layers if unknown & set(layer.variables)] if analysis is not None else []
    if not layers:
        return f", and {plural(len(unknown), 'variable')} that it does not have"
    source = layers[0].inputs[0] if layers[0].inputs else None
    origin = source if isinstance(source, str) else source.name if source is not None else "?"
    classes = layers[-1].channels
    return f", then an unknown head of {classes} classes from {origin.rpartition('/')[0] or origin}"


def _command(best: Match, path: Path, analysis: Analysis | None) -> str | None:
    """Return the command that ports the file; None if the network lies in a scope or lacks its head."""
    if best.prefix or not best.whole:
        return None
    checkpoint = str(path)
    if analysis is not None and not (analysis.frozen and path.suffix == ".pb"):
        checkpoint = "model.ckpt"  # another file holds the values
    patterns = dict.fromkeys(f"{name.split('/')[0]}/*" if "/" in name else name for name in best.unknown)
    ignore = "".join(f" --ignore {_quoted(pattern)}" for pattern in patterns)
    return (
        f"port {best.arch.name} --from tf --to torch --checkpoint {shell(checkpoint)}{ignore} --out model.safetensors"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def shell(text: str) -> str:
    """Return an argument as a shell takes it."""
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else _quoted(text)
