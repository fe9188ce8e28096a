"""What a verification looks like on a terminal, and in a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from porter.parity.compare import Report, Row
from porter.parity.result import ImageResult, Verification
from porter.render.text import console, new_grid


def show_verification(result: Verification) -> None:
    """Print each picture's labels on every side, the preprocessing, the endpoints, and each port's verdict last."""
    out = console()
    ports = " and ".join(result.titles.get(port, port) for port in result.ports)
    out.print(Text(f"{result.model} in {ports}, against {result.reference}"), soft_wrap=True)
    out.print(Text(f"  on {result.inputs}"), soft_wrap=True)
    for picture in result.images:
        _show_picture(out, result, picture)
    if result.preprocessing:
        out.print()
        out.print("preprocessing, apart from parity, for which all sides got the same input:", soft_wrap=True)
    for own in result.preprocessing:
        out.print(Text(f"  {own}"), soft_wrap=True)
    for port, report in result.ports.items():
        out.print()
        _show_endpoints(out, report, result.name_of(port))
        if report.missing:
            out.print(Text(f"not on both sides: {', '.join(report.missing)}"), soft_wrap=True)
        for note in report.notes:
            out.print(Text(f"note: {note}"), soft_wrap=True)
    for port, report in result.ports.items():
        which = f"{result.name_of(port)}: " if len(result.ports) > 1 else ""
        out.print(Text(f"{which}{report}"), style="green" if report else "bold red", soft_wrap=True)


def _show_picture(out: Console, result: Verification, picture: ImageResult) -> None:
    """Print one picture's five likeliest labels: the original's, and each port's probability of the same rank."""
    out.print()
    grid = new_grid(picture.image, result.reference_label, *map(result.name_of, picture.ports))
    for rank, (label, probability) in enumerate(picture.reference):
        cells = []
        for ranked in picture.ports.values():
            if rank < len(ranked):
                other, own = ranked[rank]
                cells.append(f"{own:.6f}" + ("" if other == label else f" {_shorten(other, 24)}"))
        grid.add_row(_shorten(label), f"{probability:.6f}", *cells)
    out.print(grid)
    differences = [f"{v:.2e} in {result.name_of(name)}" for name, v in picture.largest_logit_difference.items()]
    out.print(Text(f"largest logit difference {', '.join(differences)}"))


def _shorten(label: str, width: int = 44) -> str:
    return label if len(label) <= width else label[: width - 1] + "…"


def _show_endpoints(out: Console, report: Report, name: str) -> None:
    exact = any(row.exact is not None for row in report.rows)
    largest = "float64 largest" if exact else "float32 largest"
    ratios = any(row.rounding_rms is not None for row in report.rows)
    rounding = ("float32 rms", "largest") if ratios else ()
    grid = new_grid(f"endpoint in {name}", largest, "mean", "cosine", "amplification", *rounding, "")
    for row in report.rows:
        verdict = Text(verdict_of(report, row), style="green" if row.ok else "bold red")
        grid.add_row(row.endpoint, *numbers(row, ratios), verdict)
    out.print(grid)
    unit = "  differences in deviations of the original's values; amplification against the endpoint before"
    out.print(unit + ("; float32 in times the original's own rounding" if ratios else ""), soft_wrap=True)


def verdict_of(report: Report, row: Row) -> str:
    """Return ok, diverges, or begins: within the bounds, but where a divergence comes from."""
    if not row.ok:
        return "diverges"
    return "begins" if row is report.first_divergence else "ok"


def numbers(row: Row, ratios: bool) -> list[str]:
    """Return a row's numbers as text: largest, mean, cosine and amplification, then the two ratios of rounding."""
    amplification = "" if row.amplification is None else f"{row.amplification:.2f}"
    shown = [f"{row.largest:.1e}", f"{row.mean:.1e}", f"{row.cosine:.6f}", amplification]
    return [*shown, _ratio(row.rounding_rms), _ratio(row.rounding_largest)] if ratios else shown


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 1e5 else f"{value:.1e}"
