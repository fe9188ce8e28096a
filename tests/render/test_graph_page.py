"""The graph's HTML page and diagrams: well-formed, safe from names, and opened in a browser if there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from helpers.graphs import Maker, analysed, analysis_of
from helpers.processes import HANG
from porter.render.diagram import Box, Wire, lay_out
from porter.render.graph_diagram import diagram_of_groups, diagram_of_layers
from porter.render.graph_page import render_graph_page
from porter.render.svg import render_svg
from porter.verbs.inspect import inspect_graph

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=8000"
).split()


def opened(page: Path, profile: Path, fragment: str = "") -> str:
    """Return the page's DOM after its script ran."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    command = [BROWSER, *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", f"{page.as_uri()}{fragment}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG).stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("html") / "nasnet.html"
    path.write_text(render_graph_page(inspect_graph(analysis_of("nasnet_large"))), encoding="utf-8")
    return path


def test_a_browser_draws_nasnet_large_and_every_node_is_there(page: Path, tmp_path: Path) -> None:
    shown = opened(page, tmp_path)
    assert 'data-ready="13450"' in shown
    (svg,) = re.findall(r"<svg.*?</svg>", shown, re.DOTALL)
    titles = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"cell_0 … cell_5", "reduction_cell_0", "final_layer", "42x42x1008"} <= set(titles)
    assert "cell_12 … cell_17</button> ×6" in shown


def test_a_block_opens_by_its_address_and_shows_its_layers(page: Path, tmp_path: Path) -> None:
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)[0])
    number = next(at for at, block in enumerate(data["blocks"]) if block["n"] == "cell_3")
    shown = opened(page, tmp_path, f"#b{number}")
    assert "relu &gt; separable 5x5 168-&gt;168" in shown
    assert shown.count('class="conv go"') == 12


def test_the_page_loads_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|script src|iframe)|@import|url\((?!#)", text)
    assert len(text) < 4_000_000


EVIL = [
    "</script><script>document.title='evil'</script>",
    "a&b<c>\"d'e",
    "naïve/日本語/🙂",
    "new\nline\x1b[31m",
    "{{ 7*7 }}",
]


def test_no_name_can_steer_the_page(tmp_path: Path) -> None:
    make = Maker()
    x = make.placeholder("input", -1, 8, 8, 4)
    for name in EVIL:
        x = make.conv(name, x, 3, 3, 4, 4)
    analysis = analysed(make.graph)
    text = render_graph_page(inspect_graph(analysis))
    assert text.count("</script>") == 2
    assert "{{ 7*7 }}" in text
    svg = render_svg(diagram_of_layers(analysis.groups[0].blocks[0]), EVIL[0])
    ET.fromstring(svg)
    path = tmp_path / "evil.html"
    path.write_text(text, encoding="utf-8")
    shown = opened(path, tmp_path / "profile")
    assert f'data-ready="{len(analysis.graph.nodes)}"' in shown
    assert "<title>made.pb</title>" in shown


@pytest.mark.parametrize("name", ["mobilenet_v1_1.0_224", "nasnet_mobile", "inception_v3", "resnet_v1_50"])
def test_diagrams_are_whole_and_no_boxes_overlap(name: str) -> None:
    analysis = analysis_of(name)
    diagrams = [
        diagram_of_groups(analysis, analysis.groups),
        *(diagram_of_layers(group.repeats()[0]) for group in analysis.groups),
    ]
    for diagram in diagrams:
        ET.fromstring(render_svg(diagram, name))
        for at, a in enumerate(diagram.boxes):
            assert 0 <= a.x <= a.x + a.width <= diagram.width
            assert 0 <= a.y <= a.y + a.height <= diagram.height
            for b in diagram.boxes[:at]:
                apart = a.x >= b.x + b.width or b.x >= a.x + a.width or a.y >= b.y + b.height or b.y >= a.y + a.height
                assert apart, (a, b)
        assert all(wire.points[0][1] < wire.points[-1][1] for wire in diagram.wires)


def test_a_box_stands_below_all_that_it_reads() -> None:
    boxes = [Box(name, "", "other") for name in "abcd"]
    diagram = lay_out(boxes, [Wire(0, 1), Wire(1, 3), Wire(0, 3), Wire(2, 3)])
    a, b, c, d = (box.y for box in diagram.boxes)
    assert a < b < d
    assert c == b  # just above its only reader
    assert len(diagram.wires[2].points) == 4  # led past b
