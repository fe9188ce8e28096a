"""The comparison of two files' weights as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from porter.errors import plural
from porter.render.text import fact, print_line, printable, show_table
from porter.verbs.inspect_weights import (
    ALONE,
    AVERAGE,
    BOTH,
    DIFFERS,
    FOLDED,
    ONLY_FIRST,
    ONLY_SECOND,
    QUANTIZED,
    RAW,
    SAME,
    SHAPE,
    Tensor,
    WeightsDifference,
)

MOST_TENSORS = 20
_REMARKS = {
    DIFFERS: "differ",
    SHAPE: "have another shape",
    QUANTIZED: "are quantized to integers, which tells nothing about the values before",
    FOLDED: "are kernels into which a batch norm may be folded, so that their own values are unknown",
    ONLY_FIRST: "are only in a",
    ONLY_SECOND: "are only in b",
}


def show_weights(out: Console, result: WeightsDifference) -> None:
    """Print which values two files, a and b, share: the answer first, then the tensors that differ."""
    for label, path, kind, prefix in zip(
        "ab", (result.first, result.second), result.formats, result.prefixes, strict=True
    ):
        scope = f", whose names begin with {prefix}" if prefix else ""
        print_line(out, printable(f"{label} = {path} ({kind}){scope}"))
    print_line(out, printable(answer(result)))
    for name, value in _remarks(result):
        print_line(out, fact(name, value))
    rest = [tensor for tensor in result.tensors if tensor.result not in SAME]
    if rest:
        out.print()
        _show_tensors(out, rest)


def answer(result: WeightsDifference) -> str:
    """Return one sentence: how many of the variables that both files have are the raw values or the averages."""
    shared, counts = len(result.shared), result.counts
    raw, average, both, alone = (counts.get(kind, 0) for kind in (RAW, AVERAGE, BOTH, ALONE))
    same = raw + average + both + alone
    if result.averaged is None:
        largest = _apart("they", result.largest("raw")) if same < shared else ""
        return f"{same:,} of {shared:,} have the same values{largest}"
    file = _name(result.averaged)
    if same == shared and not (raw and average):
        some = f"{shared:,} of {shared:,} are the"
        if average:
            return f"{some} moving averages of {file}{_apart('raw values', result.largest('raw'))}"
        if raw:
            return f"{some} raw values of {file}{_apart('averages', result.largest('average'))}"
        return f"{some} values of {file}, whose raw values and averages are the same"
    parts = [
        (raw, "the raw value"),
        (average, "the moving average"),
        (both + alone, "both"),
        (shared - same, "neither"),
    ]
    listed = ", ".join(f"{count:,} {what}" for count, what in parts if count)
    return f"of {shared:,} variables in both files, {file} has {listed}"


def _name(path: Path) -> str:
    return path.name or str(path)


def _apart(what: str, largest: float | None) -> str:
    return "" if largest is None else f" ({what} differ by up to {largest:.3g})"


def _remarks(result: WeightsDifference) -> Iterator[tuple[str, str]]:
    if result.by_value:
        yield "matched", "by their values, because no names are the same: a tool renamed the constants"
    for dtype in dict.fromkeys(tensor.rounded for tensor in result.tensors if tensor.rounded):
        count = sum(tensor.rounded == dtype for tensor in result.tensors)
        yield "rounded", f"{count:,} of these are rounded to {dtype}"
    for kind, remark in _REMARKS.items():
        if kind in result.counts:
            yield "besides", f"{result.counts[kind]:,} {remark}"
    if result.uncompared:
        yield "skipped", ", ".join(plural(count, role) for role, count in result.uncompared.items())


def _show_tensors(out: Console, tensors: Sequence[Tensor]) -> None:
    rows: list[Sequence[str] | str] = []
    for tensor in tensors[:MOST_TENSORS]:
        shapes = " and ".join("x".join(map(str, shape)) or "scalar" for shape in tensor.shapes)
        rows.append([printable(tensor.name), shapes, tensor.result, _number(tensor.raw), _number(tensor.average)])
    if len(tensors) > MOST_TENSORS:
        rows.append(f"… and {len(tensors) - MOST_TENSORS:,} more; the JSON output lists all")
    show_table(out, ("tensor", "shape", "", "from raw", "from average"), rows, (3, 4))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
