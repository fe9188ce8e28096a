"""Where a file has the table's names: as they are, behind a prefix, or as Keras keeps them, without scopes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from porter.errors import MappingError
from porter.formats.roles import base_name, has_variable
from porter.mapping.table import Table


def resolve_names(
    stored: Collection[str], names: Sequence[str], dialect: str, prefix: str | None = None
) -> tuple[dict[str, str], str]:
    """Return ``{table's name: stored name}`` and the prefix that stands before all of them.

    Without ``prefix`` it is the one that most of ``names`` stand behind. The stored name of a variable of which
    only the average is there is the variable's own. Raises MappingError where all names stand behind two prefixes.
    """
    if dialect == "keras":
        if prefix:
            raise MappingError("Keras' files have no prefixes: leave --prefix out")
        return stored_names(stored, names, dialect), ""
    if prefix is None:
        prefix = find_prefix(stored, names)
    elif not any(has_variable(prefix + name, stored) for name in names):
        found = ", ".join(repr(other) for other, tails in _behind(stored, names).items() if tails) or "nothing"
        raise MappingError(f"none of the model's names stands behind {prefix!r}: they stand behind {found}")
    return stored_names(stored, names, dialect, prefix), prefix


def stored_names(stored: Collection[str], names: Sequence[str], dialect: str, prefix: str = "") -> dict[str, str]:
    """Return ``{table's name: stored name}`` for a ``prefix`` that is known."""
    if dialect == "keras":
        return _scopeless(stored, names)
    return {name: prefix + name for name in names}


def find_prefix(stored: Collection[str], names: Sequence[str]) -> str:
    """Return what stands before most of the table's ``names``, ``""`` where nothing does."""
    behind = _behind(stored, names)
    whole = [repr(prefix) for prefix, tails in behind.items() if len(tails) == len(names)]
    if len(whole) > 1:
        raise MappingError(
            f"the model is there {len(whole)} times, behind {', '.join(whole)}: "
            "choose with --prefix and leave the rest out with --ignore"
        )
    return max(behind, key=lambda prefix: len(behind[prefix]))


def _behind(stored: Collection[str], names: Sequence[str]) -> dict[str, set[str]]:
    """Return which of ``names`` stand behind each prefix in ``stored``; ``""`` is the first."""
    wanted = set(names)
    behind: dict[str, set[str]] = {"": set()}
    for name in map(base_name, stored):
        parts = name.split("/")
        for at in range(len(parts)):
            tail = "/".join(parts[at:])
            if tail in wanted:
                behind.setdefault(name.removesuffix(tail), set()).add(tail)
    return behind


def _scopeless(stored: Collection[str], names: Sequence[str]) -> dict[str, str]:
    """Match by layer and leaf: Keras' files drop a layer's scopes, and layer names are unique without them."""

    def short(name: str) -> str:
        return "/".join(name.split("/")[-2:])

    by_layer = {short(name): name for name in stored}
    # Keras 2 calls a depthwise convolution's kernel so.
    by_layer |= {
        name.removesuffix("depthwise_kernel") + "kernel": full
        for name, full in by_layer.items()
        if name.endswith("/depthwise_kernel")
    }
    return {name: by_layer.get(short(name), name) for name in names}


def layer_name(path: str) -> str:
    """Return the name of the Keras layer at ``path``: the last part, which is unique in a network."""
    return path.rpartition("/")[2]


def why_none(stored: Collection[str], table: Table, dialect: str, model: str) -> str:
    """Say why a file has none of the names of ``model`` in ``dialect``: another dialect, or another model."""
    for other in table.dialects:
        names = [pair.source for pair in table.pairs(other, other)]
        if other != dialect and any(
            has_variable(name, stored) for name in resolve_names(stored, names, other)[0].values()
        ):
            return f"has the names of the dialect {other}, not {dialect}'s: port it with --from {other} --to …"
    return f"has none of the tensors of {model}: name the model that it belongs to"
