"""Architectures are recognised by their variables, whole or inside something else, and the command is the right one."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.checkpoints import Saver, detector, seeded_variables
from helpers.graphs import analysed, path_of, renamed
from porter import inspect
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, Arch, find_arch
from porter.formats.checkpoint import Convolution
from porter.formats.tensorflow.source import load_graph
from porter.mapping.description import describe
from porter.mapping.folded import original_convolutions
from porter.mapping.recognise import nearest, recognise, title
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table
from porter.mapping.variants import original_shapes
from porter.verbs.inspect import GraphInspection, Inspection, inspect_graph

NAME = "mobilenet_v1_0.25_128"
SHAPES = recorded(NAME).variables


def test_a_graph_is_recognised_with_its_input_size() -> None:
    result = inspect(path_of(NAME))
    assert isinstance(result, GraphInspection)
    assert result.recognised is not None
    assert result.recognised.sentence == "MobileNet V1 0.25 at 128"
    assert result.recognised.models == (NAME,)
    command = f"port {NAME} --from tf --to torch --checkpoint model.ckpt --out model.safetensors"
    assert result.recognised.command == command


def test_a_checkpoint_fits_every_size(save: Saver) -> None:
    result = inspect(save(seeded_variables()))
    assert isinstance(result, Inspection)
    assert result.recognised is not None
    assert len(result.recognised.models) == 4
    assert "the same at 224, 192, 160, 128" in result.recognised.sentence


def test_one_inside_another_network_is_found_in_its_scope() -> None:
    graph = renamed(load_graph(path_of(NAME)), lambda name: name if name == "input" else f"FeatureExtractor/{name}")
    found = inspect_graph(analysed(graph)).recognised
    assert found is not None
    assert found.sentence == "contains MobileNet V1 0.25 at 128, in the scope FeatureExtractor"
    command = f"port {NAME} --from tf --to torch --checkpoint model.ckpt --out model.safetensors"
    assert found.command == command  # port finds the scope


def test_a_body_without_its_classifier_says_so() -> None:
    body = {name: shape for name, shape in SHAPES.items() if "Logits" not in name}
    (match, *_) = recognise(body)
    assert not match.whole
    assert match.classes is None


def test_another_number_of_classes_is_said() -> None:
    shapes = {n: (*s[:-1], 7) if "Logits" in n else s for n, s in SHAPES.items()}
    (match, *_) = recognise(shapes, 128)
    assert (match.classes, match.arch.name) == (7, NAME)


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_what_is_not_whole_is_not_recognised(change: str) -> None:
    shapes: dict[str, tuple[int, ...]] = dict(SHAPES)
    name = "MobilenetV1/Conv2d_5_depthwise/BatchNorm/beta"
    if change == "missing":
        del shapes[name]
    else:
        shapes[name] = (63,)
    assert recognise(shapes) == []


@pytest.mark.parametrize("dialect", ["tf", "torch", "keras"])
@pytest.mark.parametrize("golden", [NAME, "nasnet_mobile", "pnasnet_mobile"])
def test_every_dialect_is_recognised(golden: str, dialect: str) -> None:
    arch = find_arch(golden)
    shapes = expected_shapes(arch, Table.load(arch.table), dialect)
    (match, *_) = recognise(shapes, arch.input_size)
    assert (match.arch.name, match.dialect, match.whole) == (golden, dialect, True)
    assert match.exact


def test_the_channels_of_the_images_are_free_and_said(save: Saver) -> None:
    tensors = seeded_variables()
    tensors["MobilenetV1/Conv2d_0/weights"] = tensors["MobilenetV1/Conv2d_0/weights"].sum(2, keepdims=True)
    result = inspect(save(tensors))
    assert isinstance(result, Inspection)
    assert result.recognised is not None
    assert result.recognised.sentence.startswith("MobileNet V1 0.25, 1 input channel, whose weights are the same at")


@pytest.mark.parametrize(
    ("lost", "said"), [("/gamma", "have no gamma"), ("/BatchNorm/", "batch norms folded into the convolutions")]
)
def test_missing_batch_norms_and_gammas_are_said(lost: str, said: str) -> None:
    (match, *_) = recognise({name: shape for name, shape in SHAPES.items() if lost not in name}, 128)
    assert match.arch.name == NAME
    assert said in describe([match], 128)


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("mobilenet_v1_0.35_128", "tf"),
        ("mobilenet_v2_0.9_224", "torch"),
        ("mobilenet_v2_1.1_224", "tf"),
        ("mobilenet_v3_large_0.6_224", "keras"),
        ("mobilenet_v3_small_0.8_224", "tf"),
        ("mobilenet_v3_large_minimalistic_2.0_224", "torch"),
    ],
)
def test_an_unreleased_width_is_recognised_and_an_impossible_one_is_not(name: str, dialect: str) -> None:
    arch = find_arch(name)
    shapes = dict(expected_shapes(arch, Table.load(arch.table), dialect))
    assert {match.arch.title for match in recognise(shapes)} == {arch.title}
    vector = next(name for name, shape in shapes.items() if len(shape) == 1)
    shapes[vector] = (63,)
    assert recognise(shapes) == []


def test_candidates_are_ranked_by_the_share_that_fits() -> None:
    shapes = {name: shape for name, shape in SHAPES.items() if not name.endswith("Conv2d_13_pointwise/weights")}
    best = nearest(shapes, 128)[0]
    assert best.arch.name == NAME
    assert best.missing == ("MobilenetV1/Conv2d_13_pointwise/weights",)
    assert best.fitting == 134 / 135
    assert nearest({"conv/weights": (3, 3, 3, 8)}) == []


def test_towers_are_counted_and_the_command_takes_the_first(save: Saver) -> None:
    tensors = {f"{scope}/{name}": value for scope in ("a", "b") for name, value in seeded_variables().items()}
    result = inspect(save(tensors))
    assert isinstance(result, Inspection)
    assert result.recognised is not None
    assert result.recognised.sentence.startswith("contains MobileNet V1 0.25 2 times, whose weights")
    assert result.recognised.sentence.endswith("in the scopes a, b")
    assert "--prefix a/ " in str(result.recognised.command)


def test_a_detector_has_a_command_for_its_backbone(save: Saver) -> None:
    result = inspect(save(detector(), "ssd_mobilenet_v1_128.ckpt"))
    assert isinstance(result, Inspection)
    assert result.recognised is not None
    assert result.recognised.sentence.endswith("in the scope FeatureExtractor, without its classifier")
    assert str(result.recognised.command).startswith(f"port {NAME} --from tf --to torch --checkpoint ")
    assert "--backbone --out" in str(result.recognised.command)


def test_a_head_of_ones_own_is_left_out_by_its_scope(save: Saver) -> None:
    extra = {"head/fc/weights": np.ones((4, 4), np.float32), "MobilenetV1/extra/w": np.ones(3, np.float32)}
    result = inspect(save(seeded_variables() | extra))
    assert isinstance(result, Inspection)
    assert result.recognised is not None
    assert "--ignore 'MobilenetV1/extra/*' --ignore 'head/*'" in str(result.recognised.command)


# One model of each architecture: those of other sizes have the same variables.
ARCHITECTURES = sorted({recorded(arch.golden).shared.name for arch in ARCHS.values()})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_recognised_alone_and_inside_another_network(name: str) -> None:
    golden, arch = recorded(name), find_arch(name)
    graph = golden.load_graph()
    found = inspect_graph(analysed(graph)).recognised
    assert found is not None
    assert found.sentence == whole_title(arch)
    assert found.models == (name,)
    inside = inspect_graph(analysed(renamed(graph, lambda node: f"Stranger/{node}"))).recognised
    assert inside is not None
    assert inside.sentence == f"contains {whole_title(arch, 'Stranger/')}, in the scope Stranger"


BACKBONES = {
    "mobilenet_v1": "MobileNet V1 1.0",
    "mobilenet_v2": "MobileNet V2 1.0",
    "inception_v2": "Inception V2",
    "nasnet_large": "NASNet-A Large",
    "pnasnet_large": "PNASNet-5 Large",
}
"""What the detectors have inside, by its table."""


def whole_title(arch: Arch, prefix: str = "") -> str:
    """Return the title, with the backbone of a detector."""
    inner: dict[str, list[str]] = {}
    for each in Table.of(arch).embedded:
        inner.setdefault(BACKBONES[each.table], []).append(f"{prefix}{each.prefixes['tf']}".rstrip("/"))
    with_them = " and ".join(f"{name} in {' and '.join(scopes)}" for name, scopes in inner.items())
    return title(arch, sized=True) + (f", with {with_them}" if inner else "")


def test_titles_are_spelled_as_in_the_papers() -> None:
    assert title(recognise(SHAPES, 128)[0].arch, sized=True) == "MobileNet V1 0.25 at 128"


@pytest.mark.parametrize("prefix", ["", "import/"])
def test_a_folded_graph_whose_constants_lost_their_names_is_recognised(prefix: str) -> None:
    """As optimize_for_inference writes it: kernels and biases are named by their ops."""
    graph, shapes = [], {}
    for original in original_convolutions(recorded(NAME)):
        kernel, bias = f"{prefix}{original.op}_weights", f"{prefix}{original.op}_bn_offset"
        shape = SHAPES[original.kernel]
        shapes |= {kernel: shape, bias: (shape[2] if "depthwise" in original.kernel else shape[-1],)}
        graph.append(Convolution(prefix + original.op, kernel, bias))
    assert recognise(shapes) == []
    (match, *_) = recognise(original_shapes(shapes, graph), 128)
    assert match.folded
    assert match.arch.name == NAME
    assert match.prefix == prefix
    assert not [name for name in match.unknown if "Logits" not in name]


def test_convolutions_of_no_known_network_keep_their_names() -> None:
    shapes = {"stranger/weights": (3, 3, 3, 8)}
    assert original_shapes(shapes, [Convolution("stranger/Conv2D", "stranger/weights")]) == shapes


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("dialect", ["torch", "hf"])
def test_counters_that_a_port_leaves_out_are_no_unknown_variables(dialect: str, prefix: str) -> None:
    """PyTorch's own state dicts have num_batches_tracked beside each running mean."""
    arch = find_arch(NAME)
    shapes = {prefix + name: shape for name, shape in expected_shapes(arch, Table.of(arch), dialect).items()}
    means = [name for name in shapes if name.endswith("running_mean")]
    assert len(means) == 27
    counters = dict.fromkeys((name.replace("running_mean", "num_batches_tracked") for name in means), ())
    match = nearest(shapes | counters)[0]
    assert (match.exact, match.dialect, match.prefix, match.unknown) == (True, dialect, prefix, ())
    assert nearest(shapes | counters | {f"{prefix}extra": ()})[0].unknown == (f"{prefix}extra",)
