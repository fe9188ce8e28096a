"""Models that were not released: any multiplier and any size in the name of a family that opens them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from porter import load
from porter.catalog.families import VARIABLE
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, Arch, find_arch, is_model
from porter.catalog.open_values import full_width, widths
from porter.errors import PorterError
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table


@pytest.mark.parametrize(
    ("name", "multiplier", "size", "base"),
    [
        ("mobilenet_v1_0.35_224", 0.35, 224, "mobilenet_v1_1.0_224"),
        ("mobilenet_v1_1.4_128", 1.4, 128, "mobilenet_v1_1.0_128"),
        ("mobilenet_v1_2_96", 2.0, 96, "mobilenet_v1_1.0_224"),
        ("mobilenet_v1_0.50_96", 0.5, 96, "mobilenet_v1_0.5_224"),
        ("mobilenet_v2_0.9_192", 0.9, 192, "mobilenet_v2_1.0_192"),
        ("mobilenet_v2_1.4_192", 1.4, 192, "mobilenet_v2_1.0_192"),
        ("mobilenet_v3_small_0.8_96", 0.8, 96, "mobilenet_v3_small_1.0_224"),
        ("mobilenet_v3_large_minimalistic_1_160", 1.0, 160, "mobilenet_v3_large_minimalistic_1.0_224"),
    ],
)
def test_a_name_gives_the_multiplier_and_the_size(name: str, multiplier: float, size: int, base: str) -> None:
    arch = find_arch(name)
    assert (arch.options["multiplier"], arch.input_size, arch.base) == (multiplier, size, base)
    model = re.sub(r"_[\d.]+_\d+$", "", name)
    assert arch.name == f"{model}_{multiplier}_{size}"
    words = model.replace("mobilenet_", "MobileNet_").replace("_v", "_V").replace("_small", "_Small")
    assert arch.title == f"{words.replace('_large', '_Large').replace('_', ' ')} {multiplier}"
    assert is_model(name)
    assert arch.name not in ARCHS, "the list has released models alone"
    assert find_arch(arch.name) == arch


def test_another_way_to_write_a_released_model_is_that_model() -> None:
    assert find_arch("mobilenet_v1_1_224") is find_arch("mobilenet_v1_1.0_224")
    assert find_arch("mobilenet_v1_0.250_128") is find_arch("mobilenet_v1_0.25_128")


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1_0_224",
        "mobilenet_v1_0.0_224",
        "mobilenet_v1_-1_224",
        "mobilenet_v1_0.35_0",
        "mobilenet_v1_0.35_224.5",
        "mobilenet_v1_0.35_224x",
        "mobilenet_v1_1e1_224",
        "mobilenet_v1_99999_224",
        "nasnet_mobile_0.5",
        "mobilenet_v3_tiny_0.8_224",
        "mobilenet_v3_0.8_0.8_224",
    ],
)
def test_any_other_name_is_unknown(name: str) -> None:
    assert not is_model(name)
    with pytest.raises(PorterError, match=f"porter knows no model '{name}'"):
        find_arch(name)


# Every released width but the full ones, at one size each.
WIDTHS = {arch.title: arch for arch in ARCHS.values() if full_width(arch) not in (None, arch)}
WIDTHS = {title: arch for title, arch in WIDTHS.items() if arch.options["multiplier"] != 1}


def test_these_are_all_released_widths() -> None:
    assert [title.removeprefix("MobileNet ") for title in WIDTHS] == [
        *("V1 0.75", "V1 0.5", "V1 0.25"),
        *("V2 1.4", "V2 1.3", "V2 0.75", "V2 0.5", "V2 0.35"),
        *("V3 Large 0.75", "V3 Small 0.75"),
    ]


@pytest.mark.parametrize("arch", WIDTHS.values(), ids=WIDTHS)
def test_channels_are_scaled_as_slim_scales_them(arch: Arch) -> None:
    """The golden of the full width, scaled, has the variables that slim's own code has at another width."""
    full = full_width(arch)
    assert full is not None
    scaled = replace(arch, base=full.name, base_options=full.options)
    assert scaled.wired_as_base
    assert scaled.golden == full.name
    want = recorded(arch.name).variables
    assert expected_shapes(scaled, Table.load(arch.table), "tf") == want
    assert want != recorded(full.name).variables


