"""The command line, run as a user runs it: what it prints, writes and returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from helpers.checkpoints import Saver, seeded_variables, training_checkpoint
from helpers.processes import HANG
from porter import load
from porter.catalog.models import ARCHS
from porter.cli.main import COMMANDS, cli, main
from porter.files.installed import porter_version

MODEL = "mobilenet_v1_0.25_128"
LARGEST = "mobilenet_v1_0.25_224"
"""The model that a checkpoint without a size is named after: the same network at four sizes."""


class Run:
    """What one call printed and returned."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *args: object) -> None:
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        self.code = ended.value.code
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *args: Run(capsys, *args)


def arguments(prefix: Path, *more: object) -> tuple[object, ...]:
    return (MODEL, "--from", "tf", "--to", "torch", "--checkpoint", prefix, *more)


def test_a_checkpoint_becomes_a_file_that_loads_as_a_module(run: Any, save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "mobilenet.safetensors"
    done = run(*arguments(save(training_checkpoint()), "--out", out))
    assert (done.code, done.err) == (0, "")
    assert "274 optimizer slots, 137 variables, 137 EMA shadows, 1 step counter" in done.out
    assert "ema: the moving averages; largest |raw - ema|" in done.out
    model = load(MODEL, "torch", weights=out)
    want = training_checkpoint()["MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage"]
    assert np.array_equal(model.conv_stem.weight.detach().numpy(), want.transpose(3, 2, 0, 1))
    with safe_open(out, "numpy") as file:
        assert file.metadata()["model"] == MODEL
        assert file.metadata()["average"] == "ema"


def test_pth_and_safetensors_hold_the_same_tensors(run: Any, save: Saver, tmp_path: Path) -> None:
    prefix = save(seeded_variables())
    for suffix in ("safetensors", "pth"):
        assert run(*arguments(prefix, "--out", tmp_path / f"m.{suffix}")).code == 0
    stored = torch.load(tmp_path / "m.pth", weights_only=True)
    other = load_file(tmp_path / "m.safetensors")
    assert stored.keys() == other.keys()
    assert all(np.array_equal(stored[name].numpy(), other[name]) for name in other)
    assert load(MODEL, "torch", weights=tmp_path / "m.pth").classifier.out_features == 1001


def test_what_we_write_is_what_the_safetensors_package_writes(run: Any, save: Saver, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    out, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    run(*arguments(save(seeded_variables()), "--out", out))
    with safe_open(out, "numpy") as file:
        save_file({name: np.ascontiguousarray(v) for name, v in load_file(out).items()}, theirs, file.metadata())

    def parts(path: Path) -> tuple[Any, bytes]:
        raw = path.read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        return json.loads(raw[8:end]), raw[end:]

    assert parts(out) == parts(theirs)


def test_verify_in_the_same_call_writes_the_file_it_checked(tf: Any, run: Any, save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    done = run(*arguments(save(training_checkpoint()), "--out", out, "--verify", "--json"))
    assert done.code == 0
    result = json.loads(done.out)
    assert result["ok"]
    assert result["verification"]["ok"]
    assert len(result["verification"]["ports"]["torch"]["endpoints"]) == 30
    assert result["roles"] == {"optimizer slot": 274, "variable": 137, "EMA shadow": 137, "step counter": 1}
    assert result["out"] == str(out)
    assert run("check", out).code == 0


def test_failed_parity_is_1_and_leaves_no_file(
    tf: Any, run: Any, save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from porter.nets.mobilenet_v1 import torch as mobilenet_v1

    monkeypatch.setattr(mobilenet_v1, "EPSILON", 1e-5)
    out = tmp_path / "m.safetensors"
    done = run(*arguments(save(seeded_variables()), "--out", out, "--verify"))
    assert done.code == 1
    assert "parity fails: Conv2d_0 is the first endpoint that diverges" in done.out
    assert "nothing was written, because parity failed" in done.out
    assert not [path for path in tmp_path.iterdir() if "safetensors" in path.name]


def test_verify_of_a_model_alone_uses_the_goldens(run: Any) -> None:
    done = run("verify", MODEL)
    assert done.code == 0
    assert "against the golden of the original code" in done.out
    assert done.out.splitlines()[-1].startswith("parity holds at 30 endpoints")
    assert run("verify", "mobilenet_v1", "--json").out.startswith('{"ok": true, "model": "mobilenet_v1_1.0_224"')


def test_list_shows_every_model(run: Any) -> None:
    done = run("list")
    assert done.code == 0
    assert all(name in done.out for name in ARCHS)
    listed = json.loads(run("list", "--json").out)
    assert listed["mobilenet_v1_1.0_224"]["aliases"] == ["mobilenet_v1"]
    assert listed["mobilenet_v1_1.0_224"]["parameters"] == 4_254_889


def test_inspect_names_the_model_and_the_command(run: Any, save: Saver) -> None:
    tensors = training_checkpoint() | {"head/weights": np.zeros((3, 2), np.float32)}
    done = run("inspect", save(tensors))
    assert done.code == 0
    assert "MobileNet V1 0.25, whose weights are the same at 224, 192, 160, 128, and 1 variable that" in done.out
    assert "--ignore 'head/*'" in done.out
    assert json.loads(run("inspect", save(tensors), "--json").out)["recognised"]["unknown"] == ["head/weights"]
    assert (
        "an architecture unknown to porter"
        in run("inspect", save({"a/weights": np.zeros(3, np.float32)}, "b.ckpt")).out
    )


def test_no_model_is_named_like_a_command() -> None:
    names = {name for arch in ARCHS.values() for name in (arch.name, *arch.aliases)}
    assert not names & {*cli.commands, "fetch", "port", "seed"}


def test_convert_is_the_spelled_out_form_of_a_models_name(run: Any) -> None:
    assert "convert " in run("--help").out
    assert run("convert", MODEL, "--help").out == run(MODEL, "--help").out
    assert run("convert", MODEL, "--to", "torch").err == run(MODEL, "--to", "torch").err


def test_a_file_in_place_of_a_model_is_answered_with_the_command_that_ports_it(
    run: Any, save: Saver, tmp_path: Path
) -> None:
    prefix, text = save(seeded_variables()), tmp_path / "notes.txt"
    text.write_text("nothing to port")
    for before in ((), ("convert",)):
        refused = run(*before, prefix, "--to", "torch")
        command = f"port {LARGEST} --from tf --to torch --checkpoint {prefix} --out model.safetensors"
        assert (refused.code, refused.out) == (2, "")
        assert (
            f"{prefix} is a file, not a model or command: it holds {LARGEST}, port it with `{command}`" in refused.err
        )
        unknown = run(*before, text, "--to", "torch")
        assert f"{text} is a file, not a model or command: see what it is with `port inspect {text}`" in unknown.err


def test_check_finds_damage_and_verify_sends_files_to_check(run: Any, save: Saver, tmp_path: Path) -> None:
    prefix, out = save(seeded_variables()), tmp_path / "m.safetensors"
    run(*arguments(prefix, "--out", out))
    assert run("check", prefix).code == 0
    whole = run("check", out, "--json")
    assert (whole.code, json.loads(whole.out)["ok"]) == (0, True)
    for path in (out, prefix):
        refused = run("verify", path)
        assert (refused.code, refused.out) == (2, "")
        model = MODEL if path == out else LARGEST
        command = f"`port verify {model} --checkpoint {path}`"
        assert f"{path} is a file, not a model: verify its weights with {command}, or" in refused.err
        assert f"check its digests with `port check {path}`" in refused.err
    raw = bytearray(out.read_bytes())
    raw[-1] ^= 1
    out.write_bytes(raw)
    damaged = run("check", out, "--json")
    assert (damaged.code, json.loads(damaged.out)["ok"]) == (1, False)
    refused = run("check", out, "--expect-sha256", "0" * 64)
    assert refused.code == 2
    assert "m.safetensors" in refused.err


@pytest.mark.parametrize(("called", "shown"), [("port", "port"), ("porter", "porter"), ("pytest", "port")])
def test_usage_and_errors_show_the_name_that_was_called(
    run: Any, monkeypatch: pytest.MonkeyPatch, called: str, shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{called}"])
    assert run("--help").out.startswith(f"Usage: {shown} ")
    assert run("verify", MODEL, "--frobnicate").err == (
        f"{shown}: No such option '--frobnicate' (see `{shown} verify --help`)\n"
    )
    assert run("verify", "absent").err.startswith(f"{shown}: ")


def test_both_commands_are_installed_and_show_the_distributions_version(run: Any) -> None:
    commands = {script.name: script.value for script in entry_points(group="console_scripts")}
    assert commands["port"] == commands["porter"] == "porter.cli.__main__:main"
    assert run("--version").out == f"tensorporter {porter_version()}\n"


MISTAKES = [
    (("mobilenet_v9", "--from", "tf", "--to", "torch", "--checkpoint", "x"), "did you mean mobilenet_v2"),
    (
        (MODEL, "--from", "tf", "--to", "torch", "--checkpoint", "absent"),
        "absent does not exist, nor does absent.index",
    ),
    ((MODEL, "--from", "tf", "--to", "jax", "--checkpoint", "x"), "has no dialect 'jax': choose from tf, torch, keras"),
    ((MODEL, "--from", "tf", "--checkpoint", "x"), "Missing option '--to'"),
    ((MODEL, "--from", "keras", "--to", "torch"), "only TensorFlow's released checkpoints are fetched"),
    (("verify", MODEL, "--images", "a.png"), "give --checkpoint, or leave --images out"),
    (("inspect", "absent"), "absent does not exist"),
    (("--frobnicate",), "No such option"),
]


@pytest.mark.parametrize(("args", "message"), MISTAKES)
def test_a_mistake_is_one_sentence_and_2(run: Any, args: tuple[str, ...], message: str) -> None:
    done = run(*args)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.startswith("port: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("m.txt", "has no suffix that porter writes for torch: end it in .safetensors or .pth"),
        ("absent/m.safetensors", "does not exist: make it first"),
        (".", "holds other files: name a new folder"),
    ],
)
def test_an_out_that_cannot_be_written_is_refused_first(
    run: Any, save: Saver, tmp_path: Path, out: str, message: str
) -> None:
    done = run(*arguments(save(seeded_variables()), "--out", tmp_path / out))
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize(
    ("args", "option", "name", "message"),
    [
        (("seed", MODEL), "--out", "frozen.pb", "seed writes a TensorFlow checkpoint: name its prefix"),
        (("seed", MODEL), "--out", "m.weights.h5", "seed writes a TensorFlow checkpoint: name its prefix"),
        (("seed", MODEL), "--out", "M.NPZ", "seed writes a TensorFlow checkpoint: name its prefix"),
        (("seed", MODEL), "--out", "m.ckpt.index", "seed writes a TensorFlow checkpoint: name its prefix"),
        (("decompile", "absent.pb", "--to", "torch"), "--out", "net.py", "decompile writes a folder: name one"),
        (("decompile", "absent.pb", "--to", "torch"), "--out", "net.onnx", "decompile writes a folder: name one"),
        (("inspect", "absent.pb"), "--html", "page.svg", "an HTML page is written there"),
        (("inspect", "absent.pb"), "--svg", "blocks.png", "a drawing is written there"),
        (("inspect", "absent.pb"), "--write-table", "table.json", "a mapping table is written there"),
        (("inspect", "absent.pb"), "--tensorboard", "graph.pb", "an event file is written to a folder there"),
        (("verify", MODEL), "--report", "report.pdf", "the report is an HTML page"),
    ],
)
def test_an_output_with_the_suffix_of_another_format_is_refused(
    run: Any, tmp_path: Path, args: tuple[str, ...], option: str, name: str, message: str
) -> None:
    done = run(*args, option, tmp_path / name)
    assert (done.code, done.out) == (2, "")
    said = f"port: {option} {tmp_path / name} ends in {Path(name.lower()).suffix}, but {message}"
    assert " ".join(done.err.split()).startswith(said)
    assert not list(tmp_path.iterdir())


def test_a_name_that_says_folder_or_no_format_is_taken(run: Any, tmp_path: Path) -> None:
    assert run("seed", MODEL, "--out", tmp_path / "model.ckpt-1450000").code == 0
    (tmp_path / "net.pb").mkdir()
    assert "absent.pb does not exist" in run("decompile", "absent.pb", "--out", tmp_path / "net.pb").err
    assert "absent.pb does not exist" in run("decompile", "absent.pb", "--out", f"{tmp_path}/net.h5/").err


def test_a_mistake_leaves_an_older_file_as_it_was(run: Any, save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    out.write_bytes(b"older")
    prefix = save(seeded_variables())
    data = prefix.with_name(f"{prefix.name}.data-00000-of-00001")
    raw = bytearray(data.read_bytes())
    raw[-1] ^= 1
    data.write_bytes(raw)
    done = run(*arguments(prefix, "--out", out))
    assert done.code == 2
    assert "does not match its checksum" in done.err
    assert out.read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir() if "m.safetensors" in path.name] == ["m.safetensors"]


def test_weights_of_another_model_or_head_are_refused_by_load(run: Any, save: Saver, tmp_path: Path) -> None:
    from porter.errors import PorterError

    prefix, out = save(seeded_variables()), tmp_path / "m.safetensors"
    run(*arguments(prefix, "--out", out))
    with pytest.raises(PorterError, match=r"has shape \(8, 3, 3, 3\), the network's is \(16, 3, 3, 3\)"):
        load("mobilenet_v1_0.5_128", "torch", weights=out)
    with pytest.raises(PorterError, match="the head has another shape than the target's"):
        load(MODEL, "torch", weights=out, num_classes=10)


def test_a_pipe_gets_plain_text_and_no_progress(save: Saver, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "porter.cli.main", *map(str, arguments(save(seeded_variables())))]
    command += ["--out", str(tmp_path / "m.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


def test_a_port_imports_nothing_that_only_terminals_need(save: Saver, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "porter.cli.main",
        *map(str, arguments(save(seeded_variables()))),
    ]
    command += ["--out", str(tmp_path / "m.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "numpy" in imported
    assert not imported & {"rich", "rich.console", "importlib.metadata", "tarfile"}


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_sees_progress(save: Saver, tmp_path: Path) -> None:
    terminal, other_end = os.openpty()
    command = [sys.executable, "-m", "porter.cli.main", *map(str, arguments(save(seeded_variables())))]
    command += ["--out", str(tmp_path / "m.safetensors")]
    with subprocess.Popen(command, stderr=other_end, stdout=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm"}):
        os.close(other_end)
        shown = b""
        while chunk := read(terminal):
            shown += chunk
    assert b"writing" in shown


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_a_reader_that_goes_away_does_not_change_the_status() -> None:
    for command in (["list"], ["list", "--json"], ["verify", MODEL]):
        quoted = " ".join(command)
        script = f"{sys.executable} -m porter.cli.main {quoted} | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=HANG)
        assert (done.returncode, done.stderr) == (0, ""), command


def test_names_are_not_taken_for_markup(run: Any, save: Saver) -> None:
    done = run("inspect", save({"a[/b]/w": np.zeros(3, np.float32), "x[bold]y[/bold]/w": np.zeros(3, np.float32)}))
    assert done.code == 0
    assert "a[/b]" in done.out
    assert "x[bold]y[/bold]" in done.out


def test_tensorflow_runs_without_onednn_whatever_is_written(tf: Any, save: Saver, tmp_path: Path) -> None:
    """Keras imports TensorFlow to write a .keras file: the settings must come before."""
    command = [sys.executable, "-m", "porter.cli.main", *map(str, arguments(save(seeded_variables())))]
    command[command.index("torch")] = "keras"
    command += ["--out", str(tmp_path / "m.keras"), "--verify"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert "oneDNN" not in done.stderr


def test_a_mistyped_verb_is_named(run: Any) -> None:
    assert "did you mean `port verify`?" in run("verfy", MODEL).err
    assert "did you mean mobilenet_v1" in run("mobilenet_v11").err
    assert run().code == 0
    assert "Usage: port" in run().out


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=False)


@pytest.mark.parametrize("module", ["click", "numpy", "porter.errors", "porter.cli.main"])
def test_an_interrupt_while_porter_is_imported_is_one_line(module: str) -> None:
    script = f"""
import sys, porter.cli.__main__
class Interrupt:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
sys.argv[1:] = ["check", "absent"]
porter.cli.__main__.main()"""
    done = python(script)
    assert (done.returncode, done.stderr) == (130, "port: interrupted\n")


def test_before_interrupts_are_caught_only_small_modules_are_imported() -> None:
    done = python("import sys; old = {*sys.modules}; import porter.cli.__main__; print(*sorted({*sys.modules} - old))")
    ours = [name for name in done.stdout.split() if name.split(".")[0] not in sys.stdlib_module_names]
    small = ["porter", "porter.cli", "porter.cli.__main__", "porter.files", "porter.files.called"]
    assert ours == small, done.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_port_verify_shows_progress_on_a_terminal(tf: Any, save: Saver, tmp_path: Path) -> None:
    terminal, other_end = os.openpty()
    command = [sys.executable, "-m", "porter.cli.main", *map(str, arguments(save(seeded_variables()), "--verify"))]
    with subprocess.Popen(command, stderr=other_end, stdout=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm"}):
        os.close(other_end)
        shown = b""
        while chunk := read(terminal):
            shown += chunk
    assert b"verifying" in shown


def test_a_terminal_without_unicode_gets_escapes(tmp_path: Path, small: Path) -> None:
    environment = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "porter.cli", "inspect", str(small)]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr
    assert b"MobileNet V1 0.25" in done.stdout


def test_the_list_of_commands_has_each_one_s_own_first_sentence() -> None:
    assert {name: text for name, (_, text) in COMMANDS.items()} == {
        name: command.get_short_help_str(200) for name, command in cli.commands.items()
    }


def test_help_imports_no_more_than_click_and_small_modules() -> None:
    code = "import sys; from porter.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    loaded = python(code).stdout.split()
    assert "click" in loaded
    assert not {"numpy", "rich", "porter.mapping", "porter.verbs", "importlib.metadata"} & {*loaded}
