"""The report's two plots as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from porter.parity.compare import EXACT_BOUND, Report, Row
from porter.parity.result import Verification

FLOOR = 1e-17
"""Where the log scale shows a difference of zero."""
POINTS = 3000
"""The most logits drawn per candidate; more are sampled."""
_WORST = 200
"""The logits with the largest differences, which are always drawn."""
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 340, 58, 12, 14, 108


@dataclass(frozen=True)
class _Line:
    """One curve: a difference per endpoint."""

    title: str
    style: str
    values: dict[str, float]


@dataclass(frozen=True)
class _Axes:
    """The depth plot's scales: endpoints from left to right, powers of ten from ``low`` to ``high``."""

    names: Sequence[str]
    low: int
    high: int

    def x(self, name: str) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (self.names.index(name) + 0.5) / len(self.names)

    def y(self, value: float) -> float:
        """Return the place of a value; NaN and infinity go to the top."""
        power = math.log10(min(max(value, FLOOR), 10.0**self.high)) if math.isfinite(value) else self.high
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (self.high - power) / (self.high - self.low)


def depth_plot(result: Verification) -> str:
    """Return the difference at each endpoint over the depth, in standard deviations on a log scale, as HTML.

    It draws float64 and float32 of each candidate, the bound of float64, and the noise floor: the distance of the
    reference's own float32 run from its float64 run.
    """
    reports = list(result.ports.items())
    lines = [line for n, (port, report) in enumerate(reports) for line in _lines(result.name_of(port), n, report)]
    noise = next((found for _, report in reports if (found := _by_name(report.rows, "noise"))), {})
    values = [value for line in lines for value in line.values.values()] + list(noise.values()) + [EXACT_BOUND]
    finite = [max(value, FLOOR) for value in values if math.isfinite(value)]
    low, high = math.floor(math.log10(min(finite))), math.ceil(math.log10(max(finite)))
    axes = _Axes([row.endpoint for row in reports[0][1].rows], low, max(high, low + 1))
    parts = [
        *_grid(axes),
        *(_noise_floor(axes, noise) if noise else ()),
        *(part for line in lines for part in _curve(axes, line)),
    ]
    legend = [f'<span class="key {line.style}">{escape(line.title)}</span>' for line in lines]
    legend.append('<span class="key bound">bound of float64</span>')
    if noise:
        legend.append('<span class="key noise">noise floor: the reference\'s own float32</span>')
    return (
        f'<div class="scroll"><svg class="plot deep" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Difference by depth, on a log scale">{"".join(parts)}</svg></div>'
        f'<p class="legend">{"".join(legend)}</p>'
    )


def _lines(name: str, number: int, report: Report) -> list[_Line]:
    """Return the curves of one candidate: float64 if any endpoint has it, and float32."""
    single = f"s{number} single"
    if any(row.exact is not None for row in report.rows):
        return [
            _Line(f"{name}, float64", f"s{number}", _by_name(report.rows, "exact")),
            _Line(f"{name}, float32", single, _by_name(report.rows, "single")),
        ]
    return [_Line(f"{name}, float32", single, _by_name(report.rows, "largest"))]


def _by_name(rows: Iterable[Row], field: str) -> dict[str, float]:
    return {row.endpoint: value for row in rows if (value := getattr(row, field)) is not None}


