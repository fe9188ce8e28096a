"""relayout, against transposes written out by hand and against the frameworks' own convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from porter.errors import MappingError
from porter.mapping.relayout import in_c_order, relayout


@pytest.mark.parametrize(
    ("source", "target", "shape", "by_hand"),
    [
        ("HWIO", "OIHW", (2, 3, 4, 5), lambda a: a.transpose(3, 2, 0, 1)),
        ("HWIO", "OI", (1, 1, 4, 5), lambda a: a[0, 0].T),
        ("OI", "HWIO", (5, 4), lambda a: a.T[None, None]),
        ("HWCM", "(CM)1HW", (3, 2, 4, 2), lambda a: a.transpose(2, 3, 0, 1).reshape(8, 1, 3, 2)),
        ("O", "O", (7,), lambda a: a),
    ],
)
def test_by_hand(source: str, target: str, shape: tuple[int, ...], by_hand: Any) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(relayout(array, source, target), by_hand(array))


@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_depthwise_kernels_compute_the_same_in_both_frameworks(tf: Any, multiplier: int) -> None:
    draw = np.random.default_rng(0)
    images_nhwc, kernel = draw.standard_normal((2, 6, 5, 4)), draw.standard_normal((3, 3, 4, multiplier))
    want = tf.nn.depthwise_conv2d(images_nhwc, kernel, [1, 1, 1, 1], "VALID").numpy()
    weight = torch.from_numpy(np.ascontiguousarray(relayout(kernel, "HWCM", "(CM)1HW")))
    images = torch.from_numpy(images_nhwc.transpose(0, 3, 1, 2).copy())
    got = torch.nn.functional.conv2d(images, weight, groups=4).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@given(st.permutations("HWIO"), st.permutations("HWIO"), st.tuples(*[st.integers(1, 4)] * 4))
def test_there_and_back_is_identity(source: list[str], target: list[str], shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    there = relayout(array, "".join(source), "".join(target))
    assert np.array_equal(relayout(there, "".join(target), "".join(source)), array)


def test_a_merged_axis_is_split_when_one_size_is_given() -> None:
    array = np.arange(3 * 3 * 4 * 2).reshape(3, 3, 4, 2)
    merged = relayout(array, "HWCM", "(CM)1HW")
    assert np.array_equal(relayout(merged, "(CM)1HW", "HWCM", {"M": 2}), array)
    with pytest.raises(MappingError, match="give the sizes of all but one"):
        relayout(merged, "(CM)1HW", "HWCM")
    with pytest.raises(MappingError, match="cannot split an axis of size 8"):
        relayout(merged, "(CM)1HW", "HWCM", {"M": 3})


@pytest.mark.parametrize(
    ("source", "target", "shape", "complaint"),
    [
        ("HWIO", "OIHW", (3, 3, 4), "does not have the axes HWIO"),
        ("HWIO", "OI", (3, 3, 4, 5), "axis H of HWIO has size 3, but OI lacks it"),
        ("HHIO", "OIHW", (3, 3, 4, 5), "write each letter once"),
        ("hwio", "OIHW", (3, 3, 4, 5), "is not an axis order"),
        ("(CM)1HW", "HWCM", (4, 2, 3, 3), "must have size 1, got size 2"),
    ],
)
def test_what_does_not_fit_is_refused(source: str, target: str, shape: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(MappingError, match=complaint.replace("(", r"\(").replace(")", r"\)")):
        relayout(np.zeros(shape), source, target, {"M": 1} if "(" in source else None)


@pytest.mark.parametrize("shape", [(3, 3, 256, 300), (1, 1, 700, 512), (700, 512), (7, 7, 64, 1), (5,), (2, 0, 3)])
def test_slabs_copy_every_value(shape: tuple[int, ...]) -> None:
    view = np.arange(np.prod(shape), dtype=np.float32).reshape(shape).T
    made = in_c_order(view)
    assert made.flags.c_contiguous
    assert np.array_equal(made, np.ascontiguousarray(view))
    assert in_c_order(made) is made
