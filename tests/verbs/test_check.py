"""check finds any changed bit in porter's files by their digests, and in checkpoints by their checksums."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from helpers.checkpoints import OTHER_OUTPUTS, OUTPUTS, SMALL, seeded_variables
from porter import load, port
from porter.cli.main import main
from porter.errors import FormatError, PorterError
from porter.files.seals import BLANK, sealed
from porter.formats.open import open_checkpoint
from porter.verbs.check import check
from porter.verbs.seed import seed


def files_of(path: Path) -> list[Path]:
    """Return the file and its record, or the folder's files."""
    return sorted(path.iterdir() if path.is_dir() else path.parent.glob(f"{path.name}*"))


@pytest.mark.slow
@pytest.mark.parametrize(("target", "name"), OUTPUTS + OTHER_OUTPUTS)
def test_300_of_300_changed_bits_are_found(tf: Any, small: Path, tmp_path: Path, target: str, name: str) -> None:
    out = port(SMALL, target=target, checkpoint=small, out=f"{tmp_path}/{name}").out
    assert out is not None
    whole = check(out)
    counters = 27 if target == "hf" else 0  # of its batch norms
    assert (bool(whole), whole.tensors) == (True, 137 + counters)
    files = files_of(out)
    sizes = [file.stat().st_size for file in files]
    draw = random.Random(name)
    found = 0
    for number in range(300):
        # Every other bit lies in a smaller part than the weights: headers, records, labels.
        file = draw.choices(files, sizes if number % 2 else None)[0]
        place = draw.randrange(file.stat().st_size if number % 2 else min(file.stat().st_size, 40_000))
        with file.open("r+b") as opened:
            flip(opened, place, 1 << number % 8)
            opened.flush()
            try:
                found += not check(out)
            except PorterError:
                found += 1
            flip(opened, place, 1 << number % 8)
    assert found == 300
    assert check(out)


@pytest.mark.parametrize("form", ["V2", "V1"])
def test_300_of_300_changed_bits_of_a_checkpoint_are_found(tf: Any, tmp_path: Path, form: str) -> None:
    """Any TensorFlow checkpoint has checksums, also one by `port seed`."""
    prefix = tmp_path / "s.ckpt"
    seed(SMALL, prefix)
    if form == "V1":
        stored = open_checkpoint(prefix)
        prefix = tmp_path / "v1.ckpt"
        tf.raw_ops.Save(filename=str(prefix), tensor_names=list(stored), data=list(stored.values()))
    files = sorted(tmp_path.glob(f"{prefix.name}*"))
    assert len(files) == {"V2": 2, "V1": 1}[form]
    assert str(check(prefix)) == f"{prefix} is intact: 137 tensors match their checksums"
    assert all(check(path) for path in (*files, tmp_path) if form == "V2" or path != tmp_path)
    draw = random.Random(form)
    found, named = 0, 0
    for number in range(300):
        file = files[number % len(files)]
        with file.open("r+b") as opened:
            place = draw.randrange(file.stat().st_size)
            flip(opened, place, 1 << number % 8)
            opened.flush()
            try:
                checked = check(prefix)
                found += not checked
                named += len(checked.damaged) == 1
            except PorterError:
                found += 1
            flip(opened, place, 1 << number % 8)
    assert found == 300
    assert named > 100
    assert check(prefix)


@pytest.mark.parametrize("form", ["V2", "V1", "object-based"])
def test_what_is_not_read_is_checked_too(tf: Any, tmp_path: Path, form: str) -> None:
    """Strings, dtypes that numpy lacks, and Keras' copies of variables."""
    prefix = tmp_path / "s.ckpt"
    texts, small = tf.constant(["a" * 50, "b" * 150]), tf.ones(3)
    if form == "V2":
        narrow = tf.cast(tf.ones(60), tf.dtypes.experimental.float8_e5m2)
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=["texts", "narrow", "w"],
            shape_and_slices=["", "", ""],
            tensors=[texts, narrow, small],
        )
        count = 3
    elif form == "V1":
        tf.raw_ops.Save(filename=str(prefix), tensor_names=["texts", "w"], data=[texts, small])
        count = 2
    else:
        module = tf.Module()
        module.one, module.other = tf.Variable(small, name="v"), tf.Variable(small, name="v")
        tf.train.Checkpoint(module=module).write(str(prefix))
        count = 3
    checked = check(prefix)
    assert (bool(checked), checked.tensors) == (True, count), checked
    for file in sorted(tmp_path.iterdir()):
        raw = file.read_bytes()
        for place in range(len(raw)):
            file.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :])
            try:
                whole = bool(check(prefix))
            except PorterError:
                whole = False
            assert not whole, (file.name, place)
        file.write_bytes(raw)


