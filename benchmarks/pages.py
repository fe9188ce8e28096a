"""The tables that benchmarks write into the pages of docs/, each between two marks that name its script."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
_END = "<!-- end -->"


def _parts(page: str, script: str) -> tuple[str, str, str]:
    """Return what stands before, between and behind the marks."""
    mark = f"<!-- written by {script} -->"
    before, rest = (DOCS / page).read_text(encoding="utf-8").split(f"{mark}\n")
    between, behind = rest.split(_END, 1)
    return f"{before}{mark}\n", between, f"{_END}{behind}"


def written(page: str, script: str) -> list[str]:
    """Return the lines that ``script`` wrote into ``page``."""
    return _parts(page, script)[1].splitlines()


def write(page: str, script: str, lines: Iterable[str]) -> None:
    """Put ``lines`` in place of those that ``script`` wrote before."""
    before, _, behind = _parts(page, script)
    (DOCS / page).write_text(before + "".join(f"{line}\n" for line in lines) + behind, encoding="utf-8")
