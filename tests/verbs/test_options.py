"""Options of port: prefixes, heads, dtypes and model folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from helpers.checkpoints import Saver, seeded_variables, training_checkpoint
from porter import load, port
from porter.catalog import families
from porter.catalog.models import find_arch
from porter.cli.main import main
from porter.errors import MappingError, PorterError
from porter.export.casting import bfloat16_bits
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.mapping.head import Head
from porter.mapping.stored_names import find_prefix
from porter.mapping.translate import translate
from porter.parity.compare import Report
from porter.parity.result import Verification

NAME = "mobilenet_v1_0.25_128"
HEAD = "MobilenetV1/Logits/Conv2d_1c_1x1"


def prefixed(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: value for name, value in tensors.items()}


@pytest.mark.parametrize("prefix", ["import/", "module/", "FeatureExtractor/", "my/own/scope/"])
@pytest.mark.parametrize("training", [False, True])
def test_a_prefix_is_found_and_reported(save: Saver, tmp_path: Path, prefix: str, training: bool) -> None:
    tensors = training_checkpoint() if training else seeded_variables()
    plain = port(NAME, checkpoint=save(tensors), out=tmp_path / "plain.safetensors")
    found = port(NAME, checkpoint=save(prefixed(prefix, tensors), "p.ckpt"), out=tmp_path / "found.safetensors")
    assert (plain.translation.prefix, found.translation.prefix) == ("", prefix)
    ours, want = load_file(tmp_path / "found.safetensors"), load_file(tmp_path / "plain.safetensors")
    assert all(np.array_equal(ours[name], want[name]) for name in want)


def test_a_prefixed_checkpoint_is_verified(tf: Any, save: Saver) -> None:
    result = port(NAME, checkpoint=save(prefixed("import/", training_checkpoint())), verify=True)
    assert result, str(result.verification and result.verification.ports)


def test_two_copies_of_a_model_need_a_prefix(save: Saver) -> None:
    tensors = prefixed("student/", seeded_variables()) | prefixed("teacher/", seeded_variables())
    prefix = save(tensors)
    with pytest.raises(MappingError, match=r"the model 2 times, in the scopes 'student', 'teacher'; take one of\n"):
        port(NAME, checkpoint=prefix)
    chosen = port(NAME, checkpoint=prefix, prefix="student/")
    assert chosen.translation.prefix == "student/"
    assert chosen.translation.other_scopes == {"teacher": 137}
    ignoring = port(NAME, checkpoint=prefix, prefix="student/", ignore=["teacher/*"])
    assert len(ignoring.translation.ignored) == 137
    with pytest.raises(
        MappingError, match="'nobody/' precedes none of the model's names: they follow 'student/', 'teacher/'"
    ):
        port(NAME, checkpoint=prefix, prefix="nobody/")


def test_the_prefix_is_the_one_of_most_names() -> None:
    names = ["a/w", "a/b", "c/w"]
    assert find_prefix(["x/a/w", "x/a/b", "c/w"], names) == "x/"
    assert find_prefix(["nothing"], names) == ""


def test_no_head_ports_the_backbone_alone(tf: Any, save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "backbone.safetensors"
    result = port(NAME, checkpoint=save(seeded_variables()), out=out, head=Head(no_head=True), verify=True)
    assert result, str(result.verification and result.verification.ports)
    assert result.verification is not None
    assert result.verification.ports["torch"].rows[-1].endpoint == "AvgPool_1a"
    assert result.translation.head_note == "left out"
    assert not [name for name in load_file(out) if "classifier" in name]
    features = load(NAME, "torch", weights=out)
    assert features(torch.zeros(2, 3, 128, 128)).shape == (2, 256)
    assert load(NAME, "torch", weights=out, num_classes=5)(torch.zeros(2, 3, 128, 128)).shape == (2, 5)
    assert torch.equal(load(NAME, "torch", weights=out, num_classes=5).conv_stem.weight, features.conv_stem.weight)
    heads = []
    for build in (lambda: load(NAME, "torch", weights=out, num_classes=5).classifier, lambda: torch.nn.Linear(256, 5)):
        torch.manual_seed(0)
        heads.append(build())
    assert torch.equal(heads[0].weight, heads[1].weight)  # as PyTorch begins, and nothing else is drawn
    assert torch.equal(heads[0].bias, heads[1].bias)


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_fresh_head_has_the_classes_asked_for(tf: Any, save: Saver, tmp_path: Path, framework: str) -> None:
    out = tmp_path / "fresh.safetensors"
    options: dict[str, Any] = {"target": framework, "head": Head(num_classes=5), "verify": True}
    result = port(NAME, checkpoint=save(seeded_variables()), out=out, **options)
    assert result
    assert result.translation.head_note == "fresh, 5 classes, to be trained"
    stored = load_file(out)
    (bias,) = (value for name, value in stored.items() if value.shape == (5,))
    assert not bias.any()
    assert load(NAME, framework, weights=out) is not None


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_classes_1000_drops_the_background_and_nothing_else(
    tf: Any, save: Saver, tmp_path: Path, framework: str
) -> None:
    out = tmp_path / "1000.safetensors"
    head = Head(drop_background=True)
    result = port(NAME, target=framework, checkpoint=save(seeded_variables()), out=out, head=head, verify=True)
    assert result, str(result.verification and result.verification.ports)
    assert result.verification is not None
    assert [row.endpoint for row in result.verification.ports[framework].rows][-2:] == ["Logits", "Predictions"]
    assert result.translation.num_classes == 1000
    original = seeded_variables()[f"{HEAD}/biases"]
    (bias,) = (value for name, value in load_file(out).items() if value.shape == (1000,))
    assert np.array_equal(bias, original[1:])
    labels = families.labels("imagenet_1001")
    shown = {label for picture in result.verification.images for label, _ in picture.reference}
    assert shown <= set(labels[1:])


def test_a_head_without_background_keeps_its_classes(save: Saver) -> None:
    tensors = seeded_variables()
    tensors[f"{HEAD}/weights"] = np.ones((1, 1, 256, 5), np.float32)
    tensors[f"{HEAD}/biases"] = np.ones(5, np.float32)
    with pytest.raises(PorterError, match="the released 1001 classes, but this head has 5: leave it out"):
        port(NAME, checkpoint=save(tensors), head=Head(drop_background=True))
    with pytest.raises(PorterError, match="exclude each other: take one of them"):
        Head(no_head=True, drop_background=True)
    with pytest.raises(PorterError, match="must be from 1 to"):
        Head(num_classes=0)


@pytest.mark.parametrize(
    ("framework", "suffix"), [("torch", ".safetensors"), ("torch", ".pth"), ("keras", ".keras"), ("keras", ".h5")]
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_are_rounded_to_nearest(save: Saver, tmp_path: Path, framework: str, suffix: str, dtype: str) -> None:
    out = tmp_path / f"small{suffix}"
    checkpoint = save(seeded_variables())
    port(NAME, target=framework, checkpoint=checkpoint, out=out, save_dtype=dtype)
    full = port(NAME, target=framework, checkpoint=checkpoint)
    stored = open_checkpoint(out)
    for name, entry in full.translation.entries.items():
        want = entry.load().astype(np.float16 if dtype == "float16" else ml_dtypes.bfloat16)
        assert np.array_equal(stored[name].astype(np.float32), want.astype(np.float32)), name


def test_bfloat16_rounds_as_ml_dtypes_does() -> None:
    edges = np.array([0, -0.0, 1, 1.00390625, 1.01171875, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 1e-45], np.float32)
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    values = np.concatenate([edges, bits.view(np.float32)])
    got = (bfloat16_bits(values).astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        want = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    assert np.array_equal(got, want, equal_nan=True)


def test_a_folder_has_weights_facts_labels_and_a_card(tf: Any, save: Saver, tmp_path: Path) -> None:
    out, prefix = tmp_path / "mobilenet", save(training_checkpoint())
    result = port(NAME, checkpoint=prefix, out=f"{out}/", verify=True)
    assert result.out == out
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "labels.txt", "README.md"}
    config = json.loads((out / "config.json").read_text())
    index = prefix.with_name("model.ckpt.index")
    assert config["source"]["model.ckpt.index"] == hashlib.sha256(index.read_bytes()).hexdigest()
    assert set(config["source"]) == {"model.ckpt.index", "model.ckpt.data-00000-of-00001"}
    assert (config["model"], config["average"], config["num_classes"]) == (NAME, "ema", 1001)
    assert config["save_dtype"] is None
    assert config["parity"]["ok"]
    assert config["parity"]["verdict"].startswith("parity holds at 30 endpoints")
    assert (out / "labels.txt").read_text().splitlines() == families.labels("imagenet_1001")
    card = (out / "README.md").read_text()
    assert "the exponential moving averages" in card
    assert "274 × optimizer slot" in card
    with safe_open(out / "model.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert json.loads(metadata["source"]) == config["source"]
    assert metadata["preprocessing"] == "inception"
    assert load(NAME, "torch", weights=out)(torch.zeros(1, 3, 128, 128)).shape == (1, 1001)


def test_a_folder_is_replaced_whole_and_a_folder_with_other_files_is_refused(save: Saver, tmp_path: Path) -> None:
    out, prefix = tmp_path / "mobilenet", save(seeded_variables())
    port(NAME, checkpoint=prefix, out=f"{out}/")
    port(NAME, checkpoint=prefix, out=f"{out}/", head=Head(no_head=True))
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(PorterError, match=r"holds other files: name a new folder\n  thesis.tex"):
        port(NAME, checkpoint=prefix, out=f"{out}/")
    assert (out / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("head", [Head(no_head=True), Head(num_classes=7)])
def test_a_checkpoint_without_a_head_is_ported_without_one(tf: Any, save: Saver, tmp_path: Path, head: Head) -> None:
    """SSD's feature extractors are saved like this."""
    tensors = {name: value for name, value in seeded_variables().items() if not name.startswith(HEAD)}
    prefix, out = save(prefixed("FeatureExtractor/", tensors)), tmp_path / "backbone.safetensors"
    with pytest.raises(MappingError, match="take `no_head=True` or `num_classes`"):
        port(NAME, checkpoint=prefix)
    result = port(NAME, checkpoint=prefix, head=head, out=out, verify=True)
    assert result, str(result.verification and result.verification.ports)
    assert result.translation.prefix == "FeatureExtractor/"
    assert load(NAME, "torch", weights=out)(torch.zeros(1, 3, 128, 128)).shape[1] == (head.num_classes or 256)
    onward = port(NAME, source="torch", target="keras", checkpoint=out, head=Head(no_head=True))
    assert onward.translation.num_classes == 0


