"""Whole outputs of `port inspect`, compared with the files in tests/outputs/.

    PYTHONPATH=.:tests python tests/cli/test_outputs.py

writes these files again; their diff shows all changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.graphs import path_of
from helpers.places import GRAPH, TESTS
from porter.cli.main import main

OUTPUTS = TESTS / "outputs"
COMMANDS = {
    "mobilenet_v1": "inspect mobilenet_v1.pb.gz",
    "nasnet_mobile": "inspect nasnet_mobile.pb.gz",
    "nasnet_large": "inspect nasnet_large.pb.gz",
    "nasnet_large_scope": "inspect nasnet_large.pb.gz --scope cell_3",
    "retrained_graph": "inspect retrained_graph.pb",
    "retrained_graph_depth": "inspect retrained_graph.pb --depth 2",
    "retrained_graph_find": "inspect retrained_graph.pb --find final_training_ops",
}


def link_all(folder: Path) -> None:
    """Put the graphs into ``folder`` under the names that the commands use."""
    (folder / "mobilenet_v1.pb.gz").symlink_to(path_of("mobilenet_v1_1.0_224"))
    for name in ("nasnet_mobile", "nasnet_large"):
        (folder / f"{name}.pb.gz").symlink_to(path_of(name))
    if GRAPH.is_file():
        (folder / "retrained_graph.pb").symlink_to(GRAPH)


def printed(command: str, read: Callable[[], str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert not ended.value.code
    return f"$ port {command}\n{read()}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_whole_output_is_the_kept_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "retrained" in name and not GRAPH.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{GRAPH} is missing: run `make weights`")
    link_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = printed(COMMANDS[name], lambda: capsys.readouterr().out)
    assert shown == (OUTPUTS / f"{name}.txt").read_text(encoding="utf-8")


def write_again() -> None:
    """Write all outputs anew."""
    import contextlib
    import io
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        link_all(Path(folder))
        os.chdir(folder)
        for name, command in COMMANDS.items():
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                text = printed(command, out.getvalue)
            (OUTPUTS / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_again()
