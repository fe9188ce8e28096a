"""Variants of a network in float64, against TensorFlow running the very file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import variants
from helpers.checkpoints import SMALL, Saver, seeded_variables
from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.parity.compare_runs import Settings
from porter.parity.result import Verification
from porter.runners.images import sample_paths
from porter.runners.side import original_weights
from porter.verbs.port import port
from porter.verbs.seed import seed
from porter.verbs.verify import verify


@pytest.fixture(scope="module")
def plain(tf: Any) -> bytes:
    """The original's graph, frozen with name-seeded weights."""
    return bytes(variants.frozen(tf).SerializeToString())


@pytest.fixture
def graph(tf: Any, plain: bytes) -> Any:
    return tf.compat.v1.GraphDef.FromString(plain)


def verified(path: Path, model: str = SMALL, framework: str = "torch") -> Verification:
    result = verify(model, path, sample_paths()[:1], [framework])
    assert result, str(result.ports[framework])
    assert f"running {path.name} itself" in result.reference
    assert len(result.ports[framework].rows) == 30
    return result


def notes(path: Path, model: str = SMALL) -> list[str]:
    return list(port(model, checkpoint=path).translation.notes)


@pytest.mark.parametrize("names", ["TensorFlow 2", "TensorFlow 1", "transform_graph"])
def test_a_graph_folded_by_tensorflow(tf: Any, graph: Any, tmp_path: Path, names: str) -> None:
    """tensorflow/python/tools/optimize_for_inference_lib.py; a bug report: oandrienko/fast-semantic-segmentation#15."""
    folded = variants.folded_by_tensorflow(tf, graph)
    assert not any(node.op.startswith("FusedBatchNorm") for node in folded.node)
    if names != "TensorFlow 2":
        folded = variants.with_old_names(folded)
    if names == "transform_graph":
        folded = variants.with_additions(folded)
    path = variants.write(tmp_path / "folded.pb", folded)
    found = port(SMALL, checkpoint=path).translation
    assert [note.split(":")[0] for note in found.notes] == ["the batch norms are folded into the convolutions"]
    assert found.taken.keys() == seeded_variables().keys()
    if names != "TensorFlow 1":
        verified(path)


def test_a_folded_graph_in_a_scope(tf: Any, graph: Any, tmp_path: Path) -> None:
    with tf.Graph().as_default() as outer:
        tf.graph_util.import_graph_def(variants.folded_by_tensorflow(tf, graph), name="import")
    path = variants.write(tmp_path / "folded.pb", outer.as_graph_def())
    assert port(SMALL, checkpoint=path).translation.prefix == "import/"
    verified(path)


def test_a_graph_with_quantized_weights(tf: Any, graph: Any, tmp_path: Path) -> None:
    """transform_graph's quantize_weights; a bug report: tensorflow/tensorflow#20272."""
    path = variants.write(tmp_path / "quantized.pb", variants.quantized(tf, graph))
    result = port(SMALL, checkpoint=path)
    assert (len(result.translation.entries), result.translation.parameters) == (137, 475_801)
    assert result.translation.roles == {"variable": 137, "quantized constant": 57, "graph constant": 1}
    assert "19 weights are stored as integers behind Dequantize" in result.translation.notes[0]
    verified(path)


def test_a_folded_graph_with_quantized_weights_in_keras(tf: Any, graph: Any, tmp_path: Path) -> None:
    both = variants.quantized(tf, variants.folded_by_tensorflow(tf, graph))
    path = variants.write(tmp_path / "both.pb", both)
    assert len(notes(path)) == 2
    verified(path, framework="keras")


def test_rounded_weights_are_plain_floats(tf: Any, graph: Any, tmp_path: Path) -> None:
    """transform_graph's round_weights leaves floats of 256 values under the variables' own names."""
    for node in graph.node:
        if node.op == "Const" and node.name.endswith("weights"):
            value = tf.make_ndarray(node.attr["value"].tensor)
            step = (value.max() - value.min()) / np.float32(255)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.round(value / step) * step))
    path = variants.write(tmp_path / "rounded.pb", graph)
    assert not notes(path)
    verified(path)


@pytest.mark.parametrize("shared", [False, True])
def test_a_graph_without_gamma_variables(tf: Any, graph: Any, tmp_path: Path, shared: bool) -> None:
    path = variants.write(tmp_path / "unscaled.pb", variants.with_constant_gammas(tf, graph, shared))
    found = port(SMALL, checkpoint=path).translation
    gammas = [entry.load() for name, entry in found.entries.items() if name.endswith(("bn1.weight", "bn2.weight"))]
    assert len(gammas) == 27
    assert all(np.all(gamma == 1) for gamma in gammas)
    if shared:
        verified(path)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_graph_for_other_images(tf: Any, tmp_path: Path, channels: int) -> None:
    """slim's use_grayscale, tensorflow/models#7690; multispectral images have 4 channels and more."""
    tensors = variants.with_channels(seeded_variables(), channels)
    path = variants.write(tmp_path / "images.pb", variants.frozen(tf, tensors, channels))
    result = verified(path)
    assert result.inputs.endswith(" in gray" if channels == 1 else f" with {channels} channels")


