"""TensorNets' .npz: its own code assigns the values by their order, rebuilt here from tensornets/utils.py."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import SMALL, seeded_variables
from porter import port
from porter.errors import PorterError
from porter.formats.numpy.npz_writer import write_listed
from porter.formats.open import open_checkpoint
from porter.verbs.check import check


def parse_weights(path: Path) -> list[np.ndarray]:
    """Return the values that TensorNets assigns, in the order of its variables."""
    data = np.load(path, encoding="bytes", allow_pickle=True)
    values = data["values"]
    for at, name in enumerate(data["names"]):
        if "/beta" in str(data["names"][at - 1]) and "/gamma" in str(name):
            values[at], values[at - 1] = values[at - 1], values[at]
    return list(values)


@pytest.fixture(scope="module")
def written(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("npz") / "mobilenet25.npz"
    port(SMALL, "tf", "tensornets", checkpoint=small, out=out)
    return out


def test_tensornets_gets_each_value_in_the_order_of_its_variables(written: Path) -> None:
    """tensornets/mobilenets.py makes the variables of MobileNet V1 in slim's order: its head is a dense layer."""
    got, want = parse_weights(written), list(seeded_variables(SMALL).values())
    assert len(got) == len(want) == 137
    for ours, theirs in zip(got[:-2], want[:-2], strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(got[-2], want[-2][0, 0])
    assert np.array_equal(got[-1], want[-1])


def test_the_way_there_and_back_is_bit_identical(written: Path, small: Path, tmp_path: Path) -> None:
    port(SMALL, "tensornets", "tf", checkpoint=written, out=tmp_path / "m.ckpt")
    there, back = open_checkpoint(small), open_checkpoint(tmp_path / "m.ckpt")
    assert {name: values.tobytes() for name, values in back.items()} == {n: v.tobytes() for n, v in there.items()}


def test_the_record_finds_damage(written: Path) -> None:
    assert check(written)
    whole = written.read_bytes()
    at = written.stat().st_size // 2
    written.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    try:
        assert check(written).damaged
    finally:
        written.write_bytes(whole)


@pytest.mark.parametrize(
    ("out", "options", "why"),
    [
        ("m.npz", {"save_dtype": "bfloat16"}, r"a \.npz file cannot hold bfloat16: take `save_dtype=\"float16\"`"),
        ("m.pb", {}, r"m\.pb holds porter's own tf network, which has no names of tensornets: end it in \.npz, \.ckpt"),
        ("m.pth", {}, r"has no suffix that porter writes for tensornets: end it in \.npz, \.ckpt or \.safetensors"),
    ],
)
def test_other_forms_are_refused(small: Path, tmp_path: Path, out: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(PorterError, match=why):
        port(SMALL, "tf", "tensornets", checkpoint=small, out=tmp_path / out, **options)
    assert not list(tmp_path.iterdir())


def test_every_dtype_and_shape_comes_back(tmp_path: Path) -> None:
    arrays = [
        *(np.arange(6).reshape(2, 3).astype(dtype) for dtype in "bBhHiIlLefdFD?"),
        *(np.asarray(7, np.int64), np.zeros((0, 4), np.float32), np.ones((1, 70_000), np.float16)),
    ]
    names = [f"v{number}:0" for number in range(len(arrays))]
    write_listed(tmp_path / "any.npz", names, arrays)
    theirs, ours = np.load(tmp_path / "any.npz", allow_pickle=True), open_checkpoint(tmp_path / "any.npz")
    assert list(theirs["names"]) == names
    for array, value, (_, mine) in zip(arrays, theirs["values"], ours.items(), strict=True):
        assert value.dtype == mine.dtype == array.dtype
        assert value.shape == mine.shape == array.shape
        assert value.tobytes() == mine.tobytes() == array.tobytes()


def test_memory_holds_one_array_at_a_time(tmp_path: Path) -> None:
    size = 1 << 22
    tracemalloc.start()
    write_listed(tmp_path / "m.npz", [f"v{n}" for n in range(8)], (np.full(size // 4, n, np.float32) for n in range(8)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * size
