"""`port inspect A --diff B` of two files' weights: which values of one the other holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from helpers.graphs import Maker
from porter.cli.main import main
from porter.errors import FormatError, PorterError
from porter.formats.roles import SHADOW_SUFFIX
from porter.graph.rewrite.freeze import constant
from porter.render.weights_text import answer
from porter.verbs.inspect import compare
from porter.verbs.inspect_weights import WeightsDifference

Arrays = Mapping[str, np.ndarray]
Write = Callable[[str, Arrays], Path]
AVERAGED = ("net/conv1/weights", "net/conv2/weights", "net/conv2/biases")


def weights() -> dict[str, np.ndarray]:
    """Return the variables of a network; the moving mean has no average of its own."""
    random = np.random.default_rng(0)
    shapes = {"net/conv1/weights": (3, 3, 3, 8), "net/conv2/weights": (3, 3, 8, 16), "net/conv2/biases": (16,)}
    found = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    norm = {f"net/conv1/BatchNorm/{name}": np.full(8, 0.5, np.float32) for name in ("moving_mean", "moving_variance")}
    return found | norm


def averages() -> dict[str, np.ndarray]:
    return {name: value + np.float32(0.25) for name, value in weights().items() if name in AVERAGED}


def checkpoint() -> dict[str, np.ndarray]:
    shadows = {name + SHADOW_SUFFIX: value for name, value in averages().items()}
    slots = {f"{name}/Momentum": value for name, value in weights().items()}
    return weights() | shadows | slots | {"global_step": np.asarray(7, np.int64)}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a frozen graph (.pb) or a checkpoint (.npz)."""

    def written(name: str, arrays: Arrays) -> Path:
        path = tmp_path / name
        if path.suffix == ".pb":
            make = Maker()
            for key, value in arrays.items():
                make.graph.node.append(constant(key, value))
                make("Identity", f"{key}/read", key)
            path.write_bytes(make.graph.SerializeToString())
        else:
            np.savez(path, **arrays)
        return path

    return written


def compared(first: Path, second: Path) -> WeightsDifference:
    found = compare(first, second)
    assert isinstance(found, WeightsDifference)
    return found


