"""Folders that libraries open themselves: strictly, with the original's logits, and with its preprocessing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import torchvision_stand_in
from helpers.checkpoints import seeded_variables
from helpers.logits import judged
from porter import port
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, Arch, find_arch
from porter.errors import PorterError
from porter.export.library_folders import require_network, write_hf, write_timm
from porter.formats.open import open_checkpoint
from porter.formats.safetensors import metadata
from porter.mapping.head import Head
from porter.mapping.table import Table
from porter.runners.golden import golden_images
from porter.runners.images import sample_paths
from porter.runners.presets import PRESETS
from porter.verbs.check import check
from porter.verbs.seed import seed

V1, V2 = "mobilenet_v1_0.25_128", "mobilenet_v2_0.35_96"
TIMM = "mobilenet_v2_0.35_96"


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def timm() -> Any:
    torchvision_stand_in.install()
    return pytest.importorskip("timm")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of each library, and the checkpoints that they come from."""
    folder = tmp_path_factory.mktemp("folders")
    for name, target in ((V1, "hf"), (V2, "hf"), (TIMM, "timm")):
        source = seed(name, folder / f"{name}.ckpt").out
        port(name, "tf", target, checkpoint=source, out=f"{folder}/{target}-{name}/")
    return folder


def logits(model: Any, golden: str) -> np.ndarray:
    images = golden_images(recorded(golden).input_size).astype(np.float32).transpose(0, 3, 1, 2)
    with torch.no_grad():
        found = model(torch.from_numpy(images))
    return np.asarray(getattr(found, "logits", found))


