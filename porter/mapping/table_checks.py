"""Checks of a table: its axes and rows before they are expanded, its layers and endpoints after that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from porter.errors import MappingError, listing
from porter.mapping.dialects import Dialect
from porter.mapping.kinds import KINDS, Tensor
from porter.mapping.overlays import Entry, Overlay
from porter.mapping.relayout import parse_axes
from porter.mapping.rows import Endpoint, Layer
from porter.mapping.table_merge import Merged
from porter.mapping.table_types import ROW_KEYS, Row, refuse


def check_axes(merged: Merged) -> None:
    """Raise MappingError where an axis has columns of different lengths, or an overlay's columns do not fit it."""
    for axis, columns in merged.axes.items():
        lengths = {column: len(values) for column, values in columns.items()}
        if len(set(lengths.values())) != 1:
            refuse(merged.path, f"has an axis {axis} whose columns differ in length: {lengths}")
    for overlay in merged.overlays.values():
        for axis, columns in overlay.columns.items():
            if axis not in merged.axes:
                refuse(overlay.path, f"adds columns to the axis {axis!r}, which {merged.path.name} does not declare")
            both = sorted(columns.keys() & merged.axes[axis].keys())
            if both:
                refuse(overlay.path, f"repeats the columns {both} of the axis {axis}: give them names of their own")
            size = len(next(iter(merged.axes[axis].values())))
            wrong = {column: len(values) for column, values in columns.items() if len(values) != size}
            if wrong:
                refuse(overlay.path, f"has columns of the axis {axis} that differ in length from its {size}: {wrong}")


def check_rows(merged: Merged) -> None:
    """Raise MappingError where a row has unknown keys, kinds, parts, axes or dialects."""
    for section, rows in merged.rows.items():
        for row in rows:
            unknown = sorted(row.keys() - ROW_KEYS[section].keys() - set(merged.dialects))
            if unknown:
                refuse(merged.path, f"has a {section} with unknown keys {unknown}")
            if row.get("part") not in (None, *merged.parts):
                refuse(merged.path, f"has a {section} of the part {row['part']!r}, which [part] does not declare")
            _check_over(merged, row)
    for row in merged.rows["layer"]:
        for kind in (row.get("kind"), *row.get("kinds", {}).values()):
            if kind not in KINDS:
                refuse(merged.path, f"has a layer of unknown kind {kind!r}; the kinds are {', '.join(KINDS)}")
        if wrong := sorted(row.get("lacks", {}).keys() - set(merged.dialects)):
            refuse(merged.path, f"has a layer that lacks roles in {wrong}, which are not its dialects")
        if wrong := sorted(row.get("kinds", {}).keys() - set(merged.dialects)):
            refuse(merged.path, f"has a layer of another kind in {wrong}, which are not its dialects")
    if any("name" not in row for row in merged.rows["endpoint"]):
        refuse(merged.path, "has an endpoint without a name")
    if twice := _repeated([row["id"] for row in merged.rows["layer"] if "id" in row]):
        refuse(merged.path, f"has the id {twice[0]!r} more than once")
    for overlay in merged.overlays.values():
        _check_overlay(merged, overlay)


def _check_over(merged: Merged, row: Row) -> None:
    over = row.get("over", [])
    for axis in over:
        if axis not in merged.axes:
            refuse(merged.path, f"goes over the axis {axis!r}, which it does not declare")
    own = [column for axis in over for column in merged.axes[axis]]
    _check_shared(merged.path, own)
    for overlay in merged.overlays.values():
        _check_shared(overlay.path, own + [column for axis in over for column in overlay.columns.get(axis, {})])


def _check_shared(path: Path, columns: Sequence[str]) -> None:
    twice = _repeated(columns)
    if twice:
        refuse(path, f"multiplies axes that share the columns {twice}")


