"""diagnose: guesses the cause of a difference between two activations from its pattern.

It looks at the first endpoint that diverges. Everything before agrees, so a single mistake shows its own pattern: a
factor for each channel, differences at the borders only, the same values in another order. The guess is a hint, not a
verdict, and None where no pattern shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

EPSILON = "a constant factor near 1 for each channel ({low:.6g} to {high:.6g}): a batch norm's epsilon"
FACTOR = "a constant factor of {factor:.6g} everywhere: a scale, or a divisor such as the size of a pool's window"
OFFSET = "a constant offset for each channel: a missing or misplaced bias, beta or moving mean"
NORM = "another scale and offset for each channel: swapped or misplaced gamma, beta, mean or variance of a batch norm"
PADDING = "the borders alone differ: padding"
POOL_BORDER = "the borders alone differ, and are smaller: an average pool that counts its padding"
POOL_FACTOR = "a constant factor of {factor:.6g} after a pool: padding that it counts (include-pad), or its window"
FIRST = (
    "differences everywhere from the first layer on: padding, the input's channels (BGR), or preprocessing done twice"
)
STRIDE = "differences everywhere where the map shrinks: padding (SAME puts the odd row and column last)"
POOL = "everything differs after a pool: its window, or whether it counts its padding (include-pad)"
ORDER = "the same values at other places: swapped axes or permuted channels"
TURNED = "height and width are swapped: an axis order"
BACKGROUND = "the classes are off by one: the background class"
ONE_CLASS = "only one class differs: its row of the classifier, such as a background class"
CAP = "values above {cap:g} pass: a plain ReLU in place of ReLU{cap:g}"
NO_ACTIVATION = "values below 0 pass: a missing activation"
EXTRA_ACTIVATION = "values below 0 are clipped: an extra activation"
NOT_FINITE = "values are not finite: a batch norm with negative variance, such as swapped mean and variance"
OTHER = "the values equal those of {name}: a skipped layer or swapped wires"
ROUNDED = "a difference as small as float32 rounding: epsilon, the weights or a step rounded to float32"
WEIGHTS = "a small difference everywhere from the first layer on: other weights, such as raw values, not averages (EMA)"
SKIPPED = "{names} before it {are} not run: a skipped layer"
KERNEL = "no pattern fits: another layer's weights, an axis order within a kernel, or another input (wiring)"
BRANCH = "only channels {low} to {high} of {channels} differ: the branch that computes them"

_AFFINE_RESIDUAL = 1e-3
"""The share of the difference that a fit may leave. A fault without factor and offset leaves nearly all of it."""


@dataclass(frozen=True)
class Sample:
    """One endpoint's values on both sides for some images, (images, values) each.

    ``shape`` is the activation's for one image, channels last. ``indices`` are the values' flat positions in it: all,
    or a golden's probes. ``exact`` tells whether the values are float64.
    """

    got: np.ndarray
    want: np.ndarray
    shape: tuple[int, ...]
    indices: np.ndarray
    exact: bool

    @classmethod
    def whole(cls, got: np.ndarray, want: np.ndarray) -> Sample:
        """Return a sample of two whole activations, images first."""
        shape = tuple(np.asarray(want).shape[1:])
        ours, theirs = (np.asarray(side, np.float64).reshape(len(side), -1) for side in (got, want))
        return cls(ours, theirs, shape, np.arange(int(np.prod(shape))), np.asarray(got).dtype == np.float64)

    @property
    def all_there(self) -> bool:
        return len(self.indices) == int(np.prod(self.shape))

    @property
    def tolerance(self) -> float:
        """The largest difference of two values that count as equal."""
        return (1e-11 if self.exact else 1e-4) * float(self.want.std())

    @property
    def differs(self) -> np.ndarray:
        """Which values differ, (images, values); NaN differs."""
        return np.asarray(~(np.abs(self.got - self.want) <= self.tolerance))

    @property
    def channel(self) -> np.ndarray:
        return self.indices % self.shape[-1]


def diagnose(
    sample: Sample,
    *,
    before: tuple[int, ...] | None = None,
    logits: bool = False,
    others: Mapping[str, np.ndarray] | None = None,
    peaks: tuple[float, float] | None = None,
) -> str | None:
    """Return the likely cause of the difference in ``sample``, or None where no pattern shows.

    ``before`` is the shape of the endpoint before, None for the first. ``logits`` tells whether the sample has
    logits. ``others`` are other endpoints' whole activations in the original. ``peaks`` are the largest value of the
    port's activations up to here and the original's cap, where probes show one.
    """
    with np.errstate(all="ignore"):
        if not np.isfinite(sample.got).all():
            return NOT_FINITE
        if not sample.differs.any():
            return None
        if peaks is not None and peaks[0] > peaks[1]:
            return CAP.format(cap=peaks[1])
        return (
            _cut(sample)
            or (_classes(sample) if logits else None)
            or _other(sample, others or {})
            or _order(sample)
            or _border(sample)
            or _affine(sample, before)
            or _small(sample)
            or _place(sample, before)
        )


def _cut(sample: Sample) -> str | None:
    """Recognise values that only one side clips, where all others are equal."""
    got, want = sample.got[sample.differs], sample.want[sample.differs]
    cap, floor = sample.want.max(), sample.want.min()
    if floor == 0 and (np.abs(np.clip(got, floor, cap) - want) <= sample.tolerance).all():
        return CAP.format(cap=cap) if (got > cap).all() else NO_ACTIVATION
    if sample.got.min() == 0 and (got == 0).all() and (want < 0).all():
        return EXTRA_ACTIVATION
    # A leaky activation does not clip, but differs only below 0.
    return NO_ACTIVATION if floor == 0 and (want == 0).all() and (got < 0).all() else None


def _classes(sample: Sample) -> str | None:
    same = sample.tolerance
    for ours, theirs in ((sample.got[:, 1:], sample.want[:, :-1]), (sample.got[:, :-1], sample.want[:, 1:])):
        if (np.abs(ours - theirs) <= same).mean() > 0.99:
            return BACKGROUND
    wrong = sample.differs.any(axis=0)
    return ONE_CLASS if wrong.sum() == 1 else None


def _other(sample: Sample, others: Mapping[str, np.ndarray]) -> str | None:
    for name, values in others.items():
        flat = np.asarray(values, np.float64).reshape(len(values), -1)
        if flat.shape == sample.got.shape and (np.abs(flat - sample.got) <= sample.tolerance).all():
            return OTHER.format(name=name)
    return None


def _order(sample: Sample) -> str | None:
    """Recognise the same values at other places, which only whole activations show."""
    if not sample.all_there:
        return None
    if len(sample.shape) == 3 and sample.shape[0] == sample.shape[1]:
        turned = sample.want.reshape(-1, *sample.shape).transpose(0, 2, 1, 3).reshape(sample.want.shape)
        if (np.abs(turned - sample.got) <= sample.tolerance).all():
            return TURNED
    ours, theirs = np.sort(sample.got, axis=1), np.sort(sample.want, axis=1)
    return ORDER if (np.abs(ours - theirs) <= sample.tolerance).all() else None


def _border(sample: Sample) -> str | None:
    if len(sample.shape) != 3 or min(sample.shape[:2]) < 4:
        return None
    height, width, channels = sample.shape
    y, x = np.divmod(sample.indices // channels, width)
    depth = np.minimum.reduce([y, x, height - 1 - y, width - 1 - x])
    # Later kernels, within one endpoint's cell too, spread a wrong border inwards.
    wrong, reach = np.any(sample.differs, axis=0), max(0, min(height, width) // 4 - 1)
    inside = np.asarray(depth > reach)
    if wrong[inside].any() or inside.sum() < 3:
        return None
    got, want = sample.got[sample.differs], sample.want[sample.differs]
    return POOL_BORDER if (np.abs(got) < np.abs(want)).mean() > 0.95 else PADDING


def _affine(sample: Sample, before: tuple[int, ...] | None) -> str | None:
    """Recognise channels that are scaled and shifted. Values that either side clips do not count."""
    kept = np.ones(sample.got.shape, bool)
    for side in (sample.got, sample.want):
        low, high = side.min(), side.max()
        kept &= (side > 0) if low == 0 else True
        # A largest value that repeats is a cap.
        kept &= (side < high) if (side == high).sum() > 2 else True
    slopes, offsets, left, spread, freedom = [], [], 0.0, 0.0, 0
    for channel in np.unique(sample.channel):
        at = kept & (sample.channel == channel)
        ours, theirs = sample.got[at], sample.want[at]
        if len(ours) < 3 or theirs.std() == 0:
            continue
        slope = float(((ours - ours.mean()) * (theirs - theirs.mean())).mean() / theirs.var())
        offset = float(ours.mean() - slope * theirs.mean())
        left += float(np.square(ours - slope * theirs - offset).sum())
        spread += float(np.square(ours - theirs).sum())
        freedom += len(ours) - 2
        slopes.append(slope)
        offsets.append(offset)
    if freedom < 4 or spread == 0 or np.sqrt(left / spread) > _AFFINE_RESIDUAL:
        return None
    scale, moved = np.array(slopes), float(np.abs(offsets).max())
    flat, deviation = 1e-6 if sample.exact else 1e-3, float(sample.want.std())
    if np.abs(scale - 1).max() < flat * min(1.0, moved / deviation):
        return OFFSET
    if rounded := _small(sample):  # rounding scales channels, but shifts none by the same amount everywhere
        return rounded
    if np.ptp(scale) < flat * np.abs(scale - 1).max() and moved < flat * deviation:
        return (POOL_FACTOR if _pools(sample.shape, before) else FACTOR).format(factor=scale.mean())
    # Epsilon is added to every variance, so all factors are near 1, on one side of it.
    if ((scale > 1).all() or (scale < 1).all()) and np.abs(scale - 1).max() < 0.1:
        return EPSILON.format(low=scale.min(), high=scale.max())
    return NORM


def _small(sample: Sample) -> str | None:
    share = np.abs(sample.got - sample.want).max() / (sample.want.std() or 1.0)
    return ROUNDED if sample.exact and share < 1e-6 else None


def _place(sample: Sample, before: tuple[int, ...] | None) -> str | None:
    """Guess from the place in the network where the values show no pattern."""
    alike = float(np.corrcoef(sample.got.ravel(), sample.want.ravel())[0, 1])
    if _pools(sample.shape, before):
        return POOL
    if before is None and alike > 0.99:
        return WEIGHTS
    wrong = np.zeros(sample.shape[-1], bool)
    np.logical_or.at(wrong, sample.channel, sample.differs.any(axis=0))
    places = np.flatnonzero(wrong)
    alive = np.ptp(sample.want.reshape(-1, sample.shape[-1]), axis=0) > 0 if sample.all_there else wrong
    if 0 < len(places) < 0.9 * alive.sum():
        branch = BRANCH.format(low=places[0], high=places[-1], channels=sample.shape[-1])
        return f"{branch}; {STRIDE}" if _shrinks(sample.shape, before) else branch
    if alike > 0.2 and before is None:
        return FIRST
    if alike > 0.2 and _shrinks(sample.shape, before):
        return STRIDE
    return KERNEL


def _pools(shape: tuple[int, ...], before: tuple[int, ...] | None) -> bool:
    """Whether a map became one value for each channel."""
    return before is not None and len(before) == 3 and int(np.prod(shape[:-1])) == 1 < int(np.prod(before[:-1]))


def _shrinks(shape: tuple[int, ...], before: tuple[int, ...] | None) -> bool:
    """Whether the map is smaller than the one before; a network's first layer shrinks the image."""
    return len(shape) == 3 and (before is None or (len(before) == 3 and shape[0] < before[0]))
