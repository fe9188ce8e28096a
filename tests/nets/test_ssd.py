"""SSD detectors: what the network returns, heads of other classes, training checkpoints, files of other detectors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from helpers.checkpoints import Saver, seeded_variables, training_checkpoint
from helpers.places import TESTS
from helpers.variants import as_checkpoint
from porter import endpoints, load, verify
from porter.catalog.models import find_arch
from porter.catalog.seeded_weights import probe_indices
from porter.errors import PorterError
from porter.mapping.description import describe
from porter.mapping.head import Head
from porter.mapping.original_graph import original_graph, set_classes
from porter.mapping.recognise import recognise, variable_shapes
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table
from porter.mapping.translate import Options, Translation, translate
from porter.nets.build import build
from porter.nets.features import feature_maps
from porter.nets.ssd.design import BOX_ENCODINGS, BOXES, CLASS_SCORES, DETECTORS
from porter.runners.golden import golden_images

NAME = "ssd_mobilenet_v1"
ARCH = find_arch(NAME)
SIDES = (8, 4, 2, 1, 1, 1)
"""The maps' sides for images of 128."""
COUNT = sum(boxes * side**2 for boxes, side in zip(BOXES, SIDES, strict=True))


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    return seeded_variables(NAME)


def with_classes(variables: Mapping[str, np.ndarray], classes: int) -> dict[str, np.ndarray]:
    """Return the variables with the first ``classes`` scores of each box alone."""

    def cut(name: str, value: np.ndarray) -> np.ndarray:
        if "/ClassPredictor/" not in name:
            return value
        return value.reshape(*value.shape[:-1], -1, 91)[..., :classes].reshape(*value.shape[:-1], -1)

    return {name: cut(name, value) for name, value in variables.items()}


def ported(variables: Mapping[str, np.ndarray], head: Head | None = None) -> Translation:
    head = head or Head()
    options = Options(headless=not head.is_original)
    return head.apply(translate(as_checkpoint(variables), ARCH, "tf", "torch", options), ARCH, "torch")


