"""The report's two plots, as inline SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np

from porter.parity.compare import EXACT_BOUND, Row
from porter.parity.result import Verification

FLOOR = 1e-17
"""Where a difference of zero, which has no logarithm, is drawn."""
POINTS = 3000
"""Logits drawn of each port: all of three pictures, and a sample of more."""


def depth_plot(result: Verification) -> str:
    """Return the difference at each endpoint, in deviations on a log scale, over the depth.

    A line each for float64 and float32 of every port, the bound of float64, and the noise floor: how far the
    original's own float32 run is from its float64.
    """
    reports = list(result.ports.items())
    names = [row.endpoint for row in reports[0][1].rows]
    width, height, left, bottom, top = 720, 340, 58, 108, 14
    drawn: list[tuple[str, str, dict[str, float]]] = []
    noise: dict[str, float] = {}
    for number, (port, report) in enumerate(reports):
        noise = noise or _by_name(report.rows, "noise")
        if any(row.exact is not None for row in report.rows):
            drawn.append((f"{result.name_of(port)}, float64", f"s{number}", _by_name(report.rows, "exact")))
            drawn.append((f"{result.name_of(port)}, float32", f"s{number} single", _by_name(report.rows, "single")))
        else:
            drawn.append((f"{result.name_of(port)}, float32", f"s{number} single", _by_name(report.rows, "largest")))
    values = [value for _, _, line in drawn for value in line.values()] + list(noise.values()) + [EXACT_BOUND]
    finite = [max(value, FLOOR) for value in values if np.isfinite(value)]
    low, high = np.floor(np.log10(min(finite))), np.ceil(np.log10(max(finite)))
    high = max(high, low + 1)

    def x(name: str) -> float:
        return left + (width - left - 12) * (names.index(name) + 0.5) / len(names)

    def y(value: float) -> float:
        power = np.log10(min(max(value, FLOOR), 10.0**high))
        return float(top + (height - top - bottom) * (high - power) / (high - low))

    parts = [
        f'<div class="scroll"><svg class="plot deep" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Difference by depth, on a log scale">'
    ]
    step = max(1, int((high - low) // 8))
    for power in range(int(low), int(high) + 1, step):
        at = y(10.0**power)
        parts.append(f'<path class="grid" d="M{left} {at:.1f}H{width - 12}"/>')
        parts.append(
            f'<text x="{left - 7}" y="{at + 4:.1f}" text-anchor="end">'
            f'10<tspan dy="-5" font-size="9">{power}</tspan></text>'
        )
    every = max(1, -(-len(names) // 32))
    for name in names[::every]:
        at = x(name)
        parts.append(
            '<text class="small" text-anchor="end" '
            f'transform="translate({at + 3:.1f} {height - bottom + 12}) rotate(-60)">{escape(name)}</text>'
        )
    parts.append(f'<path class="bound" d="M{left} {y(EXACT_BOUND):.1f}H{width - 12}"/>')
    if noise:
        floor = " ".join(f"{x(name):.1f} {y(value):.1f}" for name, value in noise.items())
        first, last = x(next(iter(noise))), x(list(noise)[-1])
        ground = height - bottom
        parts.append(f'<path class="floor" d="M{first:.1f} {ground} L{floor} L{last:.1f} {ground}Z"/>')
        parts.append(f'<path class="noise" d="M{floor}"/>')
    for title, style, line in drawn:
        points = [(x(name), y(value) if np.isfinite(value) else y(10.0**high)) for name, value in line.items()]
        if points:
            parts.append(f'<path class="line {style}" d="M{" ".join(f"{a:.1f} {b:.1f}" for a, b in points)}"/>')
        for (a, b), (name, value) in zip(points, line.items(), strict=True):
            parts.append(
                f'<circle class="{style}" cx="{a:.1f}" cy="{b:.1f}" r="2.6">'
                f"<title>{escape(name)}: {value:.1e} ({escape(title)})</title></circle>"
            )
    parts.append("</svg></div>")
    legend = [f'<span class="key {style}">{escape(title)}</span>' for title, style, _ in drawn]
    legend.append('<span class="key bound">bound of float64</span>')
    if noise:
        legend.append('<span class="key noise">noise floor: the original\'s own float32</span>')
    return "".join(parts) + f'<p class="legend">{"".join(legend)}</p>'


def _by_name(rows: Iterable[Row], field: str) -> dict[str, float]:
    return {row.endpoint: value for row in rows if (value := getattr(row, field)) is not None}


def _round_values(low: float, high: float) -> list[float]:
    """Return three to seven round numbers between ``low`` and ``high``."""
    step = 10.0 ** np.floor(np.log10(high - low))
    step *= next(factor for factor in (0.2, 0.5, 1.0, 2.0) if (high - low) / (step * factor) < 7)
    first, last = int(np.ceil(low / step)), int(np.floor(high / step))
    return [round(number * step, 10) for number in range(first, last + 1)]


def logit_plot(want: np.ndarray, got: np.ndarray, left: str, right: str) -> str:
    """Return each logit of one side over the other's; parity is a straight line."""
    shared = min(want.shape[-1], got.shape[-1])  # a background class on one side comes first
    ours = np.asarray(got[..., -shared:], np.float64).ravel()
    theirs = np.asarray(want[..., -shared:], np.float64).ravel()
    finite = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = ours[finite], theirs[finite]
    if len(ours) > POINTS:
        chosen = np.unique(
            np.concatenate([np.argsort(-np.abs(ours - theirs))[:200], np.arange(0, len(ours), len(ours) // POINTS + 1)])
        )
        ours, theirs = ours[chosen], theirs[chosen]
    if not len(ours):
        return ""
    size, margin = 340, 54
    low, high = float(min(ours.min(), theirs.min())), float(max(ours.max(), theirs.max()))
    high = high if high > low else low + 1

    def at(value: float) -> float:
        return (size - margin - 10) * (value - low) / (high - low)

    dots = "".join(f"M{margin + at(t):.1f} {size - margin - at(o):.1f}h0" for t, o in zip(theirs, ours, strict=True))
    ticks = []
    for value in _round_values(low, high):
        place = at(float(value))
        ticks.append(f'<text x="{margin + place:.1f}" y="{size - margin + 16}" text-anchor="middle">{value:g}</text>')
        ticks.append(f'<text x="{margin - 6}" y="{size - margin - place + 4:.1f}" text-anchor="end">{value:g}</text>')
    corner = f"M{margin} 10V{size - margin}H{size - 10}"
    return (
        f'<svg class="plot square" viewBox="0 0 {size} {size}" role="img" '
        f'aria-label="Logits of {escape(right)} over those of {escape(left)}">'
        f'<path class="grid" d="{corner}"/><path class="same" d="M{margin} {size - margin}L{size - 10} 10"/>'
        f'<path class="dots" d="{dots}"/>{"".join(ticks)}'
        f'<text x="{size / 2 + margin / 2}" y="{size - 8}" text-anchor="middle">{escape(left)}</text>'
        f'<text transform="translate(11 {size / 2 - margin / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(right)}</text></svg>"
    )