def flip(file: Any, place: int, bit: int) -> None:
    file.seek(place)
    (byte,) = file.read(1)
    file.seek(place)
    file.write(bytes([byte ^ bit]))


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
@pytest.mark.parametrize(("target", "name"), OUTPUTS)
def test_the_tensor_that_differs_is_named(
    tf: Any, small: Path, tmp_path: Path, target: str, name: str, dtype: str | None
) -> None:
    out = port(SMALL, target=target, checkpoint=small, out=f"{tmp_path}/{name}", save_dtype=dtype).out
    assert out is not None
    assert check(out)
    weights = max(files_of(out), key=lambda file: file.stat().st_size)
    tensor = "classifier.bias" if target == "torch" else "conv_preds/bias"
    values = load(SMALL, target, weights=out)
    bias = values.classifier.bias.detach() if target == "torch" else values.get_layer("conv_preds").bias
    kind = {"bfloat16": torch.bfloat16, "float16": torch.float16, None: torch.float32}[dtype]
    raw = torch.tensor(np.asarray(bias, np.float32)).to(kind).view(torch.uint8).numpy().tobytes()
    content = weights.read_bytes()
    assert content.count(raw) == 1
    at = content.index(raw) + 5
    weights.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert check(out).damaged == (tensor,)


def damaged_at(path: Path, raw: bytes) -> tuple[str, ...]:
    """Flip a bit of the first ``raw`` in ``path`` and return what a check finds."""
    content = path.read_bytes()
    at = content.index(raw) + 5
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    return check(path).damaged


@pytest.mark.parametrize(
    ("target", "name", "tensor"),
    [("tf", "m.pb", "MobilenetV1/Logits/Conv2d_1c_1x1/biases"), ("tensornets", "m.npz", "logits/biases")],
)
def test_a_graphs_constant_and_an_array_of_a_row_are_named(
    small: Path, tmp_path: Path, target: str, name: str, tensor: str
) -> None:
    out = tmp_path / name
    port(SMALL, target=target, checkpoint=small, out=out)
    assert check(out)
    biases = seeded_variables()["MobilenetV1/Logits/Conv2d_1c_1x1/biases"].tobytes()
    assert out.read_bytes().count(biases) == 1
    assert damaged_at(out, biases) == (tensor,)


def test_of_tensors_with_equal_values_their_number_is_said(small: Path, tmp_path: Path) -> None:
    port(SMALL, checkpoint=small, out=tmp_path / "m.safetensors")
    equal = np.full(8, 0.12345, np.float32)
    save_file(
        load_file(tmp_path / "m.safetensors") | {"bn1.weight": equal, "bn1.bias": equal}, tmp_path / "e.safetensors"
    )
    out = tmp_path / "m.pth"
    port(SMALL, "torch", "torch", checkpoint=tmp_path / "e.safetensors", out=out)
    assert check(out)
    assert damaged_at(out, equal.tobytes()) == ("1 of 2 tensors with equal values, bn1.weight among them",)