def test_a_fresh_head_of_1001_classes_has_no_names(save: Saver, tmp_path: Path) -> None:
    port(NAME, checkpoint=save(seeded_variables()), head=Head(num_classes=1001), out=f"{tmp_path / 'm'}/")
    assert not (tmp_path / "m" / "labels.txt").exists()
    assert json.loads((tmp_path / "m" / "config.json").read_text())["labels"] is None


def test_a_folder_of_another_program_is_refused(save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "theirs"
    out.mkdir()
    for name in ("README.md", "config.json", "model.safetensors"):
        (out / name).write_text('{"architectures": ["ResNet"]}')
    with pytest.raises(PorterError, match=r"holds other files: name a new folder\n  README.md"):
        port(NAME, checkpoint=save(seeded_variables()), out=out)
    assert (out / "model.safetensors").read_text() == '{"architectures": ["ResNet"]}'


def test_a_folder_does_not_replace_its_own_source(save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "k"
    port(NAME, target="keras", checkpoint=save(seeded_variables()), out=f"{out}/")
    with pytest.raises(PorterError, match="would replace the checkpoint itself"):
        port(NAME, source="keras", target="torch", checkpoint=out, out=f"{out}/")
    assert (out / "model.keras").is_file()


def test_a_link_to_a_folder_is_followed_and_stays(save: Saver, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    for _ in range(2):
        port(NAME, checkpoint=save(seeded_variables()), out=f"{link}/")
        assert link.is_symlink()
        assert (real / "model.safetensors").is_file()
    others = {path.name for path in tmp_path.iterdir()} - {"model.ckpt.index", "model.ckpt.data-00000-of-00001"}
    assert others == {"link", "real"}


def test_the_current_folder_is_not_replaced(save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    with pytest.raises(PorterError, match="is the current folder"):
        port(NAME, checkpoint=save(seeded_variables()), out=".")


def test_values_too_large_for_float16_are_refused_by_name(save: Saver, tmp_path: Path) -> None:
    tensors = seeded_variables()
    name = "MobilenetV1/Conv2d_0/BatchNorm/moving_variance"
    tensors[name] = tensors[name] * np.float32(1e6)
    out = tmp_path / "m.safetensors"
    with pytest.raises(PorterError, match=r"bn1.running_var has values up to .*, too large for float16"):
        port(NAME, checkpoint=save(tensors), out=out, save_dtype="float16")
    assert not out.exists()
    port(NAME, checkpoint=save(tensors), out=out, save_dtype="bfloat16")


def test_rounded_weights_are_verified_before_and_read_back_after(tf: Any, save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    result = port(NAME, checkpoint=save(seeded_variables()), out=out, save_dtype="float16", verify=True)
    assert result.verification is not None
    assert result.verification.inputs.endswith("; weights as they are before float16")
    with safe_open(out, "numpy") as file:
        parity = json.loads(file.metadata()["parity"])
    assert parity["ok"]
    assert parity["inputs"] == result.verification.inputs


def test_rounding_is_checked_only_in_a_file(tf: Any, save: Saver) -> None:
    result = port(NAME, checkpoint=save(seeded_variables()), save_dtype="float16", verify=True)
    assert result, str(result.verification and result.verification.ports)
    assert result.out is None


def test_a_file_without_parity_is_not_written_and_json_says_why(
    save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Verification(NAME, "TensorFlow", "images", {"torch": Report((), missing=("Logits",))})
    monkeypatch.setattr("porter.verbs.verify.verify_checkpoint", lambda *_args, **_options: failed)
    prefix = save(seeded_variables())
    outs = [f"{tmp_path}/{name}" for name in ("m.safetensors", "m.pth", "m/")]
    for out in outs:
        port(NAME, checkpoint=prefix, out=out)
    older = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for out in outs:
        result = port(NAME, checkpoint=prefix, head=Head(drop_background=True), out=out, verify=True)
        assert not result
        assert result.out is None
        assert result.as_dict()["verification"]["ok"] is False
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == older


MISTAKES = [
    ({"target": "caffe"}, r"has no dialect 'caffe': choose from"),
    ({"save_dtype": "int8"}, r"unknown `save_dtype` 'int8': choose one of float16, bfloat16"),
    ({"images": ["cat.png"]}, r"`images` are for verification: add `verify=True`"),
    ({"source": "torch", "checkpoint": None}, r"are fetched: `source=\"torch\"` needs a `checkpoint`"),
    ({"aux": True, "head": Head(no_head=True)}, r"`aux` adds a second classifier and `no_head` leaves classifiers out"),
    ({"aux": True, "backbone": True}, r"`aux` adds a second classifier and `backbone` leaves classifiers out"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_arguments_that_do_not_fit_are_refused_before_any_file_is_read(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PorterError, match=message):
        port(NAME, **{"checkpoint": tmp_path / "absent.ckpt", **options})


def test_raw_weights_give_way_to_averages_only_where_they_are_missing(save: Saver) -> None:
    tensors = seeded_variables()
    first = next(iter(tensors))
    tensors[first + "/ExponentialMovingAverage"] = tensors.pop(first) + 1
    found = port(NAME, checkpoint=save(tensors)).translation
    assert (found.average, found.averaged_only) == ("raw", 1)
    assert np.array_equal(
        found.entries["conv_stem.weight"].load(), tensors[first + "/ExponentialMovingAverage"].transpose(3, 2, 0, 1)
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_checkpoints_of_other_dtypes_are_verified(tf: Any, save: Saver, dtype: str) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    tensors = {name: value.astype(kind) for name, value in seeded_variables().items()}
    assert port(NAME, checkpoint=save(tensors), verify=True)


def test_float64_values_that_float32_rounds_are_refused(tf: Any, save: Saver) -> None:
    tensors = {name: value.astype(np.float64) * (1 + 1e-12) for name, value in seeded_variables().items()}
    with pytest.raises(PorterError, match="holds float64 values that do not fit the float32 of the original"):
        port(NAME, checkpoint=save(tensors), verify=True)


def test_integers_where_floats_belong_are_refused_by_name(save: Saver) -> None:
    tensors = seeded_variables()
    tensors[f"{HEAD}/biases"] = np.zeros(1001, np.int32)
    with pytest.raises(MappingError, match=rf"{HEAD}/biases has dtype int32, where {NAME} has floats"):
        port(NAME, checkpoint=save(tensors))


def test_json_has_null_for_a_value_that_is_not_finite(tf: Any, save: Saver, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = training_checkpoint()
    tensors["MobilenetV1/Conv2d_0/weights"][0, 0, 0, 0] = np.nan
    with pytest.raises(SystemExit) as ended:
        main([NAME, "--from", "tf", "--to", "torch", "--checkpoint", str(save(tensors)), "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["largest_raw_ema_difference"] is None


def test_translation_reads_no_tensor_and_loading_reads_averages_beside_their_variables(save: Saver) -> None:
    opened = open_checkpoint(save(training_checkpoint()))
    reads: list[str] = []

    def counted(name: str) -> Any:
        entry = opened.entries[name]
        return entry._replace(load=lambda: (reads.append(name), entry.load())[1])

    counting = Checkpoint(opened.path, opened.format, {name: counted(name) for name in opened})
    assert "global_step" in counting
    assert not reads
    translation = translate(counting, find_arch(NAME), "tf", "torch")
    assert not reads
    for entry in translation.entries.values():
        entry.load()
    assert len(reads) == 2 * 137  # the averages and their variables, for their difference
