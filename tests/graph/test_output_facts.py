"""The range and the size that an overview states of an output are those that TensorFlow computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porter.formats.tensorflow.graph_source import graph_source
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.first_steps import range_text
from porter.graph.analysis.output_facts import output_facts

pytest.importorskip("tensorflow")


def computed(tf: Any, end: Callable[[Any, Any], Any]) -> tuple[list[str], np.ndarray]:
    """Return what is said of ``end`` of an 8x8 image, and its values for pixels from -1000 to 1000."""
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        x = tf.compat.v1.placeholder(tf.float32, (1, 8, 8, 3), name="x")
        y = tf.identity(end(tf, x), name="y")
        values = session.run(y, {x: np.linspace(-1000, 1000, 192, dtype=np.float32).reshape(1, 8, 8, 3)})
        proto = GraphDef.FromString(graph.as_graph_def().SerializeToString())
    return list(output_facts(Analysis(graph_source(Path("m.pb"), proto)), "y")), values


@pytest.mark.parametrize("end", [
    pytest.param(lambda tf, x: tf.tanh(x) * 0.58 + 0.5, id="tanh * 0.58 + 0.5"),
    pytest.param(lambda tf, x: (1.0 - tf.sigmoid(x)) * 255, id="turned sigmoid"),
    pytest.param(lambda tf, x: tf.nn.relu6(x) / -3 - [1.0, 2.0, 4.0], id="relu6 by channel"),
    pytest.param(lambda tf, x: tf.clip_by_value(x, -2, 5), id="clip"),
    pytest.param(lambda tf, x: tf.maximum(tf.minimum(x, 255.0), 0.0), id="maximum of minimum"),
    pytest.param(lambda tf, x: tf.transpose(tf.tanh(x), [0, 3, 1, 2])[:, 1:], id="tanh, rearranged"),
])  # fmt: skip
def test_the_range_of_an_output_is_the_one_that_its_values_reach(tf: Any, end: Callable[[Any, Any], Any]) -> None:
    said, values = computed(tf, end)
    assert said == [f"values in {range_text((float(values.min()), float(values.max())))}"]


@pytest.mark.parametrize("end", [
    pytest.param(lambda tf, x: x * 2.0 + 1.0, id="scaled alone"),
    pytest.param(lambda tf, x: tf.tanh(x) * x, id="times a tensor"),
    pytest.param(lambda tf, x: tf.tanh(x) + tf.sigmoid(x), id="a sum"),
    pytest.param(lambda tf, x: tf.maximum(x, 0.0), id="no upper bound"),
    pytest.param(lambda tf, x: 1.0 / tf.tanh(x), id="a quotient"),
])  # fmt: skip
def test_a_range_that_the_graph_leaves_open_is_unsaid(tf: Any, end: Callable[[Any, Any], Any]) -> None:
    assert computed(tf, end)[0] == []


def test_the_size_of_a_map_is_stated_beside_the_images(tf: Any) -> None:
    assert computed(tf, lambda tf, x: tf.nn.max_pool2d(x, 4, 4, "SAME"))[0] == ["1/4 of the image's height and width"]
    assert computed(tf, lambda tf, x: tf.nn.max_pool2d(x, (4, 2), (4, 2), "SAME"))[0] == []
    assert computed(tf, lambda tf, x: tf.nn.max_pool2d(x, 8, 8, "SAME"))[0] == []  # one value for each image is no map
