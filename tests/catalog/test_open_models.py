"""Models that were not released: any multiplier and any size in the name of a family that opens them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from porter.catalog.families import VARIABLE
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, find_arch, is_model, widths
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
    ],
)
def test_a_name_gives_the_multiplier_and_the_size(name: str, multiplier: float, size: int, base: str) -> None:
    arch = find_arch(name)
    assert (arch.options, arch.input_size, arch.base) == ({"multiplier": multiplier}, size, base)
    assert arch.name == f"mobilenet_v1_{multiplier}_{size}"
    assert arch.title == f"MobileNet V1 {multiplier}"
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
    ],
)
def test_any_other_name_is_unknown(name: str) -> None:
    assert not is_model(name)
    with pytest.raises(PorterError, match=f"porter knows no model '{name}'"):
        find_arch(name)


@pytest.mark.parametrize("multiplier", [0.75, 0.5, 0.25])
def test_channels_are_scaled_as_slim_scales_them(multiplier: float) -> None:
    """The golden of the full width, scaled, has the variables that slim's own code has at another width."""
    full, arch = find_arch("mobilenet_v1_1.0_224"), find_arch(f"mobilenet_v1_{multiplier}_224")
    scaled = replace(arch, base=full.name, base_options=full.options)
    assert scaled.golden == full.name
    want = recorded(arch.name).variables
    assert expected_shapes(scaled, Table.load(arch.table), "tf") == want
    assert want != recorded(full.name).variables


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
    own = next(iter(ARCHS.values()))
    assert own.family == "mobilenet_v1"
    import porter.nets.mobilenet_v1 as family

    text = (Path(str(family.__file__)).parent / "models.toml").read_text(encoding="utf-8")
    assert old in text
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "models.toml").write_text(text.replace(old, new).replace("mobilenet_v1_", "other_"), encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(PorterError, match=complaint):
        find_arch("nobody")
