"""README, the guides, the command reference and the generated tables say what the code says."""

from __future__ import annotations

import doctest
import json
import re
import runpy
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from helpers.checkpoints import Saver, training_checkpoint
from helpers.places import GRAPH, ROOT
from porter.catalog.models import find_arch
from porter.catalog.releases import release_of
from porter.cli.main import cli, main
from porter.export.destination import find_destination
from porter.mapping.table import Table
from porter.verbs.port import port

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs/guides").glob("*.md")))
}
COMMAND = re.compile(r"^\$ port (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def blocks(page: str) -> list[str]:
    """Return a page's transcripts."""
    return re.findall(r"```console\n((?:.*\n)*?)```", PAGES[page])


CONSOLE = [(page, *found) for page in PAGES for block in blocks(page) for found in COMMAND.findall(block)]
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


PORTS = {"timm.pth": "timm", "mobilenet-hf/": "hf"}
"""Files that commands of the guide to dialects take, with their dialects."""
LISTED = [
    line
    for text in PAGES.values()
    for block in re.findall(r"```sh\n((?:port .*\n)+)```", text)
    for line in block.splitlines()
]


def masked(text: str) -> str:
    """Hide measured numbers, whose last places differ from machine to machine, and sizes, which versions change."""
    return re.sub(r"\([\d,]+ bytes\)|\d+\.\d+(e[-+]\d+)?(?=[\s,)])", "N", text + "\n")


@pytest.fixture
def folder(save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Stand in a folder with the files that the transcripts' commands name."""
    if not GRAPH.is_file():
        pytest.skip("the transcripts' commands need `make weights`")
    save(training_checkpoint())
    (tmp_path / "retrained_graph.pb").symlink_to(GRAPH)
    (tmp_path / "espresso.png").symlink_to(ROOT / "golden/images/coffee.png")
    (network,) = re.findall(r"```python\n# net.py\n((?:.*\n)*?)```", PAGES["docs/guides/verify.md"])
    (tmp_path / "net.py").write_text(network, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command = getattr(request.node, "callspec", SimpleNamespace(params={})).params.get("command", "")
    for name, target in PORTS.items():
        if f"--checkpoint {name}" in command or f"inspect {name}" in command:
            port("mobilenet_v1_0.25_128", target=target, checkpoint="model.ckpt", out=name)
    fill_cache(tmp_path / "cache")
    monkeypatch.setenv("PORTER_CACHE", "cache")
    return tmp_path


def fill_cache(cache: Path) -> None:
    """Put there what the real package gives `port fetch`, which tests/test_fetch.py downloads."""
    (source,) = (source for source in release_of("mobilenet_v1_1.0_224").sources if source.package)
    folder = cache / "mobilenet_v1_1.0_224"
    folder.mkdir(parents=True)
    (folder / source.checkpoint).symlink_to(GRAPH)
    record = {"source": source.where, "sha256": "", "checkpoint": source.checkpoint, "files": [source.checkpoint]}
    (folder / "fetched.json").write_text(json.dumps(record | {"ignore": list(source.ignore)}), encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "output"), [found[1:] for found in CONSOLE], ids=[f"{page}: {found[:60]}" for page, found, _ in CONSOLE]
)
def test_commands_print_what_the_pages_show(
    tf: Any, folder: Path, capsys: pytest.CaptureFixture[str], command: str, output: str
) -> None:
    with pytest.raises(SystemExit):
        main(shlex.split(command))
    out, err = capsys.readouterr()
    assert doctest.OutputChecker().check_output(masked(output), masked(out + err), ELLIPSIS), out + err


@pytest.mark.parametrize("line", LISTED)
def test_commands_that_are_only_listed_take_these_models_dialects_and_files(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, *options = shlex.split(line)[1:]
    group = click.Context(cli, **cli.context_settings)  # without it, click keeps --help as the option's one name
    given = cli.commands["convert"].make_context("convert", [model, *options], parent=group).params
    table = Table.load(find_arch(model).table)
    source, target = table.record(given["source"]), table.record(given["target"])
    assert find_destination(given["out"], target, find_arch(model)), source


def test_every_transcript_begins_with_a_command_that_is_checked() -> None:
    assert CONSOLE
    assert all(COMMAND.match(block) for page in PAGES for block in blocks(page))


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if ">>>" in text])
def test_the_pages_python_runs(tf: Any, folder: Path, capsys: pytest.CaptureFixture[str], page: str) -> None:
    with pytest.raises(SystemExit):
        main(shlex.split(next(found for _, found, _ in CONSOLE if "--out mobilenet.safetensors" in found)))
    capsys.readouterr()
    test = doctest.DocTestParser().get_doctest(PAGES[page], {}, page, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_demo_is_what_its_page_shows() -> None:
    demo = re.search(r"^demo: \$.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert demo is not None
    text = demo[1].replace("\\\n", " ").replace("build/", "")
    commands = [shlex.split(line.replace("$(BIN)/port ", "")) for line in text.strip().splitlines()]
    assert commands == [shlex.split(found) for page, found, _ in CONSOLE if page == "docs/guides/demo.md"]


def test_the_reference_is_what_help_says() -> None:
    writer = runpy.run_path(str(ROOT / "docs/write_reference.py"))
    for path, text in writer["pages"]().items():
        assert path.read_text(encoding="utf-8") == text


LINKING = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})


@pytest.mark.parametrize("page", LINKING, ids=[page.relative_to(ROOT).as_posix() for page in LINKING])
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_the_readme_links_every_guide() -> None:
    assert not [page for page in PAGES if page != "README.md" and f"({page})" not in PAGES["README.md"]]
