"""Faster R-CNN detectors: cells shared out to two stages, crops, heads of other classes, files of other detectors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.checkpoints import seeded_variables
from helpers.graphs import renamed
from helpers.variants import as_checkpoint, write
from porter import inspect, load, verify
from porter.catalog.goldens import recorded
from porter.catalog.models import find_arch
from porter.errors import FormatError, PorterError
from porter.formats.tensorflow.source import load_graph
from porter.graph.rewrite.freeze import freeze
from porter.graph.rewrite.prune import prune
from porter.graph.rewrite.safety import check_ops
from porter.mapping.description import describe
from porter.mapping.follow import following
from porter.mapping.head import Head
from porter.mapping.original_graph import original_graph, set_classes
from porter.mapping.recognise import recognise, variable_shapes
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table
from porter.mapping.translate import Options, Translation, translate
from porter.nets.build import build
from porter.nets.faster_rcnn.design import (
    ANCHORS,
    BOX_FEATURES,
    BOXES,
    CLASS_SCORES,
    CROPPED,
    RPN_BOXES,
    RPN_FEATURES,
    RPN_SCORES,
)
from porter.nets.nasnet import design as nasnet
from porter.nets.nasnet.torch import NASNet
from porter.nets.pnasnet import design as pnasnet
from porter.nets.pnasnet.torch import PNASNet
from porter.runners.context import Context
from porter.runners.entered import enter
from porter.runners.images import sample_paths
from porter.verbs.seed import seed

NAME, RELEASED = "faster_rcnn_nasnet_20_331", "faster_rcnn_nasnet"
ARCH = find_arch(NAME)
BACKBONES = {"faster_rcnn_nasnet": "nasnet_large", "faster_rcnn_pnasnet": "pnasnet_large"}
STAGES = ("FirstStageFeatureExtractor/", "SecondStageFeatureExtractor/")


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    return seeded_variables(NAME)


def images(side: int) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.manual_seed(0), dtype=torch.float64)


def assert_same(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12 * float(want.std()))


def ported(variables: Mapping[str, np.ndarray], head: Head | None = None) -> Translation:
    head = head or Head()
    options = Options(headless=not head.is_original)
    return head.apply(translate(as_checkpoint(variables), ARCH, "tf", "torch", options), ARCH, "torch")


def filled(translation: Translation, variables: Mapping[str, np.ndarray]) -> Any:
    return build(ARCH, "torch", translation.as_checkpoint(as_checkpoint(variables)), dtype="float64")


# ---- the released detectors, against slim's own list of variables


@pytest.mark.parametrize(("name", "backbone"), BACKBONES.items())
def test_the_stages_have_every_variable_of_the_backbone_in_its_shape(name: str, backbone: str) -> None:
    arch = find_arch(name)
    shapes = expected_shapes(arch, Table.of(arch), "tf")
    inside = {name.removeprefix(stage): shapes[name] for stage in STAGES for name in shapes if name.startswith(stage)}
    slims = {name: shape for name, shape in recorded(backbone).variables.items() if not name.startswith("final_layer/")}
    assert inside == slims
    assert len([name for name in shapes if name.startswith(STAGES)]) == len(slims)


@pytest.mark.parametrize("name", BACKBONES)
def test_torch_has_the_shapes_of_the_released_filters(name: str) -> None:
    arch = find_arch(name)
    with torch.device("meta"):
        network = arch.builder("torch")(num_classes=91, **arch.options)
    table = Table.of(arch)
    shapes = expected_shapes(arch, table, "torch")
    wanted = {key: tuple(each.shape) for key, each in network.state_dict().items() if not table.ignored("torch", key)}
    assert {pair.source: shapes[pair.source] for pair in table.pairs("torch", "torch")} == wanted


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("filters", [4, 44, 168])
def test_filters_follow_a_file(name: str, filters: int) -> None:
    arch = find_arch(f"{name}_{filters}_331")
    for dialect in ("tf", "torch"):
        found = following(find_arch(name), expected_shapes(arch, Table.of(arch), dialect))
        assert found.options == arch.options


def test_filters_that_no_cell_can_halve_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PorterError, match="a multiple of 4, got 42: choose another number"):
        seed(RELEASED, tmp_path / "m.ckpt", filters=42)


# ---- the network


@torch.no_grad()
@pytest.mark.parametrize("name", BACKBONES)
def test_the_map_to_crop_joins_two_cells_of_the_classifier(name: str) -> None:
    """With the weights of porter's classifier, which its own goldens prove; the filters are narrow."""
    whole: Any
    if name == "faster_rcnn_nasnet":
        whole = NASNet(nasnet.Config(**{**vars(nasnet.LARGE), "num_conv_filters": 8}), 5)
        cells = ("cell_10", "cell_11")
    else:
        numbers = pnasnet.Config(**{**vars(pnasnet.LARGE), "num_conv_filters": 8})
        whole = PNASNet(numbers, 5, False, 0, 3)
        cells = ("cell_6", "cell_7")
    detector = load(f"{name}_8_331", dtype="float64")
    whole = whole.double().eval()
    kept = {key.split(".", 1)[1] for key in detector.state_dict() if key.startswith(("first_stage", "second_stage"))}
    weights = whole.state_dict()
    assert kept == {key for key in weights if not key.startswith("last_linear")}
    for stage in (detector.first_stage, detector.second_stage):
        stage.load_state_dict({key: weights[key] for key in stage.state_dict()})
    seen = {}
    for cell in (*cells, "relu"):
        whole.get_submodule(cell).register_forward_hook(lambda _m, _i, out, cell=cell: seen.update({cell: out}))
    x = images(99)
    whole(x)
    found = detector(x)
    assert_same(found[CROPPED], torch.cat([seen[cell] for cell in cells], 1))
    assert_same(found[BOX_FEATURES], seen["relu"])


