"""A verification as text, for a terminal or a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from porter.errors import summary
from porter.parity.compare import Report, Row
from porter.parity.result import ImageResult, Verification
from porter.render.text import MOST, console, first_few, new_grid, print_line, printable

UNITS = "differences in standard deviations of the reference's values; amplification relative to the endpoint before"
ROUNDING_UNITS = "float32 in multiples of the reference's own rounding"


def show_verification(result: Verification) -> None:
    """Print each image's labels, the preprocessing, each candidate's endpoints, and the verdicts last."""
    out = console()
    ports = " and ".join(result.titles.get(port, port) for port in result.ports)
    print_line(out, f"{result.model} in {ports}, against {result.reference}")
    print_line(out, f"  on {result.inputs}")
    for image in result.images:
        _show_image(out, result, image)
    if result.preprocessing:
        out.print()
        print_line(out, "preprocessing (not part of parity, where all sides get the same input):")
    for drift in result.preprocessing:
        print_line(out, f"  {drift}")
    for port, report in result.ports.items():
        out.print()
        _show_endpoints(out, report, result.name_of(port))
        if report.missing:
            print_line(out, f"not on both sides: {first_few(summary(report.missing, MOST))}")
        for note in report.notes:
            print_line(out, f"note: {note}")
    for port, report in result.ports.items():
        which = f"{result.name_of(port)}: " if len(result.ports) > 1 else ""
        print_line(out, Text(f"{which}{report}", style="green" if report else "bold red"))


def _show_image(out: Console, result: Verification, image: ImageResult) -> None:
    """Print the reference's five likeliest labels of one image, and each candidate's probability at the same rank."""
    out.print()
    grid = new_grid(image.image, result.reference_label, *map(result.name_of, image.ports))
    for rank, (label, probability) in enumerate(image.reference):
        cells = []
        for ranked in image.ports.values():
            if rank < len(ranked):
                other, own = ranked[rank]
                cells.append(f"{own:.6f}" + ("" if other == label else f" {_cut(other, 24)}"))
        grid.add_row(_cut(label), f"{probability:.6f}", *cells)
    out.print(grid)
    differences = [f"{v:.2e} in {result.name_of(name)}" for name, v in image.largest_logit_difference.items()]
    out.print(Text(f"largest logit difference {', '.join(differences)}"))


def _cut(label: str, width: int = 44) -> str:
    label = printable(label)
    return label if len(label) <= width else label[: width - 1] + "…"


def _show_endpoints(out: Console, report: Report, name: str) -> None:
    ratios = has_ratios(report)
    grid = new_grid(f"endpoint in {name}", *number_heads(report), "")
    for row in report.rows:
        verdict = Text(verdict_of(report, row), style="green" if row.ok else "bold red")
        grid.add_row(row.endpoint, *numbers(row, ratios), verdict)
    out.print(grid)
    print_line(out, "  " + "; ".join([UNITS, ROUNDING_UNITS] if ratios else [UNITS]))


def has_ratios(report: Report) -> bool:
    """Return whether a report measures float32 in multiples of the reference's rounding."""
    return any(row.rounding_rms is not None for row in report.rows)


def number_heads(report: Report) -> list[str]:
    """Return the column heads of ``numbers``: four, then two of ratios if the report has these."""
    exact = any(row.exact is not None for row in report.rows)
    heads = ["float64 largest" if exact else "float32 largest", "mean", "cosine", "amplification"]
    return [*heads, "float32 rms", "largest"] if has_ratios(report) else heads


def verdict_of(report: Report, row: Row) -> str:
    """Return ok, diverges, or begins: within the bounds, but the start of a later divergence."""
    if not row.ok:
        return "diverges"
    return "begins" if row is report.first_divergence else "ok"


def numbers(row: Row, ratios: bool) -> list[str]:
    """Return a row's numbers as text: largest, mean, cosine, amplification, and the two ``ratios`` of rounding."""
    amplification = "" if row.amplification is None else f"{row.amplification:.2f}"
    shown = [f"{row.largest:.1e}", f"{row.mean:.1e}", f"{row.cosine:.6f}", amplification]
    return [*shown, _ratio(row.rounding_rms), _ratio(row.rounding_largest)] if ratios else shown


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 1e5 else f"{value:.1e}"