def _grid(axes: _Axes) -> list[str]:
    """Return the scale's lines, the endpoints' names and the bound."""
    parts = []
    for power in range(axes.low, axes.high + 1, max(1, (axes.high - axes.low) // 8)):
        at = axes.y(10.0**power)
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(
            f'<text x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">'
            f'10<tspan dy="-5" font-size="9">{power}</tspan></text>'
        )
    every = max(1, -(-len(axes.names) // 32))
    for name in axes.names[::every]:
        place = f"translate({axes.x(name) + 3:.1f} {_HEIGHT - _BOTTOM + 12}) rotate(-60)"
        parts.append(f'<text class="small" text-anchor="end" transform="{place}">{escape(name)}</text>')
    return [*parts, f'<path class="bound" d="M{_LEFT} {axes.y(EXACT_BOUND):.1f}H{_WIDTH - _RIGHT}"/>']


def _noise_floor(axes: _Axes, noise: dict[str, float]) -> list[str]:
    floor = " ".join(f"{axes.x(name):.1f} {axes.y(value):.1f}" for name, value in noise.items())
    first, last = (axes.x(list(noise)[at]) for at in (0, -1))
    ground = _HEIGHT - _BOTTOM
    return [
        f'<path class="floor" d="M{first:.1f} {ground} L{floor} L{last:.1f} {ground}Z"/>',
        f'<path class="noise" d="M{floor}"/>',
    ]


def _curve(axes: _Axes, line: _Line) -> list[str]:
    if not line.values:
        return []
    places = {name: f"{axes.x(name):.1f} {axes.y(value):.1f}" for name, value in line.values.items()}
    parts = [f'<path class="line {line.style}" d="M{" ".join(places.values())}"/>']
    for name, value in line.values.items():
        parts.append(
            f'<circle class="{line.style}" cx="{axes.x(name):.1f}" cy="{axes.y(value):.1f}" r="2.6">'
            f"<title>{escape(name)}: {value:.1e} ({escape(line.title)})</title></circle>"
        )
    return parts


def logit_plot(want: np.ndarray, got: np.ndarray, reference: str, candidate: str) -> str:
    """Return a scatter plot of the candidate's logits ``got`` over the reference's ``want``, as SVG.

    The arrays are (images, classes) and may differ by a background class, which comes first. Equal logits make a
    straight line. Returns '' if no logit is finite on both sides.
    """
    theirs, ours = _sampled(want, got)
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
        place = at(value)
        ticks.append(f'<text x="{margin + place:.1f}" y="{size - margin + 16}" text-anchor="middle">{value:g}</text>')
        ticks.append(f'<text x="{margin - 6}" y="{size - margin - place + 4:.1f}" text-anchor="end">{value:g}</text>')
    corner = f"M{margin} 10V{size - margin}H{size - 10}"
    return (
        f'<svg class="plot square" viewBox="0 0 {size} {size}" role="img" '
        f'aria-label="Logits of {escape(candidate)} over those of {escape(reference)}">'
        f'<path class="grid" d="{corner}"/><path class="same" d="M{margin} {size - margin}L{size - 10} 10"/>'
        f'<path class="dots" d="{dots}"/>{"".join(ticks)}'
        f'<text x="{size / 2 + margin / 2}" y="{size - 8}" text-anchor="middle">{escape(reference)}</text>'
        f'<text transform="translate(11 {size / 2 - margin / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(candidate)}</text></svg>"
    )


def _sampled(want: np.ndarray, got: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides' finite logits of shared classes in one row each; of too many, the worst and every nth."""
    shared = min(want.shape[-1], got.shape[-1])
    theirs = np.asarray(want[..., -shared:], np.float64).ravel()
    ours = np.asarray(got[..., -shared:], np.float64).ravel()
    finite = np.isfinite(ours) & np.isfinite(theirs)
    theirs, ours = theirs[finite], ours[finite]
    if len(ours) > POINTS:
        worst = np.argsort(-np.abs(ours - theirs))[:_WORST]
        chosen = np.unique(np.concatenate([worst, np.arange(0, len(ours), len(ours) // POINTS + 1)]))
        theirs, ours = theirs[chosen], ours[chosen]
    return theirs, ours


def _round_values(low: float, high: float) -> list[float]:
    """Return three to seven round numbers between ``low`` and ``high``."""
    step = 10.0 ** math.floor(math.log10(high - low))
    step *= next(factor for factor in (0.2, 0.5, 1.0, 2.0) if (high - low) / (step * factor) < 7)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(number * step, 10) for number in range(first, last + 1)]