@torch.no_grad()
def test_the_network_returns_raw_outputs_by_the_originals_names() -> None:
    network = load(NAME)
    found = network(torch.zeros(2, 3, 99, 99))
    assert list(found) == [CROPPED, RPN_FEATURES, RPN_BOXES, RPN_SCORES, BOX_FEATURES, BOXES, CLASS_SCORES]
    boxes = ANCHORS * 7 * 7
    shapes = [(2, 480, 7, 7), (2, 512, 7, 7), (2, boxes, 4), (2, boxes, 2), (2, 480, 4, 4), (2, 90, 4), (2, 91)]
    assert [tuple(each.shape) for each in found.values()] == shapes
    assert list(network.first(torch.zeros(1, 3, 99, 99))) == list(found)[:4]
    crops = network.second(torch.zeros(5, 480, 17, 17))
    assert [tuple(each.shape) for each in crops.values()] == [(5, 480, 9, 9), (5, 90, 4), (5, 91)]


@pytest.mark.parametrize("name", BACKBONES)
def test_the_originals_graph_has_the_files_features_and_classes(name: str) -> None:
    """The recorded graph states 480 or 400 features and 91 classes, whatever the variables have."""
    arch = find_arch(f"{name}_8_331")
    graph, table = original_graph(arch), Table.of(arch)
    set_classes(graph, table, 91, 3)
    shapes = {
        node.name.removeprefix("SecondStageBoxPredictor/"): np.frombuffer(
            node.attr["value"].tensor.tensor_content, "<i4"
        ).tolist()
        for node in graph.node
        if re.fullmatch(r"SecondStageBoxPredictor/(Flatten(_1)?/flatten/Const|Reshape(_1)?/shape)", node.name)
    }
    features = expected_shapes(arch, table, "tf")["SecondStageBoxPredictor/ClassPredictor/weights"][0]
    assert shapes == {
        "Flatten/flatten/Const": [-1, features],
        "Flatten_1/flatten/Const": [-1, features],
        "Reshape/shape": [-1, 1, 2, 4],
        "Reshape_1/shape": [-1, 1, 3],
    }