def test_digests_are_what_anybody_computes(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    port(SMALL, checkpoint=small, out=out)
    with safe_open(out, "numpy") as file:
        metadata = file.metadata()
    digests = json.loads(metadata["tensors_sha256"])
    want = {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in load_file(out).items()}
    assert digests == want
    raw = out.read_bytes()
    header = raw[: 8 + int.from_bytes(raw[:8], "little")]
    blank = header.replace(metadata["sha256"].encode(), b"0" * 64)
    assert hashlib.sha256(blank).hexdigest() == metadata["sha256"]
    port(SMALL, checkpoint=small, out=tmp_path / "m.pth")
    record = json.loads((tmp_path / "m.pth.json").read_text())
    assert record["tensors_sha256"] == want
    assert record["files_sha256"] == {"m.pth": hashlib.sha256((tmp_path / "m.pth").read_bytes()).hexdigest()}
    assert record["source"].keys() == {"s.ckpt.index", "s.ckpt.data-00000-of-00001"}


@pytest.mark.slow
def test_a_record_holds_the_parity(tf: Any, small: Path, tmp_path: Path) -> None:
    assert port(SMALL, checkpoint=small, out=tmp_path / "m.pth", verify=True)
    assert check(tmp_path / "m.pth")
    assert json.loads((tmp_path / "m.pth.json").read_text())["parity"]["ok"]


def test_cut_longer_missing_and_swapped_files_are_found(small: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "m.safetensors", tmp_path / "m"
    port(SMALL, checkpoint=small, out=out)
    port(SMALL, checkpoint=small, out=f"{folder}/")
    raw = out.read_bytes()
    out.write_bytes(raw + b"\0")
    assert check(out).damaged == ("1 byte after the last tensor",)
    out.write_bytes(raw[:-1])
    assert len(check(out).damaged) == 1
    out.write_bytes(raw[:100])
    with pytest.raises(PorterError, match="its header is cut off"):
        check(out)
    (folder / "labels.txt").unlink()
    assert check(folder).damaged == ("labels.txt, which is missing",)
    port(SMALL, checkpoint=small, out=f"{folder}/")
    port(SMALL, checkpoint=small, out=folder / "model.safetensors", save_dtype="float16")
    assert check(folder / "model.safetensors")
    assert check(folder).damaged == ("model.safetensors, which is another file",)


def test_what_is_cut_empty_or_missing_is_told(tmp_path: Path) -> None:
    prefix = seed(SMALL, tmp_path / "s.ckpt").out
    data = tmp_path / "s.ckpt.data-00000-of-00001"
    index = tmp_path / "s.ckpt.index"
    data.rename(tmp_path / "away")
    (told,) = check(prefix).damaged
    assert told.startswith(f"{data} is missing: s.ckpt.index expects 1 data file;")
    (tmp_path / "away").rename(data)
    assert check(prefix)
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"s.ckpt.index does not end like a checkpoint index, so it is cut off"):
        check(prefix)
    for path in (index, tmp_path / "m.safetensors"):
        path.write_bytes(b"")
        with pytest.raises(FormatError, match=rf"{path.name} is empty: copy or download it again"):
            check(path)


def test_a_strangers_file_has_no_digests(tmp_path: Path) -> None:
    save_file({"w": np.zeros(3, np.float32)}, tmp_path / "theirs.safetensors", {"format": "pt"})
    torch.save({"w": torch.zeros(3)}, tmp_path / "theirs.pth")
    for name in ("theirs.safetensors", "theirs.pth", ""):
        with pytest.raises(PorterError, match="holds no digests of porter's"):
            check(tmp_path / name)


def sealed_json(fields: dict[str, Any]) -> bytes:
    return sealed(json.dumps({**fields, "sha256": BLANK}).encode())


DIGEST = "0" * 64
RECORDS = {
    "names in a list": sealed_json({"files_sha256": ["m.pth"]}),
    "a number": sealed_json({"files_sha256": 3}),
    "a digest that is a number": sealed_json({"files_sha256": {"m.pth": 3}}),
    "tensors in a list": sealed_json({"files_sha256": {"m.pth": DIGEST}, "tensors_sha256": [1]}),
    "nested without end": sealed(b"[" * 100_000 + b'"sha256": "' + BLANK.encode() + b'"'),
    "no JSON": sealed(b'["sha256": "' + BLANK.encode() + b'"]'),
    "no UTF-8": sealed(b'{"a": "\xff", "sha256": "' + BLANK.encode() + b'"}'),
}


@pytest.mark.parametrize("form", ["beside", "folder"])
@pytest.mark.parametrize("what", RECORDS)
def test_a_record_that_porter_never_wrote(tmp_path: Path, what: str, form: str) -> None:
    """A seal is not a signature: anybody can set it."""
    (tmp_path / "m.pth").write_bytes(b"PK" + bytes(9))
    record = tmp_path / ("config.json" if form == "folder" else "m.pth.json")
    record.write_bytes(RECORDS[what])
    with pytest.raises(PorterError, match=f"{record} has a valid seal but not porter's layout: do not trust it"):
        check(tmp_path if form == "folder" else tmp_path / "m.pth")


HEADERS = {
    "no metadata": {},
    "no tensor": {"__metadata__": {"tensors_sha256": json.dumps({"w": DIGEST})}},
    "digests in a list": {"__metadata__": {"tensors_sha256": "[1]"}},
    "digests that are no JSON": {"__metadata__": {"tensors_sha256": "{"}},
    "a tensor before the file": {"__metadata__": {"tensors_sha256": json.dumps({"w": DIGEST})}, "w": [-99, 4]},
    "a tensor that ends before it begins": {"__metadata__": {"tensors_sha256": json.dumps({"w": DIGEST})}, "w": [4, 0]},
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_that_porter_never_wrote(tmp_path: Path, what: str) -> None:
    header = {name: {"data_offsets": at} if name == "w" else at for name, at in HEADERS[what].items()}
    text = json.dumps({**header, "sha256": BLANK}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(sealed(len(text).to_bytes(8, "little") + text) + bytes(8))
    with pytest.raises(PorterError, match=f"{path} has a valid seal but not porter's layout: do not trust it"):
        check(path)


def test_a_tensor_far_behind_the_file_is_damaged(tmp_path: Path) -> None:
    fields = {"__metadata__": {"tensors_sha256": json.dumps({"w": DIGEST})}, "w": {"data_offsets": [1 << 70, 1 << 71]}}
    text = json.dumps({**fields, "sha256": BLANK}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(sealed(len(text).to_bytes(8, "little") + text))
    assert check(path).damaged == ("w",)


def test_a_record_leads_nowhere_else(tmp_path: Path) -> None:
    """No other file is opened, neither by a record nor by HDF5."""
    folder = tmp_path / "m"
    folder.mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (folder / "empty").mkdir()
    digests = dict.fromkeys(("../outside", str(outside), "", "..", "a\x00b", "n" * 999, "empty"), DIGEST)
    (folder / "config.json").write_bytes(sealed_json({"files_sha256": digests}))
    checked = check(folder)
    assert list(checked.files) == [folder / "config.json"]
    assert checked.damaged == tuple(f"{name}, which is missing" for name in digests)
    path = tmp_path / "m.h5"
    secret = np.frombuffer(b"secret", "u1")
    with h5py.File(path, "w") as file:
        file.create_dataset("w", secret.shape, "u1", external=[(str(outside), 0, len(secret))])
    record = {"files_sha256": {"m.h5": DIGEST}, "tensors_sha256": {"w": hashlib.sha256(secret).hexdigest()}}
    (tmp_path / "m.h5.json").write_bytes(sealed_json(record))
    assert check(path).damaged == ("the structure of m.h5, which hides its tensors",)


def test_a_strangers_json_is_not_written_over(small: Path, tmp_path: Path) -> None:
    (tmp_path / "m.pth.json").write_text('{"years": "of work"}')
    with pytest.raises(PorterError, match=r"keep its digests in m.pth.json, another program's file: give"):
        port(SMALL, checkpoint=small, out=tmp_path / "m.pth")
    assert (tmp_path / "m.pth.json").read_text() == '{"years": "of work"}'
    assert not (tmp_path / "m.pth").exists()


def test_the_command_line(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.safetensors"
    port(SMALL, checkpoint=small, out=out)

    def run(*args: object) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["check", *map(str, args)])
        return ended.value.code, *capsys.readouterr()

    assert run(out) == (0, f"{out} is intact: 137 tensors and everything else are as porter wrote them\n", "")
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    code, said, _ = run(out, "--json", "--expect-sha256", digest)
    assert (code, json.loads(said)["sha256"]) == (0, {str(out): digest})
    assert run(out, "--expect-sha256", "0" * 64)[0] == 2
    assert "No such option '--atol'" in run(out, "--atol", 1)[2]
    with out.open("r+b") as file:
        flip(file, out.stat().st_size - 1, 1)
    code, said, _ = run(out)
    assert code == 1
    assert said.startswith(f"{out} is damaged: port it again or copy it again; these parts differ\n  ")
    code, said, _ = run(out, "--json")
    assert (code, json.loads(said)["ok"], len(json.loads(said)["damaged"])) == (1, False, 1)
    assert "absent.safetensors does not exist" in run("absent.safetensors")[2]
    assert run(small) == (0, f"{small} is intact: 137 tensors match their checksums\n", "")
    assert json.loads(run(small, "--json")[1])["by"] == "checksums"


@pytest.mark.parametrize("name", ["m.safetensors", "m.pth", "m.h5"])
def test_no_framework_is_imported(tf: Any, small: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    port(SMALL, target="keras" if name == "m.h5" else "torch", checkpoint=small, out=out)
    with out.open("r+b") as file:
        flip(file, out.stat().st_size - 1, 1)
    script = f"""import sys; from porter.cli.main import main
try: main(["check", {str(out)!r}])
except SystemExit as ended: assert ended.code == 1, ended.code
assert not {{"torch", "keras", "tensorflow"}} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