def _check_overlay(merged: Merged, overlay: Overlay) -> None:
    """Check that an overlay names every row, but for whole optional parts, and nothing else."""
    rows, table = merged.rows["layer"], merged.path.name
    ids = Counter(merged.row_id(row) for row in rows)
    if overlay.alike not in (None, *merged.dialects):
        known = ", ".join(merged.dialects)
        refuse(overlay.path, f"is alike {overlay.alike!r}, which {table} has no columns for: choose from {known}")
    for word, given in (("is without", overlay.without), ("needs", overlay.needs)):
        if unknown := sorted(set(given) - merged.parts.keys()):
            refuse(overlay.path, f"{word} the part {unknown[0]!r}, which {table} does not declare")
    for row_id, entry in overlay.layers.items():
        if row_id not in ids:
            refuse(overlay.path, f"names the layer {row_id!r}, which is not a row of {table}:{listing(ids)}")
        if ids[row_id] > 1:
            refuse(overlay.path, f"names the layer {row_id!r}, which is {ids[row_id]} rows of {table}: give each an id")
        _check_entry(overlay, row_id, entry)
    parts = {merged.row_id(row): row.get("part") for row in rows}
    for row_id, entry in overlay.layers.items():
        if not entry.names and overlay.model_of(parts[row_id]) is None:
            refuse(overlay.path, f"has the layer {row_id} without a name")
    named = {row.get("part") for row in rows if merged.row_id(row) in overlay.layers} | {None}
    named |= set(overlay.needs)
    missing = [merged.row_id(row) for row in rows if row.get("part") in named and not overlay.alike]
    missing = [row_id for row_id in missing if row_id not in overlay.layers]
    if missing:
        refuse(overlay.path, f"has no name for these layers of {table}:{listing(missing)}")
    unknown = sorted(overlay.endpoints.keys() - {row["name"] for row in merged.rows["endpoint"]})
    if unknown:
        refuse(overlay.path, f"names the endpoint {unknown[0]!r}, which is not a row of {table}")


def check_leaves(merged: Merged, records: Mapping[str, Dialect]) -> None:
    """Raise MappingError where an overlay names leaves of unknown roles or kinds, or older ones that nothing reads."""
    for name, overlay in merged.overlays.items():
        leaves = overlay.record.get("leaves", {})
        of_kinds = {key: each for key, each in leaves.items() if isinstance(each, Mapping)}
        roles = {kind: {tensor.role for tensor in tensors} for kind, tensors in KINDS.items()}
        _refuse_unknown(overlay.path, "leaves of a kind", of_kinds, roles)
        _refuse_unknown(overlay.path, "leaves of a role", leaves.keys() - of_kinds.keys(), set().union(*roles.values()))
        for kind, own in of_kinds.items():
            _refuse_unknown(overlay.path, f"leaves of a {kind}'s role", own, roles[kind])
        older = overlay.record.get("older_leaves", {})
        if older and records[name].scoped:
            refuse(
                overlay.path,
                "has older_leaves, which only a dialect with scoped = false reads: list older names in [layer]",
            )
        known = {tensor.leaf(records[name], kind).name for kind, tensors in KINDS.items() for tensor in tensors}
        _refuse_unknown(overlay.path, "older_leaves of a leaf", older, known - {""})


def _refuse_unknown(path: Path, what: str, given: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(given) - set(known)):
        refuse(path, f"has {what} that does not exist, {unknown[0]!r}: choose from {', '.join(sorted(known))}")


def _check_entry(overlay: Overlay, row_id: str, entry: Entry) -> None:
    if entry.kind is not None and entry.kind not in KINDS:
        refuse(overlay.path, f"has the layer {row_id} of unknown kind {entry.kind!r}; the kinds are {', '.join(KINDS)}")


def check_layers(merged: Merged, records: Mapping[str, Dialect], layers: Sequence[Layer]) -> None:
    """Raise MappingError where a layer lacks a name, or a role that every dialect needs."""
    for layer in layers:
        missing = [dialect for dialect in merged.dialects if not all(layer.names[dialect] or [""])]
        if missing:
            refuse(merged.path, f"has a {layer.kind} layer without a name in {missing}")
        if layer.kinds or layer.lacks:
            _check_roles(merged, records, layer)
        if layer.foreground and not layer.head:
            refuse(merged.path, f"has the layer {layer.id} with foreground = true, but without head = true")
        if layer.head or layer.stem or layer.sized:
            _check_marks(merged, records, layer)