def outputs(translation: Translation, variables: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return what the filled network computes of an image of noise, in float64."""
    network = build(ARCH, "torch", translation.as_checkpoint(as_checkpoint(variables)), dtype="float64")
    with torch.no_grad():
        found: dict[str, torch.Tensor] = network(torch.randn(1, 3, 128, 128, generator=torch.manual_seed(0)).double())
    return found


def assert_same(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12 * float(want.std()))


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_network_returns_the_maps_by_the_originals_names_and_raw_outputs(detector: str) -> None:
    found = load(f"ssd_{detector}")(torch.zeros(2, 3, 128, 128))
    *maps, boxes, scores = found
    assert tuple(maps) == DETECTORS[detector].names
    assert [found[name].shape[2:] for name in maps] == [(side, side) for side in SIDES]
    assert (boxes, scores) == (BOX_ENCODINGS, CLASS_SCORES)
    assert found[boxes].shape == (2, COUNT, 4)
    assert found[scores].shape == (2, COUNT, 91)


RECORDED = TESTS / "outputs/ssd_mobilenet_v1_300.npz"
"""float64 values of 49 tensors of object_detection 2.8.0.post1, recorded by another program than golden/record.py.

``endpoint:KEY`` are those at probe_indices(KEY, ...) of each sample image; ``places`` has each key's tensor as JSON.
"""


@pytest.mark.slow
def test_every_tensor_of_another_record_is_an_endpoint(variables: Mapping[str, np.ndarray]) -> None:
    """That record has the extra layers' epsilon as its proto stores it, in 32 bits; the backbone has the decimal."""
    network = build(ARCH, "torch", ported(variables).as_checkpoint(as_checkpoint(variables)), dtype="float64")
    for layer in network.extras.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = float(np.float32(layer.eps))
    found = endpoints(NAME, network, golden_images(300).astype(np.float64))
    names = {endpoint.where["tf"]: endpoint.name for endpoint in Table.of(ARCH).endpoints}
    with np.load(RECORDED) as recorded:
        places = json.loads(str(recorded["places"]))
        wants = {key: recorded[f"endpoint:{key}"] for key in places}
    assert len(places) == 49
    for key, want in wants.items():
        flat = found[names[places[key].removesuffix(":0")]].reshape(len(want), -1)
        got = flat[:, probe_indices(key, flat.shape[1], want.shape[1])]
        assert np.abs(got - want).max() <= 4e-14 * want.std(), key  # 2.0e-14 at Conv2d_6_depthwise


@pytest.mark.parametrize("detector", DETECTORS)
def test_feature_maps_are_no_predictions(detector: str) -> None:
    maps = [endpoint.name for endpoint in feature_maps(find_arch(f"ssd_{detector}")).values()]
    assert len(maps) == 7
    assert not any("Predictor" in name or "_1x1_" in name for name in maps)


def test_the_last_extra_layers_are_narrower_than_in_other_ports() -> None:
    """qfgaohao/pytorch-ssd#32: 256 channels there do not take the released weights."""
    last = load(NAME, num_classes=0).extras[-1]
    assert (last.conv1.out_channels, last.conv2.out_channels) == (64, 128)


def test_a_trainers_checkpoint_gives_its_averages_and_leaves_its_slots(variables: Mapping[str, np.ndarray]) -> None:
    """tensorflow/models#3922: FeatureExtractor/.../RMSProp_1 and ExponentialMovingAverage beside each variable."""
    found = ported(training_checkpoint(NAME))
    assert (found.average, found.num_classes, len(found.entries)) == ("ema", 91, len(variables))
    assert not found.other_scopes
    name = "FeatureExtractor/MobilenetV1/Conv2d_0/weights"
    want = variables[name] * np.float32(1.01)
    assert np.array_equal(found.entries["backbone.conv_stem.weight"].load(), want.transpose(3, 2, 0, 1))


def test_classes_follow_the_checkpoint(variables: Mapping[str, np.ndarray]) -> None:
    five = with_classes(variables, 5)
    found = ported(five)
    assert found.num_classes == 5
    assert_same(outputs(found, five)[CLASS_SCORES], outputs(ported(variables), variables)[CLASS_SCORES][..., :5])


def test_a_dropped_background_leaves_the_other_scores_of_every_box(variables: Mapping[str, np.ndarray]) -> None:
    whole, without = (outputs(ported(variables, head), variables) for head in (None, Head(drop_background=True)))
    assert_same(without[CLASS_SCORES], whole[CLASS_SCORES][..., 1:])
    assert_same(without[BOX_ENCODINGS], whole[BOX_ENCODINGS])


def test_other_heads(variables: Mapping[str, np.ndarray]) -> None:
    assert CLASS_SCORES not in outputs(ported(variables, Head(no_head=True)), variables)
    assert outputs(ported(variables, Head(num_classes=7)), variables)[CLASS_SCORES].shape == (1, COUNT, 7)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        # reduce_boxes_in_lowest_layer: false predicts six boxes from the first map too.
        ("BoxPredictor_0/BoxEncodingPredictor/weights", (1, 1, 512, 24), "expects (1, 1, 512, 12)"),
        ("BoxPredictor_1/ClassPredictor/biases", (545,), "does not have classes for 6 boxes"),
        ("BoxPredictor_2/ClassPredictor/biases", (30,), "the head's tensors disagree on the number of classes"),
        # tensorflow/models#5315: use_depthwise, as a released SSD MobileNet V2 has it, makes this the 1x1 of two
        (
            "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_2_Conv2d_2_3x3_s2_512/weights",
            (1, 1, 256, 512),
            "expects (3, 3, 256, 512)",
        ),
        # tensorflow/models#5562: the last convolution of a narrower backbone
        ("FeatureExtractor/MobilenetV1/Conv2d_13_pointwise/weights", (1, 1, 1024, 256), "expects (1, 1, 1024, 1024)"),
    ],
)
def test_another_detector_is_refused_by_its_tensor(
    variables: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], said: str
) -> None:
    other = {**variables, name: np.zeros(shape, np.float32)}
    with pytest.raises(PorterError, match=re.escape(name)) as raised:
        ported(other)
    assert said in str(raised.value)


