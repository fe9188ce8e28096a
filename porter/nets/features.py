"""Feature networks: a network without its classifier, which returns the last map at each stride.

timm's ``create_model(features_only=True)`` returns the same, for detectors and segmenters. The maps are data: the
table's endpoints, and their shapes in the architecture's golden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from porter.catalog.goldens import recorded
from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.graph.functions import build_graph
from porter.graph.shape_inference import infer_shapes
from porter.mapping.original_graph import original_graph
from porter.mapping.rows import Endpoint
from porter.mapping.table import Table


@dataclass(frozen=True)
class FeatureInfo:
    """The maps of a feature network, under the names of timm's FeatureInfo.

    ``info`` has one entry per map of the network, the largest map first: ``index``, ``num_chs`` (channels),
    ``reduction`` (the input's side over the map's), ``module`` (the layer that computes it) and ``endpoint`` (the
    table's name).
    ``out_indices`` are the positions in ``info`` of the maps that the network returns. Every method returns the values
    of these maps, or those at ``idx``: one position, or several.
    """

    info: tuple[dict[str, Any], ...]
    out_indices: tuple[int, ...]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return the number of channels of each map."""
        return self._get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return each map's stride: 4 for a quarter of the input's height and width."""
        return self._get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return the name of the layer that computes each map."""
        return self._get("module", idx)

    def endpoint(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return the name of each map in ``porter.endpoints``."""
        return self._get("endpoint", idx)

    def get_dicts(self, keys: Sequence[str] | None = None, idx: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Return the entries of the maps, with all ``keys`` or only these."""
        entries = [self.info[at] for at in (self.out_indices if idx is None else idx)]
        return [{key: entry[key] for key in (entry if keys is None else keys)} for entry in entries]

    def _get(self, key: str, idx: int | Sequence[int] | None) -> Any:
        if isinstance(idx, int):
            return self.info[idx][key]
        return [self.info[at][key] for at in (self.out_indices if idx is None else idx)]


def feature_network(arch: Arch, framework: str, network: Any, out_indices: Sequence[int] | None) -> Any:
    """Return ``network``, built for ``arch`` in ``framework``, cut to the maps ``out_indices``; None returns all.

    The result has the attribute ``feature_info`` and returns a list of maps. Its layers are those of ``network``, so
    that names and weights stay.
    """
    maps = feature_maps(arch)
    chosen = _positions(arch, len(maps), out_indices)
    places = [endpoint.where[framework] for endpoint in maps.values()]
    module = import_module(f"porter.nets.features_{framework}")
    pairs = Table.of(arch).pairs(framework, framework)
    stem = {pair.target: pair.target_axes for pair in pairs if pair.stem}
    cut, channels = module.cut(network, places, chosen, arch.input_size, stem)
    cut.feature_info = FeatureInfo(
        tuple(
            {"index": at, "num_chs": count, "reduction": reduction, "module": place, "endpoint": endpoint.name}
            for at, ((reduction, endpoint), place, count) in enumerate(zip(maps.items(), places, channels, strict=True))
        ),
        chosen,
    )
    return cut


def feature_maps(arch: Arch) -> dict[int, Endpoint]:
    """Return ``{stride: its last endpoint}``, the largest map first. Every framework of ``arch`` computes these.

    Layers inside of a block that is an endpoint itself do not count: detectors read the outputs of blocks. A stride is
    the input's side over the map's, to the nearest power of two: VALID convolutions make maps a little smaller. A map
    of 1x1 is pooled, and no feature map.
    """
    table = Table.of(arch)
    size, shapes = recorded(arch.golden).input_size, _endpoint_shapes(arch, table)
    maps, inner = {}, _inside_blocks([endpoint.name for endpoint in table.endpoints])
    inner |= {endpoint.name for endpoint in table.endpoints if endpoint.inner}
    for endpoint in table.endpoints:
        shape = shapes.get(endpoint.name, ())
        is_map = endpoint.name not in inner and len(shape) == 3 and shape[0] > 1
        if is_map and arch.builders.keys() <= endpoint.where.keys():
            maps[2 ** round(math.log2(size / shape[0]))] = endpoint
    return dict(sorted(maps.items()))


def _inside_blocks(names: Sequence[str]) -> set[str]:
    """Return the names in the scope of another one that are no scopes of others: the layers inside of blocks."""
    blocks = {scope for name in names for scope in _scopes(name)} & set(names)
    return {name for name in names if name not in blocks and not blocks.isdisjoint(_scopes(name))}


def _scopes(name: str) -> list[str]:
    """Return the scopes that a name is in: a and a/b of a/b/c."""
    parts = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _endpoint_shapes(arch: Arch, table: Table) -> dict[str, tuple[int, ...]]:
    """Return the endpoints' shapes without the batch; those that slim does not name follow from the golden's graph."""
    shapes = recorded(arch.golden).endpoint_shapes if arch.chain is None else {}
    others = {one.name: one.where["tf"] for one in table.endpoints if one.name not in shapes and "tf" in one.where}
    if others:
        found = infer_shapes(build_graph(original_graph(arch)))
        for name, op in others.items():
            shape = found.of(op)
            if shape is not None and None not in shape:
                shapes[name] = tuple(side for side in shape[1:] if side is not None)
    return shapes


def _positions(arch: Arch, count: int, out_indices: Sequence[int] | None) -> tuple[int, ...]:
    if out_indices is None:
        return tuple(range(count))
    if isinstance(out_indices, int | str) or not all(isinstance(at, int) for at in out_indices) or not out_indices:
        raise PorterError(f"`out_indices` must list integers, got {out_indices!r}: choose from 0 to {count - 1}")
    if wrong := [at for at in out_indices if not -count <= at < count]:
        raise PorterError(
            f"`out_indices` has {wrong[0]}, but {arch.name} has {count} feature maps: choose from 0 to {count - 1}"
        )
    return tuple(at % count for at in out_indices)