def _check_roles(merged: Merged, records: Mapping[str, Dialect], layer: Layer) -> None:
    """Check that a layer lacks only roles that it could have, and only those that have a fill."""
    roles = {name: set(layer.tensors(record)) for name, record in records.items() if name in layer.names}
    for dialect, lacking in layer.lacks.items():
        known = {tensor.role for tensor in KINDS[layer.kind_in(dialect)]}
        if unknown := sorted(set(lacking) - known):
            refuse(merged.file_of(dialect), f"says that {layer.id} lacks {unknown}: its roles are {sorted(known)}")
    every = set().union(*roles.values())
    for dialect, found in roles.items():
        for role in sorted(every - found):
            try:
                _tensor_of(layer, role).absent_value()
            except MappingError as error:
                refuse(merged.file_of(dialect), f"has the layer {layer.id} without {role} in {dialect}: {error}")


def _check_marks(merged: Merged, records: Mapping[str, Dialect], layer: Layer) -> None:
    """Check that the tensors of a layer have the axes that its marks name."""
    for dialect, record in records.items():
        axes = [parse_axes(named.axes) for named in layer.tensors(record).values()]
        where, what = merged.file_of(dialect), f"has the layer {layer.id} of the kind {layer.kind_in(dialect)}"
        if layer.head and not all("O" in each for each in axes):
            refuse(where, f"{what} with head = true, but its tensors have no axis O for the classes")
        if layer.stem and axes and not any("I" in each for each in axes):
            refuse(where, f"{what} with stem = true, but no tensor has an axis I for the images' channels")
    kernels = {named.axes for record in records.values() for named in layer.tensors(record).values()}
    if layer.sized and not any({"H", "W"} <= set(parse_axes(axes)) for axes in kernels):
        refuse(
            merged.path,
            f"has the layer {layer.id} of the kind {layer.kind} with sized = true, but without axes H and W",
        )


def _tensor_of(layer: Layer, role: str) -> Tensor:
    kinds = (layer.kind, *layer.kinds.values())
    return next(tensor for kind in kinds for tensor in KINDS[kind] if tensor.role == role)


def check_names(merged: Merged, records: Mapping[str, Dialect], layers: Sequence[Layer]) -> None:
    """Raise MappingError where two tensors of a dialect have one name, older spellings included.

    A dialect without scopes must tell its tensors apart by the last two parts of their names.
    """
    for dialect, record in records.items():
        names = [
            named.name
            for layer in layers
            for spelling in range(len(layer.names.get(dialect, ())))
            for named in layer.expand(record, spelling)
        ]
        _check_unique(merged.file_of(dialect), names, dialect)
        if not record.scoped and (twice := _repeated([record.unscoped(name) for name in dict.fromkeys(names)])):
            both = [name for name in names if record.unscoped(name) == twice[0]]
            refuse(
                merged.file_of(dialect),
                f"has {both[0]} and {both[1]}, which are both {twice[0]} in files of {dialect}, whose names have no "
                "scopes: rename a layer, or leave scoped = false out",
            )


def check_endpoints(path: Path, endpoints: Sequence[Endpoint]) -> None:
    """Raise MappingError unless names are unique, a head computes an endpoint, and softmaxes name endpoints."""
    names = [endpoint.name for endpoint in endpoints]
    _check_unique(path, names, "endpoint")
    if not any(endpoint.of_head and endpoint.part is None for endpoint in endpoints):
        refuse(path, "does not mark an endpoint with logits = true, or scores = true, besides those of optional parts")
    for endpoint in endpoints:
        if endpoint.softmax is not None and endpoint.softmax not in names:
            refuse(path, f"has {endpoint.name}, the softmax of {endpoint.softmax!r}, which is not an endpoint")


def _check_unique(path: Path, names: Sequence[str], what: str) -> None:
    twice = _repeated(names)
    if twice:
        refuse(path, f"has the {what} name {twice[0]!r} more than once")


def _repeated(words: Sequence[str]) -> list[str]:
    return sorted(word for word, count in Counter(words).items() if count > 1)
