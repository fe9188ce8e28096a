"""The report of a verification: one file that a browser opens offline without errors."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.checkpoints import Saver, seeded_variables
from helpers.processes import HANG
from porter import verify
from porter.cli.main import main
from porter.parity.result import Verification
from porter.render.verification_page import render, write_report

MODEL = "mobilenet_v1_0.25_128"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def good(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Verification:
    prefix = tmp_path_factory.mktemp("report") / "model.ckpt"
    tensors = seeded_variables()
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    return verify(MODEL, checkpoint=prefix, frameworks=("torch", "keras"))


class Page(html.parser.HTMLParser):
    """Collects the text, tags and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href", "data", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_verdict_comes_first_and_everything_is_there(good: Verification) -> None:
    page = Page(render(good, ["verify", MODEL, "--images", "a b.jpg"]))
    told = page.text[page.text.index("</style>") if "</style>" in page.text else 0 :]
    assert told.index("PyTorch: parity holds") < told.index("Images") < told.index("Difference by depth")
    assert told.index("Logits") < told.index("How this was run")
    for wanted in ("chelsea.png", "Conv2d_13_pointwise", "noise floor", f"port verify {MODEL} --images 'a b.jpg'"):
        assert wanted in told
    assert page.tags.count("img") == 3
    assert page.tags.count("tr") > 60


def test_the_page_loads_nothing(good: Verification) -> None:
    page = Page(render(good))
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert not re.search(r"@import|url\(", render(good))


def test_names_cannot_add_markup(good: Verification) -> None:
    from dataclasses import replace

    strange = replace(good, model="<script>alert(1)</script>", images=(replace(good.images[0], image="<b>.png"),))
    text = render(strange)
    assert "<script>alert" not in text
    assert "&lt;b&gt;.png" in text


def opened(path: Path, *options: str) -> tuple[str, str, list[str]]:
    """Open a page in headless Chromium; return its DOM, its log and the URLs that it requested."""
    log, profile = path.with_suffix(".net.json"), path.with_suffix(".profile")
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0"),
            *(f"--user-data-dir={profile}", f"--log-net-log={log}", *options, "--dump-dom", path.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    # Chromium's own requests have no initiator.
    urls = [request["url"] for request in requests if request["initiator"] != "not an origin"]
    return done.stdout, done.stderr, urls


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("options", [("--window-size=390,900", "--force-dark-mode"), ("--window-size=1200,900",)])
def test_a_browser_opens_it_without_errors_or_requests(
    good: Verification, tmp_path: Path, options: tuple[str, ...]
) -> None:
    write_report(tmp_path / "parity.html", good)
    dom, log, requests = opened(tmp_path / "parity.html", *options)
    # The script ran, because it counts the rows that its filters keep.
    assert re.search(r'id="count">60 of 60 shown<', dom), log[-2000:]
    assert "CONSOLE" not in log
    assert not [url for url in requests if not url.startswith("data:")]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_browser_reports_errors_and_requests(tmp_path: Path) -> None:
    page = tmp_path / "loud.html"
    page.write_text('<img src="http://pictures.invalid/a.png"><script>nothing.here()</script>', encoding="utf-8")
    _, log, requests = opened(page)
    assert "CONSOLE" in log
    assert "http://pictures.invalid/a.png" in requests


def test_the_command_writes_the_page_and_its_own_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["verify", MODEL, "--report", "parity.html"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("parity holds")
    assert f"port verify {MODEL} --report parity.html" in Page(Path("parity.html").read_text(encoding="utf-8")).text


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], save: Saver
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", MODEL, "--report", str(tmp_path / "absent/parity.html")])
    assert ended.value.code == 2
    assert "does not exist: make it first" in capsys.readouterr().err


@pytest.mark.parametrize(("peak", "shown"), [(3 * 2**30, "3,072 MiB"), (None, "unknown")])
def test_the_peak_memory_is_reported(good: Verification, peak: int | None, shown: str) -> None:
    result = replace(good, peak_memory=peak)
    assert result.as_dict()["peak_memory"] == peak
    assert f"<dt>Peak memory</dt><dd>{shown}</dd>" in render(result)


def test_verify_states_its_peak_memory(good: Verification) -> None:
    assert good.peak_memory is not None
    assert 2**26 < good.peak_memory < 2**40  # more than an interpreter with PyTorch takes, in bytes
