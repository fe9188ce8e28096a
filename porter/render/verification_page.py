"""The report of a verification: one self-contained HTML page, for readers who did not run it."""

from __future__ import annotations

import base64
import io
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from porter.files.atomic import replacing
from porter.files.installed import versions
from porter.parity.compare import EXACT_BOUND, LARGEST_BOUND, RMS_BOUND
from porter.parity.result import ImageResult, Verification
from porter.render.html import render_template
from porter.render.verification_plots import depth_plot, logit_plot
from porter.render.verification_text import has_ratios, number_heads, numbers, verdict_of
from porter.runners.images import open_image

THUMBNAIL = 320
"""The longest side of an image on the page, in pixels."""
PACKAGES = ("porter", "numpy", "torch", "keras", "tensorflow", "tensorflow-cpu", "pillow")


def write_report(path: Path, result: Verification, command: Sequence[str] = ()) -> None:
    """Write the report of ``result`` to ``path``; ``command`` are the arguments that ran it. Raises PorterError."""
    html = render(result, command)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def render(result: Verification, command: Sequence[str] = ()) -> str:
    """Return the report as HTML. Raises MissingPackageError if jinja2 is not installed."""
    return render_template(
        "verification_page.html",
        result=result,
        ports=[_port(result, name) for name in result.ports],
        images=[_image(result, image) for image in result.images],
        depth=depth_plot(result),
        bounds={"exact": EXACT_BOUND, "rms": RMS_BOUND, "largest": LARGEST_BOUND},
        command=shlex.join(["port", *command]) if command else None,
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions=list(versions(PACKAGES).items()),
        peak="unknown" if result.peak_memory is None else f"{result.peak_memory / 2**20:,.0f} MiB",
    )


def _port(result: Verification, name: str) -> dict[str, Any]:
    """Return what the page shows of one candidate."""
    report, shown_as = result.ports[name], result.name_of(name)
    ratios, heads = has_ratios(report), number_heads(report)
    return {
        "name": shown_as,
        "title": result.titles.get(name, f"porter's network in {shown_as}"),
        "report": report,
        "verdict": str(report).removeprefix("parity holds ").removeprefix("parity fails: "),
        "heads": [*heads[:4], *(f"{head} ×" for head in heads[4:])],
        "rows": [(row.endpoint, row.ok, verdict_of(report, row), numbers(row, ratios)) for row in report.rows],
        "logits": _logits(result, name),
    }


def _logits(result: Verification, name: str) -> str | None:
    want, got = result.logits.get(""), result.logits.get(name)
    if want is None or got is None:
        return None
    return logit_plot(want, got, result.reference_label, result.name_of(name))


def _image(result: Verification, image: ImageResult) -> dict[str, Any]:
    """Return one image with its labels: a rank per row, a side per column; a label is named where it differs."""
    sides = [result.reference_label, *map(result.name_of, image.ports)]
    ranks = []
    for rank, (label, probability) in enumerate(image.reference):
        others = [labels[rank] for labels in image.ports.values() if rank < len(labels)]
        ranks.append((label, [(probability, None), *((p, other if other != label else None) for other, p in others)]))
    differences = [(result.name_of(name), value) for name, value in image.largest_logit_difference.items()]
    return {
        "name": image.image,
        "thumbnail": _thumbnail(image.path),
        "sides": sides,
        "ranks": ranks,
        "differences": differences,
    }


def _thumbnail(path: Path | None) -> str | None:
    """Return a small JPEG of an image as a data URI."""
    if path is None:
        return None
    image = open_image(path).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
