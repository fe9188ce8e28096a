"""The differences between two graphs as text."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from porter.errors import plural
from porter.graph.analysis.difference import Difference
from porter.render.text import print_line, printable

MOST_DIFFERENT = 40


def show_difference(out: Console, result: Difference) -> None:
    """Print how two graphs, a and b, differ: counts first, then node by node."""
    print_line(out, f"a = {printable(result.first)}")
    print_line(out, f"b = {printable(result.second)}")
    if result:
        print_line(out, f"the same: {plural(result.same, 'node')}, with all attributes, shapes and constants")
        return
    _show_counts(out, result)
    for sign, nodes in (("a", result.only_first), ("b", result.only_second)):
        if nodes:
            out.print()
        for name, op in nodes[:MOST_DIFFERENT]:
            print_line(out, f"only {sign}  {printable(name)}  {op}")
        if len(nodes) > MOST_DIFFERENT:
            print_line(out, f"only {sign}  … and {len(nodes) - MOST_DIFFERENT:,} more")
    _show_changes(out, result)


def _show_counts(out: Console, result: Difference) -> None:
    print_line(out, f"  {plural(result.same, 'node')} the same")
    for where, nodes in (("only in a", result.only_first), ("only in b", result.only_second)):
        if nodes:
            ops = ", ".join(f"{count:,} {op}" for op, count in Counter(op for _, op in nodes).most_common(6))
            print_line(out, f"  {plural(len(nodes), 'node')} {where}: {ops}")
    if result.changed:
        kinds = ", ".join(f"{count:,} in {what}" for what, count in result.kinds().items())
        verb = "differs" if len(result.changed) == 1 else "differ"
        print_line(out, f"  {plural(len(result.changed), 'node')} {verb}: {kinds}")
    if result.alike and (result.only_first or result.only_second):
        print_line(out, "  the layers on the way to the outputs have the same structure in both")


def _show_changes(out: Console, result: Difference) -> None:
    causes = [change for change in result.changed if not change.follows]
    for change in causes[:MOST_DIFFERENT]:
        print_line(out, f"\n{printable(change.name)}  {change.op}")
        for what, first, second in change.parts:
            print_line(out, f"  {what}\n    a  {printable(first)}\n    b  {printable(second)}")
    if len(causes) > MOST_DIFFERENT:
        print_line(out, f"\n… and {len(causes) - MOST_DIFFERENT:,} more; the JSON output lists all")
    follows = len(result.changed) - len(causes)
    if follows:
        print_line(out, f"\n{plural(follows, 'more node')} only in output shape, because an input's shape differs")
