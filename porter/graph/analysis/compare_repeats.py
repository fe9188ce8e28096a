"""compare_repeats: what a repeated block is, and sentences that say how its repeats differ."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence

from porter.graph.analysis.blocks import Block, Group, tails
from porter.graph.analysis.layers import Layer
from porter.graph.shapes import size_text

_SLIDES: dict[str, Callable[[Layer], tuple[int, ...]]] = {
    "stride": lambda layer: layer.strides,
    "dilation": lambda layer: layer.dilation,
}
LISTED = 8
"""A block with at most this many layers is described in their order; of others, each kind of layer is counted."""
_KINDS = 6
_FEWEST = 3
"""A scope inside a block with at most this many layers is no block of its own."""
_CANDIDATES = 16
"""Of more structures that are equally frequent, the first ones are compared."""


def compare_repeats(group: Group) -> None:
    """Set ``group.what`` to the usual repeat, and ``group.same`` and ``group.differences`` to how others differ."""
    repeats = group.repeats()
    structures = [repeat.structure() for repeat in repeats]
    usual, usual_structure = _usual(repeats, structures)
    group.same = len(set(structures)) == 1
    shared = [text for word, sides in _SLIDES.items() if (text := _shared(word, repeats, sides))]
    group.what = "; ".join([describe_block(usual), *shared])
    unusual: dict[tuple[str, ...], list[str]] = {}
    for repeat, structure in zip(repeats, structures, strict=True):
        if difference := _difference(repeat, usual, structure == usual_structure):
            unusual.setdefault(difference, []).append(repeat.name)
    group.differences += [_sentence(names, difference) for difference, names in unusual.items()]
    for word, sides in _SLIDES.items():
        group.differences += _values(word, repeats, sides)


def _usual(repeats: Sequence[Block], structures: Sequence[int]) -> tuple[Block, int]:
    """Return a repeat of the most frequent structure; of several structures, the one nearest to all repeats."""
    counts = Counter(structures)
    most = max(counts.values())
    first = {structure: at for at, structure in reversed(list(enumerate(structures))) if counts[structure] == most}
    candidates = [(repeats[at], structures[at]) for at in sorted(first.values())[:_CANDIDATES]]
    labels = [repeat.labels for repeat in repeats] if len(candidates) > 1 else []
    return min(candidates, key=lambda one: _distances(one[0].labels, labels))


def _distances(own: Counter[str], others: Sequence[Counter[str]]) -> int:
    return sum((own - other).total() + (other - own).total() for other in others)


def list_layers(layers: Sequence[Layer]) -> str:
    """Return layers in words, in their order; equal neighbours are counted."""
    runs = ((label, len(list(run))) for label, run in itertools.groupby(layer.label for layer in layers))
    return ", ".join(f"{count} {label}" if count > 1 else label for label, count in runs)


def describe_block(block: Block) -> str:
    """Return a block's layers in words, in their order, or counted where there are many, those with weights first."""
    text = list_layers(block.layers) if len(block.layers) <= LISTED else _nested(block) or _summed(block)
    return f"residual: {text}" if _is_residual(block) else text


def _summed(block: Block) -> str:
    """Return the most frequent layers of a block with their counts, those with weights first."""
    weighted = {layer.label for layer in block.layers if layer.parameters}
    counts = sorted(block.labels.most_common(), key=lambda item: item[0] not in weighted)
    rest = sum(count for _, count in counts[_KINDS:])
    return _counted(Counter(dict(counts[:_KINDS]))) + (f", and {rest} more layers" if rest else "")


def _nested(block: Block) -> str:
    """Return a block of few parts as the scope inside that repeats, and the layers around; '' where none does."""
    inner = [child for child in block.children.values() if _FEWEST < len(child.layers) <= LISTED]
    usual = max(inner, key=lambda child: sum(similar(child.labels, other.labels) for other in inner), default=None)
    alike = [child for child in inner if usual is not None and similar(usual.labels, child.labels)]
    inside = {id(layer) for child in alike for layer in child.layers}
    around = [layer for layer in block.layers if id(layer) not in inside]
    if usual is None or len(alike) < 2 or len(around) > LISTED:
        return ""
    said = f"{len(alike)} blocks like {usual.name.rpartition('/')[2]} ({list_layers(usual.layers)})"
    return f"{said}, {list_layers(around)}" if around else said


SIMILAR = 0.6
"""Two blocks count as repeats if they share this part of their layers, counted as multisets."""


def similar(labels: Counter[str], other: Counter[str]) -> bool:
    """Tell whether two blocks with these labels, of more than two layers each, share most of them."""
    size, other_size = labels.total(), other.total()
    if size <= 2 or other_size <= 2:
        return False
    shared = (labels & other).total()
    return shared >= SIMILAR * (size + other_size - shared)


def _is_residual(block: Block) -> bool:
    """Tell whether the block adds what it reads to what it computes."""
    outside = block.inputs()
    adds = [layer for layer in block.layers if layer.kind == "add" and len(layer.inputs) > 1]
    return any(source in outside for layer in adds for source in layer.inputs)


def _values(word: str, repeats: Sequence[Block], sides: Callable[[Layer], tuple[int, ...]]) -> list[str]:
    """Return a sentence with the repeats' strides or dilations, if they differ."""
    found: dict[str, list[str]] = {}
    for repeat in repeats:
        found.setdefault(_text(repeat, sides), []).append(repeat.name)
    parts = [_sentence(names, ("has", f"{word} {value}")) for value, names in found.items() if value]
    return [", ".join(parts)] if len(found) > 1 else []


def _shared(word: str, repeats: Sequence[Block], sides: Callable[[Layer], tuple[int, ...]]) -> str:
    """Return the stride or dilation that all repeats have, or ''."""
    values = {_text(repeat, sides) for repeat in repeats}
    return f"{word} {value}" if len(values) == 1 and (value := values.pop()) else ""


def _text(repeat: Block, sides: Callable[[Layer], tuple[int, ...]]) -> str:
    values = dict.fromkeys(_sides(sides(layer)) for layer in repeat.layers if any(n > 1 for n in sides(layer)))
    return " and ".join(values)


def _sides(sides: tuple[int, ...]) -> str:
    return str(sides[0]) if len(set(sides)) == 1 else size_text(sides)


def _difference(repeat: Block, usual: Block, same_structure: bool) -> tuple[str, ...]:
    """Return how a repeat differs, as pairs of a verb and its object; empty if it does not."""
    more, less = repeat.labels - usual.labels, usual.labels - repeat.labels
    words: tuple[str, ...] = ("has", _counted(more)) if more else ()
    words += ("lacks", _counted(less)) if less else ()
    if not words and not same_structure:
        return ("is", "wired differently")
    return words


_PLURALS = {"has": "have", "lacks": "lack", "is": "are"}


def _sentence(names: Sequence[str], words: Sequence[str]) -> str:
    pairs = zip(words[::2], words[1::2], strict=True)
    verbs = (f"{_PLURALS[verb] if len(names) > 1 else verb} {rest}" for verb, rest in pairs)
    return f"{', '.join(tails(names))} {' and '.join(verbs)}"


def _counted(labels: Counter[str]) -> str:
    return ", ".join(f"{count} {label}" if count > 1 else label for label, count in labels.items())