def test_a_checkpoint_of_gray_images_and_one_without_gamma(save: Saver, tmp_path: Path) -> None:
    for tensors in (
        variants.with_channels(seeded_variables(), 1),
        variants.without_gamma(seeded_variables()),
        variants.fold(seeded_variables()),
    ):
        out = tmp_path / "out.safetensors"
        assert port(SMALL, checkpoint=save(tensors), out=out, verify=True, images=sample_paths()[:1])


@pytest.mark.parametrize(
    ("model", "rows"), [("mobilenet_v1_0.35_128", 30), ("mobilenet_v2_0.6_96", 72), ("mobilenet_v3_small_0.6_224", 50)]
)
def test_a_width_that_was_not_released(tmp_path: Path, model: str, rows: int) -> None:
    """slim's depth_multiplier takes any number; a bug report: Zehaos/MobileNet#4."""
    prefix = seed(model, tmp_path / "narrow.ckpt").out
    result = port(model, checkpoint=prefix, out=tmp_path / "o.safetensors", verify=True, images=sample_paths()[:1])
    assert result
    assert result.verification is not None
    assert len(result.verification.ports["torch"].rows) == rows


def test_a_size_that_was_not_released_needs_its_own_graph(tmp_path: Path) -> None:
    prefix = seed("mobilenet_v1_0.25_96", tmp_path / "narrow.ckpt").out
    assert port("mobilenet_v1_0.25_96", checkpoint=prefix).translation.num_classes == 1001
    with pytest.raises(PorterError, match="graph for images of 224x224, not of 96x96: verify against a frozen graph"):
        verify("mobilenet_v1_0.25_96", prefix)


def test_there_is_no_golden_of_a_width_that_was_not_released() -> None:
    with pytest.raises(PorterError, match=r"mobilenet_v1_0.35_224 has no golden of its own: give a `check"):
        verify("mobilenet_v1_0.35_224")


def test_a_graph_of_raw_values_beside_averages(plain: bytes, tmp_path: Path) -> None:
    """argman/EAST#225 and #282: frozen from the raw values, evaluated with the averages."""
    graph = tmp_path / "raw.pb"
    graph.write_bytes(plain)
    trained = seed(SMALL, tmp_path / "trained.ckpt", training=True).out
    only = Settings(precision="float32", endpoints="^Conv2d_0$")
    images = sample_paths()[:1]
    found = verify(SMALL, trained, images, graph=graph, settings=only).ports["torch"]
    assert found.cause == (
        "other weights: 137 of 137 tensors differ, because the reference has the raw values of trained.ckpt, and the "
        'port has its moving averages: take `average="raw"`'
    )
    assert verify(SMALL, trained, images, average="raw", graph=graph, settings=only)
    ported = port(SMALL, checkpoint=trained, out=tmp_path / "averages.safetensors").out
    found = verify(SMALL, None, images, reference=f"tf:{graph}", candidate=f"torch:{ported}", settings=only).ports
    assert found["torch"].cause == "other weights: 137 of 137 tensors differ"


def test_a_graph_with_one_other_tensor(tf: Any, tmp_path: Path) -> None:
    tensors = seeded_variables()
    tensors["MobilenetV1/Conv2d_0/BatchNorm/beta"] = tensors["MobilenetV1/Conv2d_0/BatchNorm/beta"] + np.float32(0.5)
    graph = variants.write(tmp_path / "other.pb", variants.frozen(tf, tensors))
    seeded = seed(SMALL, tmp_path / "seeded.ckpt").out
    only = Settings(precision="float32", endpoints="^Conv2d_0$")
    found = verify(SMALL, seeded, sample_paths()[:1], graph=graph, settings=only).ports["torch"]
    assert found.cause == "other weights: 1 of 137 tensors differs: MobilenetV1/Conv2d_0/BatchNorm/beta"


def test_folded_weights_are_not_compared_with_others() -> None:
    arch = find_arch(SMALL)
    plain, folded = (variants.as_checkpoint(each) for each in (seeded_variables(), variants.fold(seeded_variables())))
    assert original_weights(folded, arch, "tf") is None
    assert dict(original_weights(plain, arch, "tf") or {}).keys() == seeded_variables().keys()
