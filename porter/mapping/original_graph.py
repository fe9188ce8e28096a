"""original_graph: the original's inference graph of a model, as recorded or made of the recorded graph's scopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from porter.catalog.goldens import recorded
from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.mapping.dialects import ORIGINAL
from porter.mapping.table import Table


def original_graph(arch: Arch, size: int | None = None, channels: int | None = None) -> Any:
    """Return the GraphDef of ``arch``, variables not frozen; ``size`` and ``channels`` as Recorded.load_graph has them.

    Where the number of cells is not the golden's, each cell is a copy of a cell of the golden that is wired alike.
    Raises PorterError where the golden has none.
    """
    from porter.graph.rewrite.scopes import with_scopes

    graph = recorded(arch.golden).load_graph(size, channels)
    if arch.chain is None:
        return graph
    scopes, chain = arch.chain
    base, layers, lacking = Table.load(arch.table), _layers(Table.of(arch)), set[str]()
    for new, old in chain:
        copied = {new + layer.removeprefix(old) for layer in _layers(base) if layer.startswith(f"{old}/")}
        lacking |= copied - layers
        if unknown := sorted(layer for layer in layers - copied if layer.startswith(f"{new}/")):
            raise PorterError(
                f"{arch.name} has the layer {unknown[0]}, and no layer of the recorded {arch.golden} is like it: "
                "verify it against its own graph"
            )
    return with_scopes(graph, scopes, chain, _outputs(base, scopes), lacking)


def _layers(table: Table) -> set[str]:
    """Return the original's names of the layers."""
    return {layer.names[ORIGINAL][0] for layer in table.layers if ORIGINAL in layer.names}


def _outputs(table: Table, scopes: Sequence[str]) -> list[str]:
    """Return the op of the endpoint before the first of ``scopes``, then that of the endpoint in each."""
    ops = [endpoint.where[ORIGINAL] for endpoint in table.endpoints if ORIGINAL in endpoint.where]
    first = next(at for at, op in enumerate(ops) if op.startswith(f"{scopes[0]}/"))
    return ops[first - 1 : first + len(scopes)]
