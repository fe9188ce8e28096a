"""TensorFlow Lite's weights are read as its own interpreter reads them, and damaged files are refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import SMALL
from helpers.foreign import SCALES, Lite, lite_network, lite_weights
from porter.errors import FormatError
from porter.formats.open import open_checkpoint

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("lite") / "m.tflite"
    file.write_bytes(lite_network())
    return file


def test_weights_are_floats_in_tensorflows_layout(path: Path) -> None:
    checkpoint, w = open_checkpoint(path), lite_weights()
    scales = np.array(SCALES, np.float32)
    assert np.array_equal(checkpoint["conv/weights"], w["conv"].transpose(1, 2, 3, 0) * scales)
    assert np.array_equal(checkpoint["conv/bias"], w["conv_bias"])
    assert np.array_equal(checkpoint["dw/weights"], w["dw"].transpose(1, 2, 3, 0))
    assert np.array_equal(checkpoint["fc/weights"], w["fc"].T)
    assert checkpoint.asides == {"gap/axes": "graph constant"}
    assert checkpoint.notes == (
        "1 weight is stored as integers with scales, and taken as floats",
        "1 weight is stored without zeros, and taken with them",
    )


@pytest.mark.filterwarnings("ignore::UserWarning")  # the interpreter moves to another package
def test_the_interpreter_takes_the_same_file(tf: Any, path: Path) -> None:
    """TensorFlow's interpreter judges the writer of these tests, and computes with the weights that porter reads."""
    judge = tf.lite.Interpreter(str(path))
    judge.allocate_tensors()
    image = np.random.default_rng(2).normal(size=(1, 8, 8, 3)).astype(np.float32)
    judge.set_tensor(judge.get_input_details()[0]["index"], image)
    judge.invoke()
    got = judge.get_tensor(judge.get_output_details()[0]["index"])
    w = open_checkpoint(path)
    conv = tf.nn.conv2d(image, w["conv/weights"], 2, "SAME") + w["conv/bias"]
    hidden = tf.nn.depthwise_conv2d(tf.nn.relu6(conv), w["dw/weights"], [1, 1, 1, 1], "SAME") + w["dw/bias"]
    want = tf.nn.softmax(tf.reduce_mean(hidden, [1, 2]) @ w["fc/weights"].astype(np.float32))
    assert np.allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(("dtype", "raw", "want"), [
    ("INT4", [0x21, 0xF8], [1, 2, -8, -1]),
    ("UINT4", [0x21, 0xF8], [1, 2, 8, 15]),
    ("INT2", [0b11100100], [0, 1, -2, -1]),
])  # fmt: skip
def test_values_of_less_than_a_byte(tmp_path: Path, dtype: str, raw: list[int], want: list[int]) -> None:
    lite = Lite()
    x, y = lite.tensor("x", (1, 4)), lite.tensor("y", (1, 4))
    weights = lite.scaled("w", np.array(raw, np.uint8), [0.5], [0])
    lite.graph.tensors[weights].type, lite.graph.tensors[weights].shape = getattr(lite.s.TensorType, dtype), [4]
    lite.add("ADD", [x, weights], [y], "AddOptions")
    (tmp_path / "m.tflite").write_bytes(lite.packed([x], [y]))
    checkpoint = open_checkpoint(tmp_path / "m.tflite")
    assert checkpoint["w"].tolist() == [0.5 * value for value in want]
    assert "packed to less than a byte" in checkpoint.notes[1]


def test_a_blocked_sparse_matrix(tmp_path: Path) -> None:
    """Rows of four columns as blocks of 1x4, as sparse kernels on ARM have them: [[., B], [A, .]]."""
    lite = Lite()
    blocks = np.arange(1, 9, dtype=np.float32)
    x, y = lite.tensor("x", (1, 8)), lite.tensor("y", (1, 2))
    weights = lite.sparse("w", np.ones((2, 2), np.float32))
    tensor, levels = lite.graph.tensors[weights], [lite.s.DimensionMetadataT() for _ in range(3)]
    lite.model.buffers[tensor.buffer].data = np.frombuffer(blocks.tobytes(), np.uint8)
    levels[0].denseSize, levels[2].denseSize = 2, 4
    levels[1].format = lite.s.DimensionType.SPARSE_CSR
    for what, listed in (("Segments", [0, 1, 2]), ("Indices", [1, 0])):
        vector = lite.s.Uint8VectorT()
        vector.values = np.array(listed, np.uint8)
        setattr(levels[1], f"array{what}", vector)
        setattr(levels[1], f"array{what}Type", lite.s.SparseIndexVector.Uint8Vector)
    tensor.shape = [2, 8]
    tensor.sparsity.traversalOrder, tensor.sparsity.blockMap, tensor.sparsity.dimMetadata = [0, 1, 2], [1], levels
    lite.add("FULLY_CONNECTED", [x, weights, -1], [y], "FullyConnectedOptions")
    (tmp_path / "m.tflite").write_bytes(lite.packed([x], [y]))
    got = open_checkpoint(tmp_path / "m.tflite")["w"].T
    assert got.tolist() == [[0, 0, 0, 0, 1, 2, 3, 4], [5, 6, 7, 8, 0, 0, 0, 0]]


