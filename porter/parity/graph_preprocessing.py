"""graph_preprocessing: what a graph does to images before its network, compared with the model's preset.

Parity feeds images at the network's entry. What the graph has before it runs here on the same files, and the outcome is
compared with porter's preparation of the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from porter.errors import PorterError
from porter.parity.result import GraphInput
from porter.runners.images import PreparedImages, read_image
from porter.runners.presets import resize_bilinear
from porter.runners.runner import Preprocessing, Runner

IMAGES = 3
"""Only the first images pass the graph's own preprocessing."""
AGREES = 1e-5
"""The largest difference, over the largest value, that rounding of a few float32 steps explains; 1/255 is 4e-3."""

Scale = Callable[[np.ndarray], np.ndarray]
_PIXELS, _UNIT, _PREPARED = "pixels in [0, 255]", "pixels in [0, 1]", "prepared images"


@dataclass(frozen=True)
class _Run:
    """What the steps make of images: ``got``, beside what the preset makes of them, all (images, H, W, C).

    ``given`` says what went in. ``how`` says how ``want`` was made, where not as the preset does.
    """

    given: str
    got: np.ndarray
    want: np.ndarray
    how: str = ""

    def error(self, swapped: bool = False) -> float:
        """Return the largest difference, infinite where the shapes differ."""
        if self.got.shape != self.want.shape:
            return np.inf
        return float(np.abs((self.got[..., ::-1] if swapped else self.got) - self.want).max())

    @property
    def tolerance(self) -> float:
        return AGREES * float(np.abs(self.want).max())


def graph_preprocessing(images: PreparedImages, runner: Runner, logits: str) -> GraphInput | None:
    """Run the own preprocessing of a graph on the first of ``images``; None where ``runner`` has none.

    Where it differs from the preset, the result says how far the endpoint ``logits`` moves.
    """
    steps = runner.preprocessing
    if steps is None:
        return None
    name = steps.path.name
    if steps.refused:
        return GraphInput(name, steps.behind, f"not run: {steps.refused}")
    try:
        runs = list(_runs(images, steps))
    except PorterError as error:
        return GraphInput(name, steps.behind, f"not run: {error}")
    found, run = _judged(runs, images.preprocessing, images.preset.scale)
    moved = None
    if run is not None:
        preset = next((other.want for other in runs if other.got is run.got and not other.how), run.want)
        moved = _moved(run.got, preset, runner, logits)
    return GraphInput(name, steps.behind, found, run is None, moved)


def _runs(images: PreparedImages, steps: Preprocessing) -> Iterator[_Run]:
    """Run the steps on everything that they could have been made for."""
    count, scale = min(len(images), IMAGES), images.preset.scale
    if steps.encoded:
        got = np.stack([steps(path.read_bytes()) for path in images.paths[:count]])
        yield _Run("", got, images[:count])
        if scale is not None:
            whole = [resize_bilinear(_floats(path), *images.sides) for path in images.paths[:count]]
            yield _Run("", got, scale(np.stack(whole)), "resizes the whole image, without a crop")
        return
    pixels = np.stack([_at_size(path, steps, images) for path in images.paths[:count]])
    wants = [np.stack([images.preset.prepare(image, images.size) for image in pixels])]
    if scale is not None and pixels.shape[1:3] == images.sides:
        wants.insert(0, scale(pixels.astype(np.float32)))  # without another crop
    fed = {_PIXELS if steps.floats else "": pixels.astype(np.float32)}
    if steps.floats:
        fed = {_PREPARED: wants[0], **fed, _UNIT: (pixels / 255).astype(np.float32)}
    for given, values in fed.items():
        got = np.stack([steps(image) for image in values])
        yield from (_Run(given, got, want) for want in wants)


def _floats(path: Path) -> np.ndarray:
    return read_image(path).astype(np.float32)


def _at_size(path: Path, steps: Preprocessing, images: PreparedImages) -> np.ndarray:
    """Return the image's pixels, 0 to 255, at the size of the graph's input, or else of the network's."""
    height, width = (own or side for own, side in zip(steps.pixels, images.sides, strict=True))
    return np.asarray(np.rint(resize_bilinear(_floats(path), height, width)), np.uint8)


def _judged(runs: list[_Run], preset: str, scale: Scale | None) -> tuple[str, _Run | None]:
    """Say how the steps relate to the preset, and return the run that shows a difference, None where they agree."""
    for run in runs:
        if (error := run.error()) <= run.tolerance and not run.how:
            return f"agrees with {preset} {_size(error)}{_given(run)}", None
    for run in runs:
        faults = [run.how] if run.how else []
        if run.error() <= run.tolerance:
            return f"differs from {preset}: it {run.how}{_given(run)}", run
        if run.error(swapped=True) <= run.tolerance:
            return f"differs from {preset}: it {' and '.join([*faults, 'swaps RGB to BGR'])}{_given(run)}", run
    for run in runs:
        if scale is not None and (said := _affine(run, scale)):
            faults = [*([run.how] if run.how else []), *said]
            gives = _range(run.want.min(), run.want.max())
            return f"differs from {preset}: it {' and '.join(faults)}, where {preset} gives {gives}", run
    run = min(runs, key=lambda run: run.error())
    if run.error() == np.inf:
        made, wanted = ("x".join(map(str, side.shape[1:])) for side in (run.got, run.want))
        return f"differs from {preset}: it makes images of {made}, where the network takes {wanted}", None
    mean = float(np.abs(run.got - run.want).mean())
    return f"differs from {preset} by at most {run.error():.2g}, {mean:.2g} on average{_given(run)}", run


def _size(error: float) -> str:
    return f"to {error:.0e}".replace("e-0", "e-") if error else "bit for bit"


def _given(run: _Run) -> str:
    return f", given {run.given}" if run.given else ""


def _affine(run: _Run, scale: Scale) -> list[str] | None:
    """Describe steps that only scale and shift each channel of the pixels; None for others."""
    if run.given in (_UNIT, _PREPARED) or run.got.shape != run.want.shape:
        return None
    ends = scale(np.asarray([[0.0] * 3, [255.0] * 3], np.float32))  # black and white
    for swapped in (False, True):
        want, black_white = ((side[..., ::-1] if swapped else side).astype(np.float64) for side in (run.want, ends))
        fits = [np.polyfit(want[..., c].ravel(), run.got[..., c].ravel(), 1) for c in range(3)]
        fitted = np.stack([np.polyval(fit, want[..., c]) for c, fit in enumerate(fits)], axis=-1)
        if np.abs(fitted - run.got).max() > AGREES * np.abs(run.got).max():
            continue
        ranges = list(dict.fromkeys(_range(*np.polyval(fit, black_white[:, c])) for c, fit in enumerate(fits)))
        does = "leaves pixels in" if ranges == ["[0, 255]"] else "maps pixels in [0, 255] to"
        said = f"{does} {', '.join(ranges)}{'' if len(ranges) == 1 else ' for the three channels'}"
        return ["swaps RGB to BGR", said] if swapped else [said]
    return None


def _range(low: float, high: float) -> str:
    # Adding 0 turns -0 into 0.
    return f"[{round(float(low), 2) + 0.0:g}, {round(float(high), 2) + 0.0:g}]"


def _moved(made: np.ndarray, preset: np.ndarray, runner: Runner, logits: str) -> float | None:
    """Return how far the logits move, in their standard deviation."""
    want, got = (runner(images.astype(np.float32)).get(logits) for images in (preset, made))
    if want is None or got is None or not want.std():
        return None
    return float(np.abs(got - want).max() / want.std())