def test_a_frozen_graphs_anchors_are_no_weights(variables: Mapping[str, np.ndarray]) -> None:
    """The exporter's frozen graph has these constants beside the weights; one more of another scope is an error."""
    anchors = {f"MultipleGridAnchorGenerator/Sqrt_{n}/x": np.zeros(6, np.float32) for n in range(3)}
    anchors |= {"anchors": np.zeros((1917, 4), np.float32)}  # of export_tflite_ssd_graph.py
    found = ported({**variables, **anchors, "Postprocessor/Decode/Const": np.zeros(4, np.float32)})
    assert (len(found.entries), found.ignored) == (len(variables), ())
    assert (found.roles["anchor constant"], found.roles["post-processing constant"]) == (4, 1)
    assert sentence({**variables, **anchors}) == sentence(variables)
    with pytest.raises(PorterError, match="Other/Const"):
        ported({**variables, "Other/Const": np.zeros(4, np.float32)})


def test_separable_box_predictors_are_another_detector(variables: Mapping[str, np.ndarray]) -> None:
    """SSDLite's depthwise convolutions come before these predictors: to leave them out gives other boxes and scores."""
    scopes = [
        f"BoxPredictor_{n}/{what}_depthwise" for n in range(6) for what in ("BoxEncodingPredictor", "ClassPredictor")
    ]
    lite = {f"{scope}/depthwise_weights": np.zeros((3, 3, 8, 1), np.float32) for scope in scopes}
    lite |= {f"{scope}/BatchNorm/beta": np.zeros(8, np.float32) for scope in scopes}
    assert sentence({**variables, **lite}).startswith("contains MobileNet V1 1.0")
    with pytest.raises(
        PorterError, match="has 24 tensors beside its head that ssd_mobilenet_v1 does not have"
    ) as raised:
        ported({**variables, **lite})
    assert "contains MobileNet V1 1.0" in str(raised.value)


@pytest.mark.parametrize("average", ["auto", "ema"])
def test_predictors_without_averages(variables: Mapping[str, np.ndarray], average: str) -> None:
    """tensorflow/models#4407 and #5792: a detector whose box predictors were trained anew without averages."""
    body = {f"{name}/ExponentialMovingAverage": x for name, x in variables.items() if not name.startswith("Box")}
    given, options = as_checkpoint({**variables, **body}), Options(average=average)
    if average == "ema":
        with pytest.raises(PorterError, match="no moving average of 24 trainable variables"):
            translate(given, ARCH, "tf", "torch", options)
    else:
        assert translate(given, ARCH, "tf", "torch", options).average == "raw"


@pytest.mark.parametrize("classes", [2, 91])
def test_the_originals_graph_has_the_files_classes(variables: Mapping[str, np.ndarray], classes: int) -> None:
    """tensorflow/models#5891 fine-tunes 38 classes: TensorFlow itself computes the scores of other classes too."""
    graph, table = original_graph(ARCH), Table.of(ARCH)
    set_classes(graph, table, 91, classes)
    stated = [node for node in graph.node if re.fullmatch(r"BoxPredictor_\d/Reshape_1/shape/2", node.name)]
    assert [node.attr["value"].tensor.int_val[:] for node in stated] == [[classes]] * 6
    boxes = [node for node in graph.node if re.fullmatch(r"BoxPredictor_\d/Reshape/shape/3", node.name)]
    assert [node.attr["value"].tensor.int_val[:] for node in boxes] == [[4]] * 6


@pytest.mark.slow
def test_a_detector_of_other_classes_is_verified_at_every_output(
    variables: Mapping[str, np.ndarray], save: Saver
) -> None:
    found = verify(NAME, checkpoint=save(with_classes(variables, 3))).ports["torch"]
    assert found, str(found)
    assert [row.endpoint for row in found.rows][-2:] == [BOX_ENCODINGS, CLASS_SCORES]


