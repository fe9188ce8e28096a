"""The values of models' open placeholders: chosen by a caller, or told by a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from porter.catalog.models import Arch, Block, all_blocks, blocks_of, find_arch, of_values
from porter.errors import PorterError


def varied(arch: Arch, **values: Any) -> Arch:
    """Return the model like ``arch`` with other ``values`` of open placeholders.

    Raises PorterError where the model has no such placeholder, or cannot have the value.
    """
    given = {key: value for key, value in values.items() if value is not None}
    if not given:
        return arch
    for block, own in blocks_of(arch):
        if given.keys() <= set(block.open):
            name = block.record({**own, **given})["name"]
            return find_arch(name)
    unknown = next(iter(given))
    raise PorterError(f"{arch.name} has no number of {unknown} to choose: leave `{unknown}` out")


def with_options(arch: Arch, options: Mapping[str, Any]) -> Arch:
    """Return the model that has these ``options`` of its builder, ``arch`` itself where its name says none of them."""
    for block, _ in blocks_of(arch):
        named = {str(text)[1:-1]: key for key, text in block.fields.get("options", {}).items()}
        return varied(arch, **{each: options[named[each]] for each in block.follows if named.get(each) in options})
    return arch


def follows(arch: Arch) -> Mapping[str, Mapping[str, Any]]:
    """Return the placeholders whose values a file tells, each with its rule: see porter/catalog/models.py."""
    return next((block.follows for block, _ in blocks_of(arch)), {})


def placeholders() -> dict[str, tuple[type, list[str]]]:
    """Return every open placeholder: its type, and the titles of the families' first models that have it."""
    found: dict[str, tuple[type, list[str]]] = {}
    for block in all_blocks():
        for key in block.open:
            _, titles = found.setdefault(key, (type(block.over[key][0]), []))
            titles.append(str(block.record(next(block.released()))["title"]))
    return found


def at_size(arch: Arch, size: int) -> Arch:
    """Return the model like ``arch`` for images of ``size``; ``arch`` itself where its name says no other size."""
    for block, own in blocks_of(arch):
        for placeholder in block.open:
            if block.fields.get("input_size") == f"{{{placeholder}}}":
                return of_values(block, {**own, placeholder: size})
    return arch


def widths(arch: Arch, values: Iterable[float]) -> Iterator[Arch]:
    """Yield the models like ``arch`` with another number in its name, for each of ``values`` and each open float.

    Left out are those that are wired in another way.
    """
    for block, own, placeholder in _open_floats(arch):
        for value in values:
            found = of_values(block, {**own, placeholder: value})
            if found.wired_as_base:
                yield found


def full_width(arch: Arch) -> Arch | None:
    """Return the released model whose channels the other widths of ``arch`` scale, None where it has none."""
    for block, own, placeholder in _open_floats(arch):
        return of_values(block, {**own, placeholder: block.over[placeholder][0]})
    return None


def _open_floats(arch: Arch) -> Iterator[tuple[Block, dict[str, Any], str]]:
    """Yield the blocks that ``arch`` is a model of, its values there, and each open placeholder of a float."""
    for block, own in blocks_of(arch):
        yield from ((block, own, each) for each in block.open if isinstance(own[each], float))