@pytest.mark.parametrize(
    ("name", "builder"),
    [
        ("mobilenet_v2_0.9_96", "MobileNetV2"),
        ("mobilenet_v2_1.15_96", "MobileNetV2"),
        ("mobilenet_v3_small_0.833_96", "MobileNetV3Small"),
        ("mobilenet_v3_large_0.6_96", "MobileNetV3Large"),
        ("mobilenet_v3_large_minimalistic_0.6_96", "MobileNetV3Large"),
    ],
)
def test_channels_are_scaled_as_keras_scales_them(name: str, builder: str) -> None:
    keras = pytest.importorskip("keras")
    arch = find_arch(name)
    options = {"minimalistic": True} if "minimalistic" in name else {}
    if "v3" in name:
        options["include_preprocessing"] = False
    network = getattr(keras.applications, builder)(
        input_shape=(96, 96, 3), alpha=arch.options["multiplier"], weights=None, classes=1001, **options
    )
    theirs = sorted(tuple(weight.shape) for weight in network.weights if "seed" not in weight.name)
    assert sorted(expected_shapes(arch, Table.load(arch.table), "keras").values()) == theirs


@pytest.mark.parametrize("base", ["mobilenet_v2_1.0_224", "mobilenet_v3_small_1.0_224", "mobilenet_v3_large_1.0_224"])
def test_a_network_has_the_channels_of_its_name(base: str) -> None:
    for arch in widths(find_arch(base), [value / 20 for value in range(1, 45)]):
        with torch.device("meta"):
            network = arch.builder("torch")(num_classes=1001, **arch.options)
        shapes = {n: tuple(v.shape) for n, v in network.state_dict().items() if not n.endswith("num_batches_tracked")}
        assert expected_shapes(arch, Table.load(arch.table), "torch") == shapes, arch.name


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("mobilenet_v2_0.25_224", "mobilenet_v2_1.0_224"),  # the first block: 8 channels in, 8 out
        ("mobilenet_v3_small_0.5_96", "mobilenet_v3_small_1.0_224"),  # the rows of 40 and of 48 channels: 24 both
    ],
)
def test_a_width_that_adds_other_maps_is_refused(name: str, base: str) -> None:
    """conv_blocks.py adds the input where its channels are the output's. No golden has such a graph."""
    arch = find_arch(base)
    multiplier = float(name.split("_")[-2])
    assert not is_model(name)
    assert not list(widths(arch, [multiplier]))
    with pytest.raises(PorterError, match=rf"{name} connects its layers in another way .*'{base}'.*`multiplier=0\.\d"):
        find_arch(name)
    network = load(base, num_classes=3, multiplier=multiplier)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_narrow_layers_keep_eight_channels() -> None:
    shapes = expected_shapes(find_arch("mobilenet_v1_0.1_128"), Table.load("mobilenet_v1"), "tf")
    assert shapes["MobilenetV1/Conv2d_0/weights"] == (3, 3, 3, 8)
    assert shapes["MobilenetV1/Conv2d_13_pointwise/weights"] == (1, 1, 102, 102)
    assert shapes["MobilenetV1/Logits/Conv2d_1c_1x1/weights"] == (1, 1, 102, 1001)


def test_other_widths_of_a_model() -> None:
    found = [arch.name for arch in widths(find_arch("mobilenet_v1_0.25_128"), [0.35, 0.5])]
    assert found == ["mobilenet_v1_0.35_128", "mobilenet_v1_0.5_128"]
    assert not list(widths(find_arch("nasnet_mobile"), [0.5]))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('open = ["multiplier", "size"]', 'open = ["multiplyer"]', "open must list placeholders of over whose values"),
        ('open = ["multiplier", "size"]', "open = 3", "open must list placeholders of over whose values"),
        ('name = "mobilenet_v1_{multiplier}_{size}"', 'name = "m_{multiplier}"', "must have each placeholder of over"),
    ],
)
def test_a_wrong_record_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, complaint: str
) -> None:
    import porter.nets.mobilenet_v1 as family

    text = (Path(str(family.__file__)).parent / "models.toml").read_text(encoding="utf-8")
    assert old in text
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "models.toml").write_text(text.replace(old, new).replace("mobilenet_v1_", "other_"), encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(PorterError, match=complaint):
        find_arch("nobody")