# ---- files


def with_classes(variables: Mapping[str, np.ndarray], classes: int) -> dict[str, np.ndarray]:
    """Return the variables with the first ``classes`` scores, background included, and the boxes of these."""
    sizes = {"ClassPredictor": classes, "BoxEncodingPredictor": 4 * (classes - 1)}
    return {
        name: value[..., : sizes[name.split("/")[1]]] if name.startswith("SecondStageBoxPredictor/") else value
        for name, value in variables.items()
    }


@torch.no_grad()
def test_classes_follow_the_checkpoint(variables: Mapping[str, np.ndarray]) -> None:
    three = with_classes(variables, 3)
    found, whole = ported(three), ported(variables)
    assert (found.num_classes, whole.num_classes) == (3, 91)
    crops = torch.randn(2, 480, 6, 6, generator=torch.manual_seed(1), dtype=torch.float64)
    got, want = filled(found, three).second(crops), filled(whole, variables).second(crops)
    assert_same(got[CLASS_SCORES], want[CLASS_SCORES][:, :3])
    assert_same(got[BOXES], want[BOXES][:, :2])


def test_other_heads(variables: Mapping[str, np.ndarray]) -> None:
    assert filled(ported(variables, Head(no_head=True)), variables).box_predictor is None
    fresh = filled(ported(variables, Head(num_classes=7)), variables).box_predictor
    assert (fresh.classes.out_features, fresh.boxes[0].out_features) == (7, 24)
    with pytest.raises(PorterError, match=r"box_predictor.boxes.0.weight has no box for the background"):
        ported(variables, Head(drop_background=True))


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        # tensorflow/models#5891: boxes of other classes than the scores
        ("SecondStageBoxPredictor/BoxEncodingPredictor/biases", (80,), "disagree on the number of classes"),
        ("SecondStageBoxPredictor/BoxEncodingPredictor/biases", (362,), "does not have classes for 4 boxes"),
        # share_box_across_classes, another box predictor
        ("SecondStageBoxPredictor/BoxEncodingPredictor/biases", (4,), "disagree on the number of classes"),
        # other scales or aspect ratios of the anchors
        ("FirstStageBoxPredictor/BoxEncodingPredictor/biases", (36,), "expects (48,)"),
    ],
)
def test_another_detector_is_refused_by_its_tensor(
    variables: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(PorterError, match=re.escape(name)) as raised:
        ported({**variables, name: np.zeros(shape, np.float32)})
    assert said in str(raised.value)


def test_a_trainers_momentum_and_averages_are_roles(variables: Mapping[str, np.ndarray]) -> None:
    """tensorflow/models#2203 lists such variables of a faster_rcnn_nas in training."""
    kernel = "SecondStageFeatureExtractor/reduction_cell_1/comb_iter_0/right/separable_7x7_1/pointwise_weights"
    slots = {f"{name}/Momentum": np.ones_like(value) for name, value in variables.items()}
    found = ported({**variables, **slots, "global_step": np.asarray(7, np.int64)})
    assert kernel in variables
    assert len(found.entries) == len(variables)
    assert (found.roles["optimizer slot"], found.roles["step counter"]) == (len(variables), 1)


def sentence(given: Mapping[str, Any]) -> str:
    return describe(recognise(variable_shapes(as_checkpoint(given).entries))[:1])


def test_a_detector_is_named_with_its_backbone(variables: Mapping[str, np.ndarray]) -> None:
    where = "with NASNet-A Large in FirstStageFeatureExtractor and SecondStageFeatureExtractor"
    assert sentence(variables) == f"Faster R-CNN NASNet-A at 331, {where}"
    assert sentence(with_classes(variables, 3)).endswith(f"{where}, with 3 classes")


@pytest.mark.parametrize("name", BACKBONES)
def test_inspect_prints_the_command(tmp_path: Path, name: str) -> None:
    checkpoint = seed(f"{name}_8_331", tmp_path / "model.ckpt").out
    found = inspect(checkpoint).recognised
    assert found is not None
    assert f"port {name}_8_331 --from tf --to torch --checkpoint {checkpoint} --out" in str(found.command)


# ---- the exporter's frozen graph, which crops the map for each box that it proposes


def frozen(variables: Mapping[str, np.ndarray]) -> Any:
    """Return the recorded graph with ``variables``, and between its stages the exporter's proposals and crops in short.

    The real graph has 6,600 nodes there. In both, the second stage reads the crops through MaxPool2D/MaxPool.
    """
    graph = freeze(load_graph(recorded(NAME).graph), dict(variables))
    boxes, crops, pool = "map/while/Enter", "CropAndResize/CropAndResize", "MaxPool2D/MaxPool"
    graph.node.add(name=boxes, op="Enter", input=["Squeeze"])
    graph.node.add(name=f"{crops}/kept", op="NonMaxSuppressionV5", input=[boxes])
    graph.node.add(name=crops, op="CropAndResize", input=[MAP, boxes, f"{crops}/kept"])
    graph.node.add(name=pool, op="MaxPool", input=[crops])
    (reader,) = (node for node in graph.node if node.name == READER)
    reader.input[1] = pool
    return graph


MAP, READER = "FirstStageFeatureExtractor/concat", "SecondStageFeatureExtractor/split"
CONTEXT = Context(ARCH, Table.of(ARCH), ARCH.input_size)


def test_the_second_stage_of_a_frozen_graph_reads_the_whole_map(variables: Mapping[str, np.ndarray]) -> None:
    found = enter(frozen(variables), CONTEXT, "", None, Path("frozen.pb"))
    assert (found.whole, found.lacking) == ([CROPPED], [])
    kept = prune(found.graph, found.where.values(), "frozen.pb")
    check_ops(kept, "frozen.pb")
    inputs = {node.name: list(node.input) for node in kept.node}
    original = freeze(load_graph(recorded(NAME).graph), dict(variables))
    want = {node.name: [name.replace("input", "network_input") for name in node.input] for node in original.node}
    assert {name: inputs[name] for name in want if name != "input"} == {n: i for n, i in want.items() if n != "input"}


def test_a_graph_whose_reader_of_crops_has_another_name_is_refused(variables: Mapping[str, np.ndarray]) -> None:
    graph = renamed(frozen(variables), lambda name: "Split_7" if name == READER else name)
    with pytest.raises(FormatError, match=r"frozen.pb has no node SecondStageFeatureExtractor/split, which reads"):
        enter(graph, CONTEXT, "", None, Path("frozen.pb"))


@pytest.mark.slow
@pytest.mark.parametrize("moved", [0, 1])
def test_a_frozen_graph_is_verified_at_every_output(
    variables: Mapping[str, np.ndarray], tmp_path: Path, moved: int
) -> None:
    bias = "SecondStageBoxPredictor/BoxEncodingPredictor/biases"
    path = write(tmp_path / "frozen.pb", frozen(variables))
    graph = write(tmp_path / "graph.pb", frozen({**variables, bias: variables[bias] + np.float32(moved)}))
    report = verify(NAME, path, images=sample_paths()[:1], graph=graph).ports["torch"]
    assert bool(report) == (moved == 0), str(report)
    assert report.first_divergence is None or report.first_divergence.endpoint == BOXES
    assert {row.endpoint for row in report.rows} >= {CROPPED, RPN_BOXES, RPN_SCORES, BOX_FEATURES, BOXES, CLASS_SCORES}
    assert any("its proposals and crops are not compared" in note for note in report.notes)