FROZEN: dict[str, tuple[Callable[[], Arrays], str]] = {
    "raw": (weights, "5 of 5 are the raw values of model.npz (averages differ by up to 0.25)"),
    "average": (
        lambda: weights() | averages(),
        "5 of 5 are the moving averages of model.npz (raw values differ by up to 0.25)",
    ),
    "some": (
        lambda: weights() | {name: averages()[name] for name in AVERAGED[:1]},
        "of 5 variables in both files, model.npz has 2 the raw value, 1 the moving average, 2 both",
    ),
    "none": (
        lambda: {name: value + np.float32(1) for name, value in weights().items()},
        "of 5 variables in both files, model.npz has 5 neither",
    ),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", FROZEN)
def test_which_weights_a_frozen_graph_is_made_of(write: Write, kind: str, turned: bool) -> None:
    build, expected = FROZEN[kind]
    files = [write("frozen.pb", build()), write("model.npz", checkpoint())]
    found = compared(*(reversed(files) if turned else files))
    assert answer(found) == expected
    assert bool(found) == (kind != "none")
    assert found.uncompared == {"optimizer slot": 5, "step counter": 1}


@pytest.mark.parametrize(
    "prefixes", [("import/", ""), ("", "tower_0/"), ("import/", "module/"), ("other/", "deep/er/")]
)
def test_names_are_found_behind_prefixes(write: Write, prefixes: tuple[str, str]) -> None:
    first, second = (
        {prefix + name: value for name, value in arrays.items()}
        for prefix, arrays in zip(prefixes, (weights(), checkpoint()), strict=True)
    )
    found = compared(write("frozen.pb", first), write("model.npz", second))
    assert answer(found).startswith("5 of 5 are the raw values")
    assert found.prefixes == prefixes


def test_another_root_scope_is_a_prefix(write: Write) -> None:
    renamed = {name.replace("net/", "MyNet/v1/"): value for name, value in weights().items()}
    found = compared(write("frozen.pb", renamed), write("model.npz", checkpoint()))
    assert answer(found).startswith("5 of 5 are the raw values")
    assert found.prefixes == ("MyNet/v1/", "net/")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_rounded_values_are_named(write: Write, dtype: str) -> None:
    from ml_dtypes import bfloat16

    stored = {"float16": np.float16, "bfloat16": bfloat16, "float32": np.float32}[dtype]
    exact = {name: value.astype(np.float64) * (1 + 1e-12) for name, value in checkpoint().items()}
    rounded = {name: exact[name].astype(stored).astype(np.float32) for name in weights()}
    files = write("rounded.npz", rounded), write("model.npz", exact)
    for found in (compared(*files), compared(*reversed(files))):
        assert answer(found).startswith("5 of 5 are the raw values")
        assert {tensor.rounded for tensor in found.tensors if tensor.name in AVERAGED} == {dtype}
        assert not found


def test_shapes_missing_and_more_tensors_are_told(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    other = weights() | {"net/conv2/biases": np.zeros(17, np.float32), "net/extra": np.ones((2, 2), np.float32)}
    del other["net/conv1/weights"]
    files = write("frozen.pb", other), write("model.npz", checkpoint())
    found = compared(*files)
    by_name = {tensor.name: tensor for tensor in found.tensors}
    assert by_name["net/conv2/biases"].shapes == ((17,), (16,))
    assert {name: tensor.result for name, tensor in by_name.items() if tensor.name not in checkpoint()} == {
        "net/extra": "only in the first"
    }
    assert by_name["net/conv1/weights"].result == "only in the second"
    out = run(capsys, *files)
    assert "of 4 variables in both files, model.npz has 1 the raw value, 2 both, 1 neither" in out
    assert "1 have another shape" in out
    assert "17 and 16" in out
    listed = json.loads(run(capsys, *files, "--json"))
    assert not listed["equal"]
    assert len(listed["tensors"]) == 6


def test_folded_and_quantized_kernels_are_unknown(write: Write) -> None:
    kernel = np.random.default_rng(1).normal(size=(3, 3, 64, 8)).astype(np.float32)
    whole = weights() | {"net/conv1/weights": kernel}
    folded = {name: value * np.float32(1.5) for name, value in whole.items() if "BatchNorm" not in name}
    folded["net/conv1/weights"] = np.round(kernel * 16) / 16
    found = compared(write("folded.pb", folded), write("model.npz", whole))
    results = {tensor.name: (tensor.result, tensor.raw) for tensor in found.tensors if tensor.name in folded}
    assert results["net/conv1/weights"] == ("quantized", None)
    assert results["net/conv2/weights"] == ("folded batch norm", None)
    assert results["net/conv2/biases"][0] == "differs"


def test_a_constant_tensor_is_initial_and_not_quantized(write: Write) -> None:
    old = {"a/kernel": np.zeros((64, 64), np.float32)}
    found = compared(write("a.npz", old), write("b.npz", {"a/kernel": np.ones((64, 64), np.float32)}))
    assert answer(found) == "0 of 1 have the same values (they differ by up to 1)"


def test_integers_that_quantize_weights_leaves_are_no_values(write: Write, tmp_path: Path) -> None:
    make = Maker()
    for name, value in weights().items():
        if name != AVERAGED[0]:
            make.graph.node.append(constant(name, value))
    node = make.graph.node.add(name=f"{AVERAGED[0]}_quantized_const", op="Const")
    node.attr["dtype"].type = node.attr["value"].tensor.dtype = 12
    node.attr["value"].tensor.tensor_shape.dim.add(size=3)
    node.attr["value"].tensor.tensor_content = b"\1\2\3"
    (tmp_path / "quantized.pb").write_bytes(make.graph.SerializeToString())
    found = compared(tmp_path / "quantized.pb", write("model.npz", weights()))
    assert found.counts == {"the only value": 4, "quantized": 1}


def test_values_that_are_not_finite_are_compared_and_their_difference_is_unknown(write: Write) -> None:
    broken = weights()
    broken[AVERAGED[0]] = np.full_like(broken[AVERAGED[0]], np.nan)
    assert compared(write("a.npz", broken), write("b.npz", broken))
    (worst,) = (t for t in compared(write("a.npz", broken), write("b.npz", weights())).tensors if t.result == "differs")
    assert worst.raw is None


def test_two_averaged_files_are_compared_by_their_raw_values(write: Write) -> None:
    found = compared(write("a.npz", checkpoint()), write("b.npz", checkpoint()))
    assert answer(found) == "5 of 5 have the same values"


def test_files_without_a_common_name_are_refused(write: Write) -> None:
    files = write("a.npz", {"a/b": np.ones(9)}), write("b.npz", {"c/d": np.ones(9)})
    with pytest.raises(
        PorterError, match=r"a\.npz and .*b\.npz have no tensor of the same name or values: name two files"
    ):
        compare(*files)


def test_constants_that_a_tool_renamed_are_matched_by_their_values(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {name: value for name, value in weights().items() if name in AVERAGED}
    renamed = {f"Const_{number}": value for number, value in enumerate(kept.values(), 90)}
    files = write("frozen.pb", renamed), write("model.npz", checkpoint())
    found = compared(*files)
    assert answer(found) == "3 of 3 are the raw values of model.npz (averages differ by up to 0.25)"
    assert [tensor.other for tensor in found.tensors[:3]] == list(AVERAGED)
    assert found.counts["only in the second"] == 2
    assert "by their values, because no names are the same" in run(capsys, *files)


def test_a_graph_without_weights_is_refused(write: Write, tmp_path: Path) -> None:
    make = Maker()
    make("Relu", "relu", make.placeholder("x", 1, 4))
    (tmp_path / "graph.pb").write_bytes(make.graph.SerializeToString())
    with pytest.raises(FormatError, match=r"graph\.pb is a graph without weights"):
        compare(tmp_path / "graph.pb", write("model.npz", weights()))


@pytest.mark.parametrize("option", [("--size", "8"), ("--tag", "serve"), ("--graph", "1")])
def test_options_of_graphs_are_refused(
    write: Write, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    path = write("model.npz", weights())
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(path), "--diff", str(path), *option])
    assert ended.value.code == 2
    assert f"is a checkpoint, and {option[0]} is for graphs: leave it out" in capsys.readouterr().err


def run(capsys: pytest.CaptureFixture[str], first: Path, second: Path, *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(first), "--diff", str(second), *options])
    assert not ended.value.code
    return capsys.readouterr().out