@pytest.mark.parametrize("name", [V1, V2])
def test_from_pretrained_loads_the_folder_strictly(transformers: Any, written: Path, name: str) -> None:
    constructor = transformers.AutoModelForImageClassification
    model, report = constructor.from_pretrained(written / f"hf-{name}", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    version = name[len("mobilenet_v")]
    assert type(model).__name__ == f"MobileNetV{version}ForImageClassification"
    assert (model.config.id2label[0], model.config.num_labels) == ("background", 1001)
    assert judged(logits(model.eval(), name), name)


@pytest.mark.parametrize("name", [V1, V2, "resnet_v1_50"])
def test_the_pil_processor_prepares_images_as_pytorchs_users_do(
    transformers: Any, written: Path, tmp_path: Path, name: str
) -> None:
    facts = json.loads((written / f"hf-{V1}" / "porter.json").read_text())
    write_hf(tmp_path, {**facts, "model": name}, [])
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    arch = find_arch(name)
    size, transforms = arch.input_size, PRESETS[arch.preprocessing].torch
    assert transforms is not None
    for path in sample_paths():
        image = Image.open(path).convert("RGB")
        got = np.asarray(processor(image, return_tensors="np")["pixel_values"])[0]
        scale = transforms.shorter_side(size) / min(image.size)
        resized = image.resize([int(edge * scale) for edge in image.size], Image.Resampling.BILINEAR)
        left, top = ((edge - size) // 2 for edge in resized.size)
        want = transforms.scale(np.asarray(resized.crop((left, top, left + size, top + size)), np.float32))
        assert got.shape == (3, size, size)
        np.testing.assert_allclose(got.transpose(1, 2, 0), want, rtol=1e-6, atol=1e-6 * np.abs(want).max())


def test_a_folder_that_transformers_saved_comes_back(transformers: Any, written: Path, tmp_path: Path) -> None:
    """Fine-tuned in PyTorch with five classes, in shards, and back in TensorFlow."""
    model = transformers.AutoModelForImageClassification.from_pretrained(
        written / f"hf-{V1}", id2label=dict(enumerate("abcde")), ignore_mismatched_sizes=True
    )
    model.save_pretrained(tmp_path / "tuned", max_shard_size=200_000)
    assert (tmp_path / "tuned" / "model.safetensors.index.json").is_file()
    port(V1, "hf", "tf", checkpoint=tmp_path / "tuned", out=tmp_path / "m.ckpt")
    back = open_checkpoint(tmp_path / "m.ckpt")
    assert back["MobilenetV1/Logits/Conv2d_1c_1x1/weights"].shape == (1, 1, 256, 5)
    want = seeded_variables(V1)
    assert all(np.array_equal(back[name], value) for name, value in want.items() if "Logits" not in name)


def test_timm_creates_the_network_of_the_folder(timm: Any, written: Path) -> None:
    folder = written / f"timm-{TIMM}"
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert judged(logits(model, TIMM), TIMM)
    config = timm.data.resolve_model_data_config(model)
    assert tuple(config["input_size"]) == (3, 96, 96)
    assert tuple(config["mean"]) == tuple(config["std"]) == (0.5, 0.5, 0.5)
    assert (config["interpolation"], config["crop_pct"]) == ("bilinear", pytest.approx(0.875, abs=0.01))
    assert model.pretrained_cfg["label_names"][0] == "background"
    stored = json.loads((folder / "config.json").read_text())
    assert stored["num_features"] == model.num_features
    assert dict(model.named_modules())[stored["pretrained_cfg"]["first_conv"]].in_channels == 3
    assert dict(model.named_modules())[stored["pretrained_cfg"]["classifier"]].out_features == 1001


@pytest.mark.parametrize(("target", "name"), [("hf", V1), ("timm", TIMM)])
@pytest.mark.parametrize("head", [Head(no_head=True), Head(num_classes=7), Head(drop_background=True)])
def test_another_head_has_its_own_config(
    timm: Any, transformers: Any, written: Path, tmp_path: Path, target: str, name: str, head: Head
) -> None:
    out = tmp_path / "m"
    port(name, "tf", target, checkpoint=written / f"{name}.ckpt", out=f"{out}/", head=head)
    if target == "timm":
        model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    else:
        model = transformers.AutoModelForImageClassification.from_pretrained(out).eval()
    classes = 0 if head.no_head else head.num_classes or 1000
    assert model.num_classes == classes if target == "timm" else model.num_labels == classes
    found, tensors = model.state_dict(), open_checkpoint(out)
    assert all(np.array_equal(found[key].numpy(), tensors[key]) for key in tensors)


def test_the_folders_are_sealed_and_come_back(written: Path, tmp_path: Path) -> None:
    for target, name in (("hf", V1), ("timm", TIMM)):
        folder = written / f"{target}-{name}"
        assert check(folder), str(check(folder))
        port(name, target, "tf", checkpoint=folder, out=tmp_path / f"{target}.ckpt")
        there, back = open_checkpoint(written / f"{name}.ckpt"), open_checkpoint(tmp_path / f"{target}.ckpt")
        assert {key: value.tobytes() for key, value in back.items()} == {k: v.tobytes() for k, v in there.items()}
        facts = json.loads((folder / "porter.json").read_text())
        assert (facts["model"], facts["dialect"]) == (name, target)
        for paper in ("config.json", "README.md"):
            whole = (folder / paper).read_bytes()
            (folder / paper).write_bytes(whole + b" ")
            assert check(folder).damaged == (paper,)
            (folder / paper).write_bytes(whole)


def test_a_library_without_the_network_has_no_folder(written: Path, tmp_path: Path) -> None:
    with pytest.raises(PorterError, match=r"has no network mobilenet_v1_0\.25_128: its multiplier must be one of 1\.0"):
        port(V1, "tf", "timm", checkpoint=written / f"{V1}.ckpt", out=f"{tmp_path}/m/")
    assert not list(tmp_path.iterdir())
    port(V1, "tf", "timm", checkpoint=written / f"{V1}.ckpt", out=tmp_path / "m.safetensors")


def test_the_settings_that_make_a_library_exact_go_with_the_weights(written: Path, tmp_path: Path) -> None:
    exact = {"pad_type": "same", "bn_eps": 0.001}
    folder = written / f"timm-{TIMM}"
    assert json.loads((folder / "config.json").read_text())["model_args"] == exact
    assert "- The function: in timm's mobilenetv2_035 these weights compute another function" in (
        (folder / "README.md").read_text()
    )
    port(TIMM, "tf", "timm", checkpoint=written / f"{TIMM}.ckpt", out=tmp_path / "m.pth")
    for record in (folder / "porter.json", tmp_path / "m.pth.json"):
        facts = json.loads(record.read_text())
        assert facts["settings"] == exact
        assert 'it is exact with pad_type="same", bn_eps=0.001' in facts["differs"][0]
    port(TIMM, "tf", "timm", checkpoint=written / f"{TIMM}.ckpt", out=tmp_path / "m.safetensors")
    assert json.loads(metadata(tmp_path / "m.safetensors")["settings"]) == exact


def test_another_layout_replaces_a_folder_of_porters(written: Path, tmp_path: Path) -> None:
    source = written / f"{V1}.ckpt"
    for target in ("torch", "hf", "torch"):
        port(V1, "tf", target, checkpoint=source, out=f"{tmp_path}/m/")
    assert {path.name for path in (tmp_path / "m").iterdir()} == {
        *("config.json", "labels.txt", "README.md", "model.safetensors")
    }
    (tmp_path / "m" / "mine.txt").touch()
    with pytest.raises(PorterError, match=r"m/ holds other files: name a new folder\n  mine\.txt"):
        port(V1, "tf", "hf", checkpoint=source, out=f"{tmp_path}/m/")


def refusal(arch: Arch, dialect: str) -> str:
    """Return the sentence that refuses a folder, empty where the library has the network."""
    try:
        require_network(arch, dialect)
    except PorterError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("dialect", "write"), [("hf", write_hf), ("timm", write_timm)])
def test_every_model_has_its_configuration_or_a_sentence(
    written: Path, tmp_path: Path, dialect: str, write: Callable[..., None]
) -> None:
    facts = json.loads((written / f"hf-{V1}" / "porter.json").read_text())
    found = set()
    for name, arch in ARCHS.items():
        if dialect not in Table.load(arch.table).networks:
            continue
        if why := refusal(arch, dialect):
            assert "has no network" in why
            continue
        write(tmp_path, {**facts, "model": name, "num_classes": 3}, ["a", "b", "c"])
        config = json.loads((tmp_path / "config.json").read_text())
        if dialect == "hf":
            assert config["id2label"] == {"0": "a", "1": "b", "2": "c"}
            assert config["model_type"] in name.replace("resnet_v1", "resnet")
        else:
            assert (config["num_classes"], config["label_names"]) == (3, ["a", "b", "c"])
            assert config["pretrained_cfg"]["input_size"] == [3, arch.input_size, arch.input_size]
        found.add(arch.table)
    assert {"mobilenet_v1", "mobilenet_v2"} <= found
    assert (dialect == "hf") or {"nasnet_large", "pnasnet_large", "inception_v4", "vgg_16"} <= found
