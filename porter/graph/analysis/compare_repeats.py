"""compare_repeats: sentences that say how the repeats of a block differ."""

from __future__ import annotations

from collections import Counter

from porter.graph.analysis.blocks import Block, Group, tails


def compare_repeats(group: Group) -> None:
    """Set ``group.same`` and ``group.differences``: which repeats differ from the most frequent structure, and how."""
    repeats = group.repeats()
    structures = [repeat.structure() for repeat in repeats]
    ((most_frequent, _), *others) = Counter(structures).most_common()
    group.same = not others
    usual = repeats[structures.index(most_frequent)]
    unusual: dict[str, list[str]] = {}
    for repeat, structure in zip(repeats, structures, strict=True):
        if difference := _difference(repeat, usual, structure == most_frequent):
            unusual.setdefault(difference, []).append(repeat.name)
    group.differences += [f"{', '.join(tails(names))} {difference}" for difference, names in unusual.items()]
    strided = [repeat.name for repeat in repeats if any(side > 1 for layer in repeat.layers for side in layer.strides)]
    described = {name for names in unusual.values() for name in names}
    if strided and len(strided) < len(repeats) and not described >= set(strided):
        group.differences.append(f"{', '.join(tails(strided))} {'has' if len(strided) == 1 else 'have'} a stride")


def _difference(repeat: Block, usual: Block, same_structure: bool) -> str:
    more, less = repeat.labels - usual.labels, usual.labels - repeat.labels
    words = [f"has {_counted(more)}"] if more else []
    words += [f"lacks {_counted(less)}"] if less else []
    if not words and not same_structure:
        return "is wired differently"
    return " and ".join(words)


def _counted(labels: Counter[str]) -> str:
    return ", ".join(f"{count} {label}" if count > 1 else label for label, count in labels.items())
