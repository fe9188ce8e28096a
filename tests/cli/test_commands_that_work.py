"""Errors end in commands that work: each runs as printed. Help and hints have the name that porter was called by."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.checkpoints import Saver, detector, seeded_variables
from helpers.places import ROOT
from porter import port
from porter.cli.command import RENAMED
from porter.cli.main import cli, main
from porter.files.called import as_called

NAME = "mobilenet_v1_0.25_128"
CHANGELOG = ROOT / "CHANGELOG.md"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs one command line: its exit status, output and error."""

    def call(*args: object) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        return (ended.value.code, *capsys.readouterr())

    return call


def convert(checkpoint: Path, *more: object, model: str = NAME, source: str = "tf") -> tuple[object, ...]:
    return (model, "--from", source, "--to", "torch", "--checkpoint", checkpoint, *more)


def commands(error: str) -> list[list[str]]:
    """Return the commands of porter's that an error shows, as lists of words."""
    return [shlex.split(found)[1:] for found in re.findall(r"`(port [^`]*)`", error)]


def test_a_wrong_width_ends_in_the_command_for_the_right_one(run: Any, save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "my model.safetensors"
    code, _, error = run(
        *convert(save(seeded_variables()), "--out", out, "--average", "raw", model="mobilenet_v1_1.0_224")
    )
    assert code == 2
    assert "the file holds MobileNet V1 0.25, whose weights are the same at 224, 192, 160, 128: run `port" in error
    assert error.rstrip().endswith("`")
    (command,) = commands(error)
    assert command[0] == "mobilenet_v1_0.25_224"
    assert command[-4:] == ["--out", str(out), "--average", "raw"]
    assert run(*command)[0] == 0
    assert out.is_file()


def test_a_wrong_dialect_ends_in_the_command_with_the_right_one(run: Any, save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "keras weights.h5"
    port(NAME, target="keras", checkpoint=save(seeded_variables()), out=out)
    error = run(*convert(out))[2]
    (command,) = commands(error)
    assert "with the names of Keras" in error
    assert command[1:5] == ["--from", "keras", "--to", "torch"]
    assert run(*command)[0] == 0


def test_verify_names_its_own_command(run: Any, tf: Any, save: Saver, tmp_path: Path) -> None:
    checkpoint = save(seeded_variables())
    error = run("verify", "mobilenet_v1_0.5_160", "--checkpoint", checkpoint, "--precision", "float32")[2]
    (command,) = commands(error)
    assert command == ["verify", "mobilenet_v1_0.25_160", "--checkpoint", str(checkpoint), "--precision", "float32"]
    out = tmp_path / "m.safetensors"
    port(NAME, checkpoint=checkpoint, out=out)
    assert run("verify", NAME, "--checkpoint", out)[0] == 0, "a file of PyTorch needs no other command"


def test_a_detector_ends_in_the_backbones_command(run: Any, save: Saver) -> None:
    (command,) = commands(run(*convert(save(detector())))[2])
    assert command[-1] == "--backbone"
    code, out, _ = run(*command)
    assert code == 0
    assert "13 variables outside of the network: BoxPredictor_0 (4), BoxPredictor_1 (4), FeatureExtractor/" in out
    assert run(*command, "--json")[1].count('"BoxPredictor_0": 4') == 1


def test_towers_end_in_a_command_each(run: Any, save: Saver) -> None:
    tensors = {
        f"{scope}/{name}": value for scope in ("tower_0", "tower_1") for name, value in seeded_variables().items()
    }
    found = commands(run(*convert(save(tensors)))[2])
    assert [command[-2:] for command in found] == [["--prefix", "tower_0/"], ["--prefix", "tower_1/"]]
    for command in found:
        code, out, _ = run(*command)
        assert code == 0
        assert "137 variables outside of the network: tower_" in out


def test_a_renamed_scope_is_printed_and_two_end_in_a_command_each(run: Any, save: Saver) -> None:
    """Zehaos/MobileNet#4: MobilenetV1_1, and a scope of one's own."""
    net = {name.removeprefix("MobilenetV1"): value for name, value in seeded_variables().items()}
    one = save({f"my_backbone{name}": value for name, value in net.items()}, "one.ckpt")
    assert "renamed  the scope my_backbone is read as MobilenetV1" in run(*convert(one))[1]
    two = save({f"{scope}{name}": value for scope in ("MobilenetV1_1", "b") for name, value in net.items()}, "two.ckpt")
    found = commands(run(*convert(two))[2])
    assert [command[-2:] for command in found] == [
        ["--rename", "MobilenetV1_1=MobilenetV1"],
        ["--rename", "b=MobilenetV1"],
    ]
    assert all(run(*command)[0] == 0 for command in found)


def test_a_stranger_has_no_command_but_inspect(run: Any, save: Saver) -> None:
    error = run(*convert(save({"resnet_v1_50/conv1/weights": np.zeros((1, 1, 2, 2), np.float32)})))[2]
    assert "another network, which porter does not know" in error
    assert "--ignore" not in error
    (command,) = commands(error)
    assert command[0] == "inspect"
    assert run(*command)[0] == 0


@pytest.mark.parametrize("value", ["net", "net=", "="])
def test_a_renaming_has_two_scopes(run: Any, value: str) -> None:
    assert f"--rename takes OLD=NEW, got {value}" in run(*convert(Path("x.ckpt"), "--rename", value))[2]


def test_a_name_of_another_size_gets_a_note(run: Any, save: Saver) -> None:
    """titu1994/MobileNetworks#5: the weights of every size look the same."""
    checkpoint = save(seeded_variables(), "mobilenet_v1_0.25_224.ckpt")
    code, out, _ = run(*convert(checkpoint))
    assert code == 0
    assert "says 224, but mobilenet_v1_0.25_128 takes images of 128: shapes cannot tell" in out
    assert "note" not in run(*convert(checkpoint, model="mobilenet_v1_0.25_224"))[1]


def test_dataparallels_prefix_is_found(run: Any, save: Saver, tmp_path: Path) -> None:
    ours, wrapped = tmp_path / "ours.safetensors", tmp_path / "wrapped.safetensors"
    port(NAME, checkpoint=save(seeded_variables()), out=ours)
    save_file({f"module.{name}": value for name, value in load_file(ours).items()}, wrapped)
    code, out, _ = run(NAME, "--from", "torch", "--to", "keras", "--checkpoint", wrapped)
    assert code == 0
    assert "prefix   module. precedes the model's names" in out


def test_old_options_are_refused_with_their_new_names(run: Any) -> None:
    """CHANGELOG.md's table of old and new names is the source."""
    listed: dict[str, dict[str, str]] = {}
    rows = re.findall(
        r"^\| (`port .*?) \| (`--.*?) \| (`--.*?) \|$", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE
    )
    for where, old, new in rows:
        for command in re.findall(r"`port (\w+)`", where):
            names = zip(re.findall(r"--[a-z-]+", old), re.findall(r"--[a-z-]+", new), strict=True)
            listed.setdefault("convert" if command == "MODEL" else command, {}).update(names)
    assert listed == RENAMED
    for command, options in RENAMED.items():
        for old, new in options.items():
            assert f"{old} is now {new}" in run(command, "x", old)[2]
            assert any(new in parameter.opts for parameter in cli.commands[command].params)


def test_every_hint_has_the_called_name(run: Any, save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MacPorts owns the name port."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/porter"])
    checkpoint = save(seeded_variables())
    said = [
        run(*convert(checkpoint, model="mobilenet_v1_1.0_224"))[2],
        run("verify", checkpoint)[2],
        run("mobilenet_v3")[2],
        run("inpect", checkpoint)[2],
        run(str(tmp_path))[2],
        run("inspect", checkpoint)[1],
        run("inspect", ROOT / "golden" / NAME / "graph.pb.gz")[1],
        run("--help")[1],
        run("convert", "--help")[1],
        run("verify", "--help")[1],
        run("fetch", "mobilenet_v1_0.25_128x")[2],
    ]
    for text in said:
        assert not re.search(r"(?<![\w/.-])port (MODEL|list|verify|check|inspect|mobilenet|nasnet|convert)", text), text
    assert all("porter " in text for text in said[:8])


def test_only_commands_get_the_called_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["porter"])
    assert (
        as_called("`port list`, and port it to `port x --from tf`")
        == "`porter list`, and port it to `porter x --from tf`"
    )
    assert as_called("  port MODEL\n  port it") == "  porter MODEL\n  port it"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert as_called("`port list`") == "`port list`"


def test_names_in_errors_cannot_steer_the_terminal(run: Any, save: Saver) -> None:
    tensors = seeded_variables() | {"evil\x1b[2J/weights": np.ones(2, np.float32)}
    error = run(*convert(save(tensors)))[2]
    assert "\x1b" not in error
    assert "evil\\x1b[2J/weights" in error