LAST = "FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_"
EXTRAS = ("2_3x3_s2_512", "3_3x3_s2_256", "4_3x3_s2_256", "5_3x3_s2_128")
FORMS = {"ssd_mobilenet_v2": 1, "ssd_mobilenet_v2_full": 3}
"""The forms of SSD MobileNet V2, with the kernels of their extra layers' second convolutions."""


def tf_shapes(name: str) -> Mapping[str, tuple[int, ...]]:
    arch = find_arch(name)
    return expected_shapes(arch, Table.of(arch), "tf")


@pytest.mark.parametrize(("name", "side"), FORMS.items())
def test_the_released_v2_has_separable_extra_layers(name: str, side: int) -> None:
    """tensorflow/models#5315 and #8361 print both forms: the checkpoint's shapes and those of a training without."""
    shapes = tf_shapes(name)
    channels = ((256, 512), (128, 256), (128, 256), (64, 128))
    assert [shapes[f"{LAST}{extra}/weights"] for extra in EXTRAS] == [(side, side, *both) for both in channels]
    depthwise = [shapes.get(f"{LAST}{extra}_depthwise/depthwise_weights") for extra in EXTRAS]
    assert depthwise == [(3, 3, inner, 1) if side == 1 else None for inner, _ in channels]


@pytest.mark.parametrize(("name", "millions"), [("ssd_mobilenet_v1", 6.807), ("ssd_mobilenet_v2", 16.818)])
def test_a_release_has_as_many_constants_as_openvino_counts(name: str, millions: float) -> None:
    """Its pages of ssd_mobilenet_v1_coco and ssd_mobilenet_v2_coco count what is left of the released frozen graphs."""
    folded = ("gamma", "moving_mean", "moving_variance")  # into the kernels and beta
    constants = sum(math.prod(shape) for name, shape in tf_shapes(name).items() if not name.endswith(folded))
    assert round(constants / 1e6, 3) == millions


@pytest.mark.parametrize(("name", "other"), [(*FORMS,), (*reversed(FORMS),)])
def test_the_forms_of_v2_are_told_apart(name: str, other: str) -> None:
    given = {name: np.zeros(shape, np.float32) for name, shape in tf_shapes(name).items()}
    assert sentence(given) == f"{find_arch(name).title} at 300, with MobileNet V2 1.0 in FeatureExtractor"
    with pytest.raises(PorterError) as raised:
        translate(as_checkpoint(given), find_arch(other), "tf", "torch")
    assert re.search(rf"{name}\b", str(raised.value))


def test_a_quantized_releases_ranges_are_a_role() -> None:
    """Names as quant_ops.py gives them in ssd_mobilenet_v2_quantized_300x300_coco_2019_01_03."""
    arch = find_arch("ssd_mobilenet_v2_quantized")
    given = {name: np.zeros(shape, np.float32) for name, shape in tf_shapes(arch.name).items()}
    scope = "FeatureExtractor/MobilenetV2/layer_19_1_Conv2d_2_1x1_256"
    ranges = {f"{scope}/{kind}_quant/{end}": np.float32(6) for kind in ("act", "weights") for end in ("min", "max")}
    found = translate(as_checkpoint({**given, **ranges}), arch, "tf", "torch")
    assert (len(found.entries), found.roles["quantization range"]) == (len(given), 4)


def sentence(given: Mapping[str, Any]) -> str:
    return describe(recognise(variable_shapes(as_checkpoint(given).entries))[:1])


def test_a_detector_is_named_with_its_backbone(variables: Mapping[str, np.ndarray]) -> None:
    assert sentence(variables) == "SSD MobileNet V1 at 300, with MobileNet V1 1.0 in FeatureExtractor"
    within = sentence({f"model/{name}": value for name, value in variables.items()})
    assert within.endswith("with MobileNet V1 1.0 in model/FeatureExtractor, in the scope model")
    assert sentence(with_classes(variables, 3)).endswith("with 3 classes")
    bare = {name: value for name, value in variables.items() if "BoxPredictor" not in name}
    assert "contains MobileNet V1 1.0" in sentence(bare)