def test_a_cut_file_is_refused(path: Path, tmp_path: Path) -> None:
    raw = path.read_bytes()
    for size in range(8, len(raw) - 8, 97):
        (tmp_path / "cut.tflite").unlink(missing_ok=True)
        (tmp_path / "cut.tflite").write_bytes(raw[:size])
        with pytest.raises(FormatError, match=r"cut\.tflite.*; copy or download it again"):
            dict(open_checkpoint(tmp_path / "cut.tflite"))


def test_scales_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    lite = Lite()
    x, y = lite.tensor("x", (1, 4)), lite.tensor("y", (1, 4))
    weights = lite.scaled("w", np.zeros(4, np.int8), [0.5, 0.5, 0.5], [0, 0, 0])
    lite.add("ADD", [x, weights], [y], "AddOptions")
    (tmp_path / "m.tflite").write_bytes(lite.packed([x], [y]))
    with pytest.raises(FormatError, match="w has 3 scales for the shape"):
        open_checkpoint(tmp_path / "m.tflite")
    lite.graph.tensors[weights].shape = [1, 4]
    lite.graph.tensors[weights].quantization.scale = [0.5] * 4
    lite.graph.tensors[weights].quantization.quantizedDimension = 9  # an axis that the tensor lacks
    (tmp_path / "n.tflite").write_bytes(lite.packed([x], [y]))
    with pytest.raises(FormatError, match="w has 4 scales for the shape"):
        open_checkpoint(tmp_path / "n.tflite")


def test_scales_of_a_vector_belong_to_its_only_axis(tmp_path: Path) -> None:
    """tflite-micro#2680: a converter gave biases the quantized dimension of their kernels, 3."""
    lite = Lite()
    x, y = lite.tensor("x", (1, 3)), lite.tensor("y", (1, 3))
    bias = lite.scaled("b", np.array([2, 2, 2], np.int32), [0.5, 1, 2], [0, 0, 0], axis=3)
    lite.add("ADD", [x, bias], [y], "AddOptions")
    (tmp_path / "m.tflite").write_bytes(lite.packed([x], [y]))
    assert open_checkpoint(tmp_path / "m.tflite")["b"].tolist() == [1, 2, 4]


def test_a_depthwise_kernel_of_another_form_keeps_it(tmp_path: Path) -> None:
    lite = Lite()
    x, y = lite.tensor("x", (1, 8, 8, 4)), lite.tensor("y", (1, 8, 8, 4))
    kernel = lite.constant("w", np.ones((2, 3, 3, 4), np.float32))  # a whole depthwise kernel begins with 1
    lite.add("DEPTHWISE_CONV_2D", [x, kernel], [y], "DepthwiseConv2DOptions", strideW=1, strideH=1, depthMultiplier=1)
    (tmp_path / "m.tflite").write_bytes(lite.packed([x], [y]))
    assert open_checkpoint(tmp_path / "m.tflite")["w"].shape == (2, 3, 3, 4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_converted_mobilenet_ports(tf: Any, tmp_path: Path) -> None:
    """The converter folds batch norms and fuses names; the port computes what the interpreter does."""
    import torch

    import porter

    reliability = importlib.import_module("reliability")
    path = reliability.write_tflite(tmp_path)
    found = porter.inspect(path)
    assert found.recognised.models == (SMALL,)
    assert f"--checkpoint {path} " in found.recognised.command
    out = tmp_path / "m.safetensors"
    porter.port(SMALL, "tf", "torch", checkpoint=path, out=out)
    image = np.random.default_rng(6).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    judge = tf.lite.Interpreter(str(path))
    judge.allocate_tensors()
    judge.set_tensor(judge.get_input_details()[0]["index"], image)
    judge.invoke()
    want = judge.get_tensor(judge.get_output_details()[0]["index"])
    model = porter.load(SMALL, "torch", out).eval()
    with torch.no_grad():
        got = model(torch.from_numpy(image.transpose(0, 3, 1, 2))).softmax(-1).numpy()
    assert np.allclose(got, want, rtol=1e-4, atol=1e-7)
