"""report: a verification as one HTML file that needs nothing else, for those who did not run it."""

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
from porter.files.installed import require_package, versions
from porter.parity.compare import EXACT_BOUND, LARGEST_BOUND, RMS_BOUND
from porter.parity.result import Verification
from porter.render.verification_plots import depth_plot, logit_plot
from porter.render.verification_text import numbers, verdict_of
from porter.runners.pictures import open_picture

THUMBNAIL = 320
PACKAGES = ("porter", "numpy", "torch", "keras", "tensorflow", "tensorflow-cpu", "pillow")


def write_report(path: Path, result: Verification, command: Sequence[str] = ()) -> None:
    """Write the report of ``result`` to ``path``; ``command`` is how it was run. Raises PorterError."""
    html = render(result, command)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def render(result: Verification, command: Sequence[str] = ()) -> str:
    """Return the report as HTML. Raises PorterError where jinja2 is not installed."""
    require_package("jinja2", "report")
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html").render(
        result=result,
        ports=[_port(result, name) for name in result.ports],
        pictures=[_picture(result, picture) for picture in result.pictures],
        depth=depth_plot(result),
        bounds={"exact": EXACT_BOUND, "rms": RMS_BOUND, "largest": LARGEST_BOUND},
        command=shlex.join(["port", *command]) if command else None,
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions=_versions(),
    )


def _port(result: Verification, name: str) -> dict[str, Any]:
    report = result.ports[name]
    ratios = any(row.rounding_rms is not None for row in report.rows)
    exact = any(row.exact is not None for row in report.rows)
    head = ["float64 largest" if exact else "float32 largest", "mean", "cosine", "amplification"]
    want, got = result.logits.get(""), result.logits.get(name)
    return {
        "name": result.name_of(name),
        "title": result.titles.get(name, f"porter's network in {result.name_of(name)}"),
        "report": report,
        "verdict": str(report).removeprefix("parity holds ").removeprefix("parity fails: "),
        "divergence": report.first_divergence,
        "head": head + (["float32 rms ×", "largest ×"] if ratios else []),
        "rows": [(row.endpoint, row.ok, verdict_of(report, row), numbers(row, ratios)) for row in report.rows],
        "logits": None
        if want is None or got is None
        else logit_plot(want, got, result.reference_label, result.name_of(name)),
    }


def _picture(result: Verification, picture: Any) -> dict[str, Any]:
    sides = [result.reference_label, *map(result.name_of, picture.ports)]
    ranks = []
    for rank, (label, probability) in enumerate(picture.reference):
        others = [labels[rank] for labels in picture.ports.values() if rank < len(labels)]
        ranks.append((label, [(probability, None), *((p, other if other != label else None) for other, p in others)]))
    differences = [(result.name_of(name), value) for name, value in picture.largest_logit_difference.items()]
    return {
        "name": picture.picture,
        "image": _thumbnail(picture.path),
        "sides": sides,
        "ranks": ranks,
        "differences": differences,
    }


def _thumbnail(path: Path | None) -> str | None:
    """Return a small JPEG of the picture as a data URI."""
    if path is None:
        return None
    image = open_picture(path).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _versions() -> list[tuple[str, str]]:
    return list(versions(PACKAGES).items())
