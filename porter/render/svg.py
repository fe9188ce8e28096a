"""render_svg: a diagram as a self-contained SVG that follows the reader's light or dark theme."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from porter.render.diagram import Box, Diagram, wire_path

COLOURS = """
.g{--ink:#1c2430;--soft:#5d6878;--line:#8a94a3;--paper:#ffffff;--conv:#dbe8fb;--dense:#e6defa;--pool:#d8f0df;--join:#fdebc8;
--act:#f8dfe4;--other:#e9ecf0;--input:#ffffff;--block:#e3eef0}
@media (prefers-color-scheme:dark){.g{--ink:#e7ebf0;--soft:#a3adbb;--line:#727d8c;--paper:#14181e;--conv:#1f3a5c;
--dense:#3b2f60;--pool:#1f4a30;--join:#57431a;--act:#55303a;--other:#333a44;--input:#14181e;--block:#25424a}}
.g text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:var(--ink);text-anchor:middle}
.g .t2,.g .wl{font-size:10.5px;fill:var(--soft)}
.g .wl{text-anchor:start;paint-order:stroke;stroke:var(--paper);stroke-width:3px}
.g rect{stroke:var(--line);stroke-width:1}
.g path{fill:none;stroke:var(--line);stroke-width:1.3}
"""
for _name in ("conv", "dense", "pool", "join", "act", "other", "input", "block"):
    COLOURS += f".g .{_name} rect{{fill:var(--{_name})}}\n"
COLOURS += ".g .input rect{stroke-dasharray:4 3}\n"

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text_of(text: str) -> str:
    """Return a text escaped for XML; characters that XML cannot hold become U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", text), {'"': "&quot;"})


def render_svg(diagram: Diagram, title: str) -> str:
    """Return the whole SVG document."""
    width, height = round(diagram.width), round(diagram.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="g" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">',
        f"<title>{text_of(title)}</title><style>{COLOURS}</style>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:var(--line);stroke:none"/></marker></defs>',
        f'<rect width="{width}" height="{height}" style="fill:var(--paper);stroke:none"/>',
    ]
    parts += [f'<path d="{wire_path(wire)}" marker-end="url(#a)"/>' for wire in diagram.wires]
    for box in diagram.boxes:
        parts += _box(box)
    parts += [f'<text class="wl" x="{x:.0f}" y="{y:.0f}">{text_of(label)}</text>' for label, x, y in diagram.labels()]
    return "\n".join([*parts, "</svg>\n"])


def _box(box: Box) -> list[str]:
    x, y, size = box.x, box.y, f'width="{box.width:.0f}" height="{box.height:.0f}" rx="6"'
    middle = f'x="{x + box.width / 2:.0f}"'
    parts = [f'<g class="{box.style}"><title>{text_of(box.target or box.title)}</title>']
    if box.stacked:
        parts.append(f'<rect x="{x + 5:.0f}" y="{y + 5:.0f}" {size}/>')
    parts.append(f'<rect x="{x:.0f}" y="{y:.0f}" {size}/>')
    parts.append(f'<text {middle} y="{y + 16:.0f}">{text_of(box.title)}</text>')
    for number, line in enumerate(box.text.split("\n") if box.text else (), 2):
        parts.append(f'<text class="t2" {middle} y="{y + 16 * number:.0f}">{text_of(line)}</text>')
    return [*parts, "</g>"]
