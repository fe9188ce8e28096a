"""Writers of small TensorFlow Lite and TensorFlow.js files, by their published schemas."""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


@functools.cache
def schema() -> Any:
    """Return TensorFlow Lite's schema as Python classes, without importing TensorFlow."""
    found = importlib.util.find_spec("tensorflow")
    assert found is not None
    assert found.submodule_search_locations
    file = Path(found.submodule_search_locations[0]) / "lite/python/schema_py_generated.py"
    spec = importlib.util.spec_from_file_location("tflite_schema", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tflite_schema"] = module
    spec.loader.exec_module(module)
    return module


class Lite:
    """Builds a .tflite file; methods return the numbers of the tensors that they add."""

    def __init__(self) -> None:
        self.s = schema()
        self.graph = self.s.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.name = [], [], "main"
        self.model = self.s.ModelT()
        self.model.version, self.model.description = 3, "by hand"
        self.model.subgraphs, self.model.operatorCodes = [self.graph], []
        self.model.buffers = [self.s.BufferT()]
        self.numbers: dict[int, int] = {}

    def tensor(self, name: str, shape: Any, dtype: str = "FLOAT32", values: np.ndarray | None = None) -> int:
        tensor = self.s.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(shape), getattr(self.s.TensorType, dtype)
        if values is not None:
            buffer = self.s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, values: np.ndarray) -> int:
        return self.tensor(name, values.shape, values.dtype.name.upper(), values)

    def scaled(self, name: str, values: np.ndarray, scales: Any, zeros: Any, axis: int = 0) -> int:
        """Add integers that stand for floats."""
        number = self.constant(name, values)
        quantized = self.s.QuantizationParametersT()
        quantized.scale, quantized.zeroPoint, quantized.quantizedDimension = list(scales), list(zeros), axis
        self.graph.tensors[number].quantization = quantized
        return number

    def sparse(self, name: str, values: np.ndarray) -> int:
        """Add a matrix without its zeros: rows are dense, and columns a list for each row."""
        rows, columns = np.nonzero(values)
        number = self.tensor(name, values.shape, values.dtype.name.upper(), values[rows, columns])
        levels = [self.s.DimensionMetadataT(), self.s.DimensionMetadataT()]
        levels[0].denseSize = len(values)
        levels[1].format = self.s.DimensionType.SPARSE_CSR
        for what, listed in (("Segments", np.searchsorted(rows, np.arange(len(values) + 1))), ("Indices", columns)):
            vector = self.s.Int32VectorT()
            vector.values = listed.tolist()
            setattr(levels[1], f"array{what}", vector)
            setattr(levels[1], f"array{what}Type", self.s.SparseIndexVector.Int32Vector)
        sparsity = self.s.SparsityParametersT()
        sparsity.traversalOrder, sparsity.dimMetadata = [0, 1], levels
        self.graph.tensors[number].sparsity = sparsity
        return number

    def add(self, op: str, inputs: list[int], outputs: list[int], options: str = "", **settings: Any) -> int:
        """Add an operator with the settings of its ``options`` table; return its first output."""
        code = getattr(self.s.BuiltinOperator, op)
        if code not in self.numbers:
            listed = self.s.OperatorCodeT()
            listed.builtinCode, listed.deprecatedBuiltinCode, listed.version = code, min(code, 127), 1
            self.numbers[code] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(listed)
        operator = self.s.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.numbers[code], inputs, outputs
        if options:
            operator.builtinOptions = getattr(self.s, f"{options}T")()
            operator.builtinOptionsType = getattr(self.s.BuiltinOptions, options)
            for key, value in settings.items():
                setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)
        return outputs[0]

    def subgraph(self, number: int) -> None:
        """Let the next tensors and operators be those of subgraph ``number``; 0 is the network."""
        while len(self.model.subgraphs) <= number:
            graph = self.s.SubGraphT()
            graph.tensors, graph.operators, graph.name = [], [], f"body_{len(self.model.subgraphs)}"
            self.model.subgraphs.append(graph)
        self.graph = self.model.subgraphs[number]

    def ends(self, inputs: list[int], outputs: list[int]) -> None:
        """State the inputs and outputs of the subgraph."""
        self.graph.inputs, self.graph.outputs = inputs, outputs

    def packed(self, inputs: list[int], outputs: list[int]) -> bytes:
        """Return the file; the ends are those of the network."""
        import flatbuffers

        self.subgraph(0)
        self.ends(inputs, outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def lite_weights() -> dict[str, np.ndarray]:
    """Return the floats of `lite_network`, in TensorFlow Lite's layouts."""
    noise = np.random.default_rng(1)
    conv = noise.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    fc = noise.normal(size=(5, 4)).astype(np.float16)
    fc[noise.random(fc.shape) < 0.6] = 0
    return {
        "conv": conv,
        "conv_bias": noise.normal(size=4).astype(np.float32),
        "dw": noise.normal(size=(1, 3, 3, 4)).astype(np.float32),
        "dw_bias": noise.normal(size=4).astype(np.float32),
        "fc": fc,
    }


def lite_loop(steps: int | None = 3, calls: int = 1, inner: int = 0) -> bytes:
    """Return loops over y = tanh(y w), one behind the other, whose body has the 8x8 weights w.

    Each runs ``steps`` times; None leaves that to an input. The body runs an ``inner`` loop over it as often.
    """
    lite = Lite()
    for number in (2, 4) if inner else (2,):
        body(lite, number, inner if number == 2 else 0)
        going(lite, number - 1, steps if number == 2 else inner)
    lite.subgraph(0)
    count, y = lite.constant("zero", np.zeros((), np.int32)), lite.tensor("x", (1, 8))
    limit = lite.tensor("limit", (), "INT32")
    inputs = [y, limit]
    for call in range(calls):
        ends = [lite.tensor(f"{name}_{call}", shape, kind) for name, shape, kind in LOOPING]
        y = lite.add("WHILE", [count, y, limit], ends, "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2) + 1
    return lite.packed(inputs, [y])


LOOPING = (("count", (), "INT32"), ("while", (1, 8), "FLOAT32"), ("end", (), "INT32"))


def body(lite: Lite, number: int, inner: int) -> None:
    """Add the body of a loop: it counts, and multiplies by its weights or runs the ``inner`` loop."""
    lite.subgraph(number)
    count, y, limit = (lite.tensor(f"{name}_of_{number}", shape, kind) for name, shape, kind in LOOPING)
    grown = lite.tensor(f"next_of_{number}", (), "INT32")
    lite.add("ADD", [count, lite.constant(f"one_of_{number}", np.ones((), np.int32))], [grown], "AddOptions")
    if inner:
        zero = lite.constant(f"zero_of_{number}", np.zeros((), np.int32))
        ends = [lite.tensor(f"{name}_inside", shape, kind) for name, shape, kind in LOOPING]
        settings = {"condSubgraphIndex": number + 1, "bodySubgraphIndex": number + 2}
        found = lite.add("WHILE", [zero, y, limit], ends, "WhileOptions", **settings) + 1
    else:
        product, found = lite.tensor(f"product_of_{number}", (1, 8)), lite.tensor(f"tanh_of_{number}", (1, 8))
        weights = lite.constant(f"w_of_{number}", np.full((8, 8), 0.1, np.float32))
        lite.add("FULLY_CONNECTED", [y, weights, -1], [product], "FullyConnectedOptions")
        lite.add("TANH", [product], [found])
    lite.ends([count, y, limit], [grown, found, limit])


def going(lite: Lite, number: int, steps: int | None) -> None:
    """Add the condition of a loop: whether its counter is below ``steps``, or below the third value of the loop."""
    lite.subgraph(number)
    count, y, limit = (lite.tensor(f"{name}_of_{number}", shape, kind) for name, shape, kind in LOOPING)
    bound = limit if steps is None else lite.constant(f"steps_of_{number}", np.array(steps, np.int32))
    less = lite.tensor(f"less_of_{number}", (), "BOOL")
    lite.add("LESS", [count, bound], [less], "LessOptions")
    lite.ends([count, y, limit], [less])


SCALES = (0.01, 0.02, 0.03, 0.04)


def lite_network() -> bytes:
    """Return a network of every way to store weights: scaled and plain, half and sparse behind DENSIFY."""
    lite, w = Lite(), lite_weights()
    image = lite.tensor("image:0", (1, 8, 8, 3))
    kernel = lite.scaled("conv/weights", w["conv"], SCALES, [0] * 4)
    floats = lite.tensor("conv/floats", w["conv"].shape)
    lite.add("DEQUANTIZE", [kernel], [floats], "DequantizeOptions")
    biases = lite.constant("conv/bias", w["conv_bias"])
    window = {"strideW": 2, "strideH": 2, "padding": 0, "fusedActivationFunction": 3}
    conv = lite.tensor("conv/Relu6;conv/Conv2D", (1, 4, 4, 4))
    lite.add("CONV_2D", [image, floats, biases], [conv], "Conv2DOptions", **window)
    depthwise = lite.tensor("dw/depthwise", (1, 4, 4, 4))
    parts = [conv, lite.constant("dw/weights", w["dw"]), lite.constant("dw/bias", w["dw_bias"])]
    one = {"strideW": 1, "strideH": 1, "depthMultiplier": 1}
    lite.add("DEPTHWISE_CONV_2D", parts, [depthwise], "DepthwiseConv2DOptions", **one)
    pooled = lite.tensor("gap", (1, 4))
    axes = lite.constant("gap/axes", np.array([1, 2], np.int32))
    lite.add("MEAN", [depthwise, axes], [pooled], "ReducerOptions")
    half, dense = lite.tensor("fc/half", (5, 4), "FLOAT16"), lite.tensor("fc/dense", (5, 4))
    lite.add("DENSIFY", [lite.sparse("fc/weights", w["fc"])], [half], "DensifyOptions")
    lite.add("DEQUANTIZE", [half], [dense], "DequantizeOptions")
    logits = lite.tensor("fc/MatMul", (1, 5))
    lite.add("FULLY_CONNECTED", [pooled, dense, -1], [logits], "FullyConnectedOptions")
    softmax = lite.tensor("prob", (1, 5))
    lite.add("SOFTMAX", [logits], [softmax], "SoftmaxOptions", beta=1.0)
    return lite.packed([image], [softmax])


# ---- TensorFlow.js, by tfjs-converter/python/tensorflowjs/write_weights.py and quantization.py
def quantized(values: np.ndarray, dtype: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return a tensor's stored values and their entry in the manifest."""
    if dtype == "float16":
        return values.astype(np.float16), {"dtype": dtype}
    low, high = float(values.min()), float(values.max())
    scale = (high - low) / np.iinfo(dtype).max if high > low else 1.0
    if low <= 0 <= high and high > low:  # zero must stay exact, for padding
        low = -round(-low / scale) * scale
    stored = np.clip(np.round((values - low) / scale), 0, np.iinfo(dtype).max).astype(dtype)
    return stored, {"dtype": dtype, "min": low, "scale": scale, "original_dtype": "float32"}


def write_shards(folder: Path, weights: Mapping[str, np.ndarray], dtype: str = "", shard: int = 1 << 22) -> list[Any]:
    """Write weights into shards of ``shard`` bytes, and return their manifest; ``dtype`` quantizes floats."""
    folder.mkdir(parents=True, exist_ok=True)
    listed, raw = [], b""
    for name, values in weights.items():
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": values.dtype.name}
        if dtype and values.dtype == np.float32:
            values, entry["quantization"] = quantized(values, dtype)
        listed.append(entry)
        raw += values.tobytes()
    count = max(1, -(-len(raw) // shard))
    paths = [f"group1-shard{at + 1}of{count}.bin" for at in range(count)]
    for at, path in enumerate(paths):
        (folder / path).write_bytes(raw[at * shard : (at + 1) * shard])
    return [{"paths": paths, "weights": listed}]


def write_tfjs_graph(folder: Path, graph: Any, signature: Any = None, dtype: str = "", shard: int = 1 << 22) -> Path:
    """Write a GraphDef with constants as a graph-model; ``signature`` is a SignatureDef as JSON."""
    from google.protobuf import json_format

    from porter.formats.tensorflow.tensorproto import tensor_values

    stripped = type(graph).FromString(graph.SerializeToString())
    weights = {}
    for node in stripped.node:
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            values = tensor_values(folder, node.name, tensor)
            weights[node.name] = values.astype(
                {"int64": "int32", "float64": "float32"}.get(values.dtype.name, values.dtype)
            )
            for field in ("tensor_content", "float_val", "int_val", "int64_val", "bool_val", "double_val"):
                tensor.ClearField(field)
    manifest = write_shards(folder, weights, dtype, shard)
    facts = {"format": "graph-model", "generatedBy": "1.15.0", "convertedBy": "TensorFlow.js Converter v4.22.0"}
    facts |= {"modelTopology": json_format.MessageToDict(stripped), "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(facts | ({"signature": signature} if signature else {})))
    return folder / "model.json"


def write_tfjs_layers(folder: Path, config: Any, weights: Mapping[str, np.ndarray], dtype: str = "") -> Path:
    """Write a Keras model's config and weights as a layers-model."""
    topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": config}
    facts = {"format": "layers-model", "generatedBy": "keras v2.15.0", "convertedBy": "TensorFlow.js Converter v4.22.0"}
    facts |= {"modelTopology": topology, "weightsManifest": write_shards(folder, weights, dtype)}
    (folder / "model.json").write_text(json.dumps(facts))
    return folder / "model.json"
