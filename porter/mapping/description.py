"""The words in which porter says what a file holds: those of inspect, and of the errors of port and verify."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from porter.catalog.models import ARCHS, Arch
from porter.catalog.open_values import at_size
from porter.errors import plural
from porter.mapping.dialects import ORIGINAL
from porter.mapping.embedded import Embedded
from porter.mapping.places import Place
from porter.mapping.recognise import Match
from porter.mapping.shapes import IMAGE_CHANNELS, expected_shapes
from porter.mapping.table import Table


def alike(matches: Sequence[Match], size: int | None) -> list[Match]:
    """Return the matches that the file cannot tell from the first: those of the input ``size``, otherwise all."""
    best = matches[0]
    same = [match for match in matches if _kind(match) == _kind(best)]
    fitting = [match for match in same if match.arch.input_size == size]
    if size is None or fitting:
        return fitting or same
    other = replace(best, arch=at_size(best.arch, size))
    return [other] if other.arch.input_size == size else same


def _kind(match: Match) -> tuple[object, ...]:
    """Return what matches share that a file cannot tell apart; where none is exact, they share the title too."""
    return match.dialect, match.place, match.whole, match.exact, match.exact or match.arch.title


def size_in_name(path: Path, sizes: Collection[int]) -> int | None:
    """Return the one of ``sizes`` that the name of the file, or else of its folder, has as a number; None without."""
    for name in (path.name, path.absolute().parent.name):
        named = {int(number) for number in re.findall(r"(?<![0-9])[0-9]{2,4}(?![0-9])", name)} & set(sizes)
        if len(named) == 1:
            return named.pop()
    return None


def size_note(path: Path, arch: Arch) -> str | None:
    """Return a sentence if the file's name has another input size than ``arch``, whose weights look the same."""
    alike = {other.input_size: other.name for other in ARCHS.values() if other.title == arch.title}
    size = size_in_name(path, alike)
    if size is None or size == arch.input_size:
        return None
    return (
        f"the name of {path} says {size}, but {arch.name} takes images of {arch.input_size}: shapes cannot tell; "
        f"port it as {alike[size]} if the training had that size"
    )


def describe(matches: Sequence[Match], size: int | None = None, dialect: str = ORIGINAL) -> str:
    """Return what a file holds whose matches are ``alike``; ``size`` is that of its images, None where it is unknown.

    It names the dialect if that is not ``dialect``.

    Example: ``contains MobileNet V1 0.25 at 128, in the scope FeatureExtractor, without its classifier``.
    """
    best = matches[0]
    sizes = sorted({match.arch.input_size for match in matches}, reverse=True)
    at = size if size is not None else sizes[0] if len(sizes) == 1 else None
    times = f" {len(best.copies) + 1} times" if best.copies else ""
    parts = [best.arch.title + (f" at {at}" if at is not None else "") + times]
    if best.channels != IMAGE_CHANNELS:
        parts.append(plural(best.channels, "input channel"))
    if at is None:
        parts.append(f"whose weights are the same at {', '.join(map(str, sizes))}")
    if best.dialect != dialect:
        parts.append(f"with the names of {_titles(best)}")
    if best.folded:
        parts.append("with its batch norms folded into the convolutions")
    if best.no_gamma:
        parts.append("with batch norms that have no gamma")
    if inside := _inside(best):
        parts.append(f"with {inside}")
    within = _within(best)
    parts += [within] if within else []
    if not best.whole:
        parts.append("without its classifier")
    elif best.classes != best.arch.num_classes:
        parts.append(f"with {best.classes} classes")
    return ("contains " if within else "") + ", ".join(parts)


def _titles(match: Match) -> str:
    """Return the title of the dialect, and those of others with the same names."""
    first, *others = (Table.of(match.arch).record(name).title for name in (match.dialect, *match.also))
    shared = " and ".join(filter(None, (", ".join(others[:-1]), *others[-1:])))
    return first + (f", which {shared} share{'s' if len(others) == 1 else ''}" if others else "")


def _inside(match: Match) -> str:
    """Name the networks inside of a detector, each with its scope; empty where the network has none."""
    found = []
    for inner in Table.of(match.arch).embedded:
        backbone = _backbone(match.arch, inner)
        scope = (match.prefix + inner.prefixes[match.dialect]).rstrip("/.")
        found.append((backbone.title, scope))
    titles = list(dict.fromkeys(backbone for backbone, _ in found))
    return " and ".join(
        f"{name} in {' and '.join(scope for other, scope in found if other == name)}" for name in titles
    )


def _backbone(detector: Arch, inner: Embedded) -> Arch:
    """Return the model inside of a detector: of the released ones in its table, the one with its shapes, if any."""
    shapes = expected_shapes(detector, Table.of(detector), ORIGINAL)
    archs = [arch for arch in ARCHS.values() if arch.table == inner.table]
    own = (expected_shapes(arch, Table.of(arch), ORIGINAL) for arch in archs)
    place = inner.prefixes[ORIGINAL]
    fit = (all(shapes.get(place + name, shape) == shape for name, shape in each.items()) for each in own)
    return next((arch for arch, fits in zip(archs, fit, strict=True) if fits), archs[0])


def _within(match: Match) -> str:
    """Say which scopes hold the network; empty where its names stand at the top of the file."""
    scopes = [_scope(place) for place in (match.place, *match.copies)]
    if len(scopes) > 1:
        return f"in the scopes {', '.join(scopes)}"
    return f"in the scope{'s' if match.place.spread else ''} {scopes[0]}" if match.place.scope != "" else ""


def _scope(place: Place) -> str:
    return place.scope or "of the top"
