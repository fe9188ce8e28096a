"""Feature networks: the goldens' endpoints, timm's shapes and names, any size, tracing, and refusals."""

from __future__ import annotations

import copy
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers import torchvision_stand_in
from helpers.activations import nchw, nhwc
from helpers.checkpoints import SMALL
from helpers.places import ROOT
from porter import endpoints, load, port
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, Arch, find_arch
from porter.errors import PorterError
from porter.mapping.table import Table
from porter.nets.features import feature_maps
from porter.nets.layers_torch import DropPath
from porter.runners.golden import GoldenRunner, golden_images
from porter.verbs.seed import seed
from porter.verbs.verify import verify

GUIDE = (ROOT / "docs/guides/features.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that gives the file of a model's seeded weights for a framework."""
    folder, written = tmp_path_factory.mktemp("ported"), dict[tuple[str, str], Path]()

    def file(model: str, framework: str = "torch") -> Path:
        if (model, framework) not in written:
            checkpoint = seed(model, folder / f"{model}.{framework}.ckpt").out
            out = folder / f"{model}.{'safetensors' if framework == 'torch' else 'keras'}"
            port(model, target=framework, checkpoint=checkpoint, out=out)
            written[model, framework] = out
        return written[model, framework]

    return file


def assert_is_the_golden(name: str, maps: dict[str, np.ndarray]) -> None:
    """Assert that NHWC maps by endpoint are those of the golden ``name``: float64 within 1e-9 of the deviation."""
    golden = recorded(name)
    reference = GoldenRunner(golden, Table.load(find_arch(golden.model).table))
    want = reference(golden_images(golden.input_size).astype(np.float64))
    named = {endpoint: values for endpoint, values in maps.items() if endpoint in golden.endpoint_shapes}
    assert len(named) >= 3
    for endpoint, values in reference.probes.reduce(named).items():
        assert values.dtype == np.float64
        assert np.abs(values - want[endpoint]).max() <= 1e-9 * want[endpoint].std(), endpoint


V2, V3 = "mobilenet_v2_0.35_96", "mobilenet_v3_small_0.75_224"
GOLDENS = [SMALL, f"{SMALL}@97", f"{SMALL}@129", "nasnet_cifar@33", "nasnet_mobile@225", V2, V3]


@pytest.mark.parametrize("name", GOLDENS)
def test_torchs_maps_are_the_originals(ported: Any, name: str) -> None:
    model, size = recorded(name).model, recorded(name).input_size
    network = load(model, weights=ported(model), dtype="float64", features_only=True)
    with torch.no_grad():
        maps = network(nchw(golden_images(size).astype(np.float64)))
    assert_is_the_golden(name, dict(zip(network.feature_info.endpoint(), map(nhwc, maps), strict=True)))


@pytest.mark.parametrize("name", [f"{SMALL}@97", V2, V3, pytest.param("nasnet_cifar@33", marks=pytest.mark.slow)])
def test_keras_maps_are_the_originals(tf: Any, ported: Any, name: str) -> None:
    model, size = recorded(name).model, recorded(name).input_size
    file = ported(model, "keras")
    network = load(model, "keras", weights=file, dtype="float64", features_only=True, input_size=size)
    maps = [np.asarray(values) for values in network(golden_images(size).astype(np.float64), training=False)]
    assert network.feature_info.channels() == [values.shape[-1] for values in maps]
    assert_is_the_golden(name, dict(zip(network.feature_info.endpoint(), maps, strict=True)))


@pytest.mark.slow
def test_the_stems_maps_are_those_of_slims_graph(tf: Any, tmp_path: Path) -> None:
    """slim gives them no names, so that the golden lacks them; TensorFlow computes them from the recorded graph."""
    checkpoint = seed("nasnet_mobile", tmp_path / "s.ckpt").out
    (report,) = verify("nasnet_mobile", checkpoint=checkpoint).ports.values()
    assert report, str(report)
    assert [row.endpoint for row in report.rows][:3] == ["Stem_Conv", "Stem_Cell_0", "Stem"]


@pytest.mark.parametrize("arch", ARCHS.values(), ids=ARCHS)
def test_every_model_has_a_map_at_each_stride(arch: Arch) -> None:
    maps = feature_maps(arch)
    least = 1 if arch.input_size < 64 or arch.family == "vgg" else 2  # VGG's first block has stride 1
    assert list(maps) == [least * 2**power for power in range(len(maps))]
    assert list(maps)[-1] == (4 if arch.input_size < 64 else 128 if arch.family == "ssd" else 32)
    assert not any(endpoint.logits for endpoint in maps.values())


@pytest.mark.parametrize(
    "name",
    [
        *("nasnet_large", "nasnet_mobile", "nasnet_cifar", "pnasnet_large", "pnasnet_mobile"),
        *(SMALL, "mobilenet_v2_1.0_224", "mobilenet_v3_large_1.0_224"),
    ],
)
def test_the_guide_lists_the_maps(name: str) -> None:
    title, maps = re.sub(r" [\d.]+$", "", find_arch(name).title), feature_maps(find_arch(name))
    (row,) = re.findall(rf"^\| {re.escape(title)} \| ([\d, ]+) \| (.*) \|$", GUIDE, re.MULTILINE)
    assert row[0] == ", ".join(map(str, maps))
    assert re.findall(r"\w+_?\d+|Stem_Conv", row[1]) == [one.name.removesuffix("_pointwise") for one in maps.values()]


@pytest.fixture(scope="module")
def timm() -> Any:
    torchvision_stand_in.install()
    return pytest.importorskip("timm")


def test_timms_feature_network_takes_the_weights_strictly_and_computes_the_same(timm: Any) -> None:
    torch.manual_seed(0)
    ours = load("mobilenet_v1_0.25_128", features_only=True, multiplier=1.0).double()
    theirs = timm.create_model("mobilenetv1_100", features_only=True, pad_type="same", bn_eps=1e-3).double().eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert ours.feature_info.channels() == theirs.feature_info.channels() == [64, 128, 256, 512, 1024]
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()
    x = torch.randn(1, 3, 75, 98, dtype=torch.float64)
    with torch.no_grad():
        for got, want in zip(ours(x), theirs(x), strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-12 * float(want.std()))


@pytest.mark.parametrize(
    ("ours", "theirs"), [("resnet_v1_50", "resnet50"), ("mobilenet_v3_large_1.0_224", "mobilenetv3_large_100")]
)
def test_timms_feature_networks_have_the_same_channels_and_strides(timm: Any, ours: str, theirs: str) -> None:
    with torch.device("meta"):
        network, peer = load(ours, features_only=True), timm.create_model(theirs, features_only=True)
    assert network.feature_info.channels() == peer.feature_info.channels()
    assert network.feature_info.reduction() == peer.feature_info.reduction()


def test_timms_nasnet_has_the_same_channels_and_strides(timm: Any) -> None:
    """timm reads each map after the next cell's ReLU and names that ReLU: values and modules differ."""
    with torch.device("meta"):
        theirs = timm.create_model("nasnetalarge", features_only=True).feature_info
    ours = feature_maps(find_arch("nasnet_large"))
    assert list(ours) == theirs.reduction()
    shapes = recorded("nasnet_large").endpoint_shapes
    assert [shapes[one.name][2] for one in list(ours.values())[2:]] == theirs.channels()[2:]


@pytest.mark.parametrize("model", [SMALL, "nasnet_mobile", "nasnet_cifar", V2, V3])
def test_channels_and_strides_are_those_of_the_maps(model: str) -> None:
    network = load(model, features_only=True)
    maps, info = network(torch.zeros(1, 3, 64, 64)), network.feature_info
    assert [each.shape[1] for each in maps] == info.channels()
    for each, reduction in zip(maps, info.reduction(), strict=True):
        assert 64 // reduction - 1 <= each.shape[2] == each.shape[3] <= 64 // reduction  # NASNet's stem is VALID
    assert [entry["index"] for entry in info.get_dicts()] == list(info.out_indices)


def test_images_of_any_number_of_channels_are_taken() -> None:
    network = load("mobilenet_v1_0.25_128", "torch", in_channels=1, features_only=True)
    assert [each.shape[1] for each in network(torch.zeros(1, 1, 64, 64))] == network.feature_info.channels()


def test_indices_select_and_order_the_maps() -> None:
    torch.manual_seed(0)
    whole = load(SMALL, features_only=True)
    some = load(SMALL, features_only=True, out_indices=(-1, 1))
    some.load_state_dict(whole.state_dict())
    x = torch.randn(2, 3, 70, 97)
    want = whole(x)
    assert [torch.equal(a, b) for a, b in zip(some(x), (want[4], want[1]), strict=True)] == [True, True]
    info = some.feature_info
    assert (info.out_indices, info.channels(), info.reduction()) == ((4, 1), [256, 32], [32, 4])
    assert (info.channels(0), info.reduction([0, 2]), info.module_name(3)) == (16, [2, 8], "blocks.3.5.bn2")
    assert info.get_dicts(["num_chs", "reduction"]) == [
        {"num_chs": 256, "reduction": 32},
        {"num_chs": 32, "reduction": 4},
    ]
    first = load(SMALL, features_only=True, out_indices=[0])
    assert set(first.state_dict()) < set(some.state_dict())  # later layers are gone
    assert not any(name.startswith("classifier") for name in whole.state_dict())


def test_maps_are_the_whole_networks_endpoints(ported: Any) -> None:
    images = golden_images(128)
    whole = endpoints(SMALL, load(SMALL, weights=ported(SMALL)), images)
    network = load(SMALL, weights=ported(SMALL), features_only=True)
    with torch.no_grad():
        maps = network(nchw(images))
    for name, values in zip(network.feature_info.endpoint(), map(nhwc, maps), strict=True):
        assert np.array_equal(values, whole[name]), name


@pytest.mark.parametrize("way", ["copied", "pickled", "traced", "compiled", "exported"])
def test_a_feature_network_is_a_module_like_any_other(way: str) -> None:
    torch.manual_seed(0)
    torch.compiler.reset()
    network = load(SMALL, features_only=True, dtype="float64")
    x, larger = (torch.randn(1, 3, side, side + 1, dtype=torch.float64) for side in (64, 301))
    again: Any
    if way == "copied":
        again = copy.deepcopy(network)  # as an average of weights does
        assert again.feature_info == network.feature_info
        assert [name for name, _ in again.named_parameters()] == [name for name, _ in network.named_parameters()]
        assert again.train().eval() is again
    elif way == "pickled":
        file = io.BytesIO()
        torch.save(network, file)
        file.seek(0)
        again = copy.deepcopy(torch.load(file, weights_only=False))
        assert again.feature_info == network.feature_info
    elif way == "traced":
        again = torch.fx.symbolic_trace(network)
    elif way == "compiled":
        again = torch.compile(network, fullgraph=True, dynamic=True, backend="eager")
    else:
        dynamic = {0: torch.export.Dim("n"), 2: torch.export.Dim("h", min=33), 3: torch.export.Dim("w", min=33)}
        again = torch.export.export(network, (torch.cat([x, x]),), dynamic_shapes=(dynamic,)).module()
    with torch.no_grad():
        for images in (x, larger):
            for got, want in zip(again(images), network(images), strict=True):
                torch.testing.assert_close(got, want, rtol=0, atol=1e-12 * float(want.std()))


def test_training_mode_stays_that_of_the_network() -> None:
    network = load("nasnet_cifar", features_only=True).train()
    paths = [module for module in network.modules() if isinstance(module, DropPath)]
    assert paths
    assert all(module.training for module in network.modules())
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    x = torch.randn(2, 3, 8, 8)
    before = network(x)[-1]
    assert norm.num_batches_tracked == 1
    for path in paths:
        path.progress = 1.0  # the end of training
    assert not torch.equal(network(x)[-1], before)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"out_indices": [0]}, "`out_indices` selects feature maps: add `features_only=True`"),
        (
            {"features_only": True, "out_indices": [5]},
            f"`out_indices` has 5, but {SMALL} has 5 feature maps: choose from 0 to 4",
        ),
        ({"features_only": True, "out_indices": [-6]}, "`out_indices` has -6, but"),
        ({"features_only": True, "out_indices": 3}, "`out_indices` must list integers, got 3: choose from 0 to 4"),
        ({"features_only": True, "out_indices": []}, r"`out_indices` must list integers, got \[\]"),
        ({"features_only": True, "out_indices": "12"}, "`out_indices` must list integers, got '12'"),
        ({"features_only": True, "num_classes": 3}, "leaves all classifiers out: leave `num_classes` out too"),
    ],
)
def test_contradictions_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PorterError, match=sentence):
        load(SMALL, **arguments)


def test_an_auxiliary_head_is_refused_beside_features() -> None:
    with pytest.raises(PorterError, match="leaves all classifiers out: leave `aux` out too"):
        load("nasnet_cifar", features_only=True, aux=True)
