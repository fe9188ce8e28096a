"""README, the command reference and the architecture's tables are what the code says."""

from __future__ import annotations

import doctest
import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from helpers.checkpoints import Saver, training_checkpoint
from porter.catalog.releases import release_of
from porter.cli.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
REAL = ROOT / "build/weights/nudity/files/retrained_graph.pb"

BLOCKS = re.findall(r"```console\n((?:.*\n)*?)```", README)
CONSOLE = [found for block in BLOCKS for found in re.findall(r"^\$ port (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)]
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def masked(text: str) -> str:
    """Hide measured numbers, whose last places differ from machine to machine, and sizes, which versions change."""
    return re.sub(r"\([\d,]+ bytes\)|\d+\.\d+(e[-+]\d+)?(?=[\s,)])", "N", text + "\n")


@pytest.fixture
def folder(save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with the files that the README's commands name."""
    if not REAL.is_file():
        pytest.skip("the README's commands need `make weights`")
    save(training_checkpoint())
    (tmp_path / "retrained_graph.pb").symlink_to(REAL)
    (tmp_path / "espresso.png").symlink_to(ROOT / "golden/images/coffee.png")
    (tmp_path / "net.py").write_text(re.findall(r"```python\n# net.py\n((?:.*\n)*?)```", README)[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    fill_cache(tmp_path / "cache")
    monkeypatch.setenv("PORTER_CACHE", "cache")
    return tmp_path


def fill_cache(cache: Path) -> None:
    """Put there what the real package gives `port fetch`, which tests/test_fetch.py downloads."""
    (source,) = (source for source in release_of("mobilenet_v1_1.0_224").sources if source.package)
    folder = cache / "mobilenet_v1_1.0_224"
    folder.mkdir(parents=True)
    (folder / source.checkpoint).symlink_to(REAL)
    record = {"source": source.where, "sha256": "", "checkpoint": source.checkpoint, "files": [source.checkpoint]}
    (folder / "fetched.json").write_text(json.dumps(record | {"ignore": list(source.ignore)}), encoding="utf-8")


@pytest.mark.parametrize(("command", "output"), CONSOLE, ids=[command[:60] for command, _ in CONSOLE])
def test_the_readmes_commands_print_what_it_shows(
    tf: Any, folder: Path, capsys: pytest.CaptureFixture[str], command: str, output: str
) -> None:
    with pytest.raises(SystemExit):
        main(shlex.split(command))
    out, err = capsys.readouterr()
    assert doctest.OutputChecker().check_output(masked(output), masked(out + err), ELLIPSIS), out + err


def test_the_readmes_python_runs(tf: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(shlex.split(next(command for command, _ in CONSOLE if "--out mobilenet.safetensors" in command)))
    capsys.readouterr()
    tests = [doctest.DocTestParser().get_doctest(README, {}, "README.md", None, None)]
    assert tests[0].examples
    assert all(doctest.DocTestRunner().run(test).failed == 0 for test in tests)


def test_the_demo_is_the_readmes_first_block() -> None:
    demo = re.search(r"^demo: .venv.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert demo is not None
    text = demo[1].replace("\\\n", " ").replace("build/", "")
    commands = [shlex.split(line.replace("$(BIN)/port ", "")) for line in text.strip().splitlines()]
    assert commands == [shlex.split(command) for command in re.findall(r"^\$ port (.*)", BLOCKS[0], re.MULTILINE)]


def test_the_reference_is_what_help_says(tmp_path: Path) -> None:
    writer = runpy.run_path(str(ROOT / "docs/write_reference.py"))
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == writer["cli_reference"]()
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert text == writer["architecture"](text)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).is_file() for link in links if "://" not in link)
