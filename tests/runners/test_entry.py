"""A user's graph is entered at its network, and what lies before it is judged apart.

The graphs are those of public reports: a prefetch queue (onnx/tensorflow-onnx#773), encoded JPEG bytes, uint8 and scaled
inputs (Microsoft/MMdnn#22), a fixed batch, channels first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import seeded_variables
from helpers.graphs import renamed
from porter import verify
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.errors import FormatError
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.source import load_graph
from porter.graph.rewrite.freeze import freeze
from porter.mapping.table import Table
from porter.parity.compare_runs import Settings
from porter.parity.graph_preprocessing import graph_preprocessing
from porter.runners.context import Context
from porter.runners.golden import golden_images
from porter.runners.images import PreparedImages, sample_paths
from porter.runners.original import original_side
from porter.runners.tensorflow import TFRunner

MODEL = "mobilenet_v1_0.25_128"
ARCH = find_arch(MODEL)
TABLE = Table.load("mobilenet_v1")
STEM = "MobilenetV1/MobilenetV1/Conv2d_0/Conv2D"
MEANS = (123.68, 116.78, 103.94)
Make = Callable[[Any], Any]


def frozen() -> Any:
    return freeze(load_graph(recorded(MODEL).graph), seeded_variables())


@pytest.fixture(scope="module")
def want(tf: Any) -> dict[str, np.ndarray]:
    """What the network alone computes of the golden's images in float64."""
    return TFRunner(frozen(), TABLE, "frozen.pb")(golden_images(128).astype(np.float64))


def behind(tf: Any, make: Make) -> Any:
    """Return the frozen network behind the tensor that ``make`` builds."""
    with tf.Graph().as_default() as graph:
        images = make(tf)
        network = tf.compat.v1.GraphDef.FromString(frozen().SerializeToString())
        tf.graph_util.import_graph_def(network, {"input:0": images}, name="")
    return type(frozen()).FromString(graph.as_graph_def().SerializeToString())


def side(graph: Any, folder: Path, checkpoint: Any = None, **options: Any) -> Any:
    """Return the runner of ``graph``, as verify opens it."""
    path = folder / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    context = Context(ARCH, TABLE, 128, checkpoint or open_checkpoint(path), **options)
    return original_side(context, path).runner


def check(runner: Any, want: dict[str, np.ndarray]) -> None:
    """Every endpoint of the network alone is there, with its values."""
    got = runner(golden_images(128).astype(np.float64))
    assert list(got) == list(want)
    for name, values in want.items():
        assert got[name].shape == values.shape
        np.testing.assert_allclose(got[name], values, rtol=0, atol=1e-11)


def placeholder(tf: Any, shape: list[int | None] | None, dtype: str = "float32") -> Any:
    return tf.compat.v1.placeholder(dtype, shape, "images")


def scaled(tf: Any) -> Any:
    return (placeholder(tf, [None, 128, 128, 3]) - 127.5) * (1 / 127.5)


def unit(tf: Any) -> Any:
    return (placeholder(tf, [None, 128, 128, 3]) - 0.5) * 2.0


def uint8(tf: Any) -> Any:
    return tf.cast(placeholder(tf, [None, 128, 128, 3], "uint8"), tf.float32) / 127.5 - 1.0


def one_image(tf: Any) -> Any:
    return tf.expand_dims(tf.cast(placeholder(tf, [128, 128, 3], "uint8"), tf.float32) / 127.5 - 1.0, 0)


def raw(tf: Any) -> Any:
    return tf.cast(placeholder(tf, [None, None, None, 3], "uint8"), tf.float32)


def in_unit(tf: Any) -> Any:
    return tf.image.convert_image_dtype(placeholder(tf, [1, 128, 128, 3], "uint8"), tf.float32)


def reversed_channels(tf: Any) -> Any:
    return tf.reverse(placeholder(tf, [None, 128, 128, 3]), [-1])


def caffe(tf: Any) -> Any:
    red, green, blue = tf.split(tf.cast(placeholder(tf, [None, 128, 128, 3], "uint8"), tf.float32), 3, 3)
    return tf.concat([blue - MEANS[2], green - MEANS[1], red - MEANS[0]], 3)


def channels_first(tf: Any) -> Any:
    return tf.transpose(placeholder(tf, [None, 3, 128, 128]), [0, 2, 3, 1])


def channels_first_pixels(tf: Any) -> Any:
    return tf.transpose(tf.cast(placeholder(tf, [32, 3, 128, 128], "uint8"), tf.float32), [0, 2, 3, 1]) / 127.5 - 1.0


def decoded(tf: Any) -> Any:
    return tf.image.convert_image_dtype(tf.image.decode_jpeg(placeholder(tf, [], "string"), 3), tf.float32)


def whole_jpeg(tf: Any) -> Any:
    return (tf.compat.v1.image.resize_bilinear(decoded(tf)[None], [128, 128]) - 0.5) * 2.0


def inception_jpeg(tf: Any) -> Any:
    return (tf.compat.v1.image.resize_bilinear(tf.image.central_crop(decoded(tf), 0.875)[None], [128, 128]) - 0.5) * 2.0


def bilinear_of_centres(tf: Any) -> Any:
    return tf.image.resize(tf.image.central_crop(decoded(tf), 0.875)[None], [128, 128]) * 2.0 - 1.0


def queue(tf: Any) -> Any:
    return tf.compat.v1.FIFOQueue(4, [tf.float32], shapes=[[32, 128, 128, 3]]).dequeue()


def behind_queue(tf: Any) -> Any:
    images = tf.compat.v1.FIFOQueue(4, [tf.uint8, tf.int64], shapes=[[4, 128, 128, 3], [4]]).dequeue()[0]
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def iterator(tf: Any) -> Any:
    made = tf.compat.v1.data.Iterator.from_structure(tf.float32, tf.TensorShape([1, 128, 128, 3]))
    return made.get_next()


def from_file(tf: Any) -> Any:
    image = tf.image.decode_jpeg(tf.io.read_file("cat.jpg"), 3)
    return tf.image.resize(image, [128, 128])[None]


def augmented(tf: Any) -> Any:
    return tf.stack([tf.image.random_flip_left_right(image) for image in tf.unstack(placeholder(tf, [2, 128, 128, 3]))])


def mapped(tf: Any) -> Any:
    encoded = placeholder(tf, [None], "string")
    return tf.map_fn(lambda one: tf.image.resize(tf.image.decode_jpeg(one, 3), [128, 128]), encoded, tf.float32)


def padded_to_square(tf: Any) -> Any:
    return tf.pad(placeholder(tf, [None, 96, 128, 3]), [[0, 0], [16, 16], [0, 0], [0, 0]])


def two_inputs(tf: Any) -> Any:
    return placeholder(tf, [None, 128, 128, 3]) * placeholder(tf, [])


def called(tf: Any) -> Any:
    return tf.function(lambda images: images / 127.5 - 1.0)(placeholder(tf, [None, 128, 128, 3]))


def checked(tf: Any) -> Any:
    images = placeholder(tf, [None, None, None, 3])
    with tf.control_dependencies([tf.debugging.assert_greater(tf.shape(images)[1], 64)]):
        return tf.identity(images) / 127.5 - 1.0


CASES: dict[Make, str] = {
    scaled: r"agrees with inception to \de-8, given pixels in \[0, 255\]",
    unit: r"agrees with inception (to \de-\d+|bit for bit), given pixels in \[0, 1\]",
    uint8: r"agrees with inception to 1e-7",
    one_image: r"agrees with inception to 1e-7",
    raw: r"differs from inception: it leaves pixels in \[0, 255\], where inception gives \[-1, 1\]; moves logits by .*",
    in_unit: r"differs from inception: it maps pixels in \[0, 255\] to \[0, 1\], where inception gives .*",
    reversed_channels: r"differs from inception: it swaps RGB to BGR, given prepared images; moves logits by .*",
    caffe: r"differs from inception: it swaps RGB to BGR and maps pixels in \[0, 255\] to \[-103.94, 151.06\], "
    r"\[-116.78, 138.22\], \[-123.68, 131.32\] for the three channels, where .*",
    channels_first: r"agrees with inception bit for bit, given prepared images",
    channels_first_pixels: r"agrees with inception to 1e-7",
    whole_jpeg: r"differs from inception: it resizes the whole image, without a crop; moves logits by .*",
    inception_jpeg: r"agrees with inception to 2e-7",
    bilinear_of_centres: r"differs from inception by at most 1.1, 0.037 on average; moves logits by .*",
    queue: r"not run: its images come out of QueueDequeueV2: nothing lies behind it",
    behind_queue: r"agrees with inception to 1e-7",
    iterator: r"not run: its images come out of IteratorGetNext: nothing lies behind it",
    from_file: r"not run: some ops read or write files \(ReadFile\)",
    augmented: r"not run: some ops draw random numbers \(RandomUniform\)",
    mapped: r"not run: some ops loop \(.*\)",
    two_inputs: r"not run: it has several inputs \(images_?1?, images_?1?\)",
    called: r"agrees with inception to 1e-7, given pixels in \[0, 255\]",
    checked: r"agrees with inception to 1e-7, given pixels in \[0, 255\]",
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_the_network_is_entered_behind_the_graphs_own_preprocessing(
    tf: Any, want: dict[str, np.ndarray], tmp_path: Path, make: Make
) -> None:
    runner = side(behind(tf, make), tmp_path)
    check(runner, want)
    images = PreparedImages(sample_paths()[:2], "inception", 128)
    found = str(graph_preprocessing(images, runner, "Logits"))
    where = "graph.pb behind QueueDequeueV2" if make is behind_queue else "graph.pb"
    begin = f"the graph's own preprocessing ({where}): "
    assert found.startswith(begin)
    assert re.fullmatch(CASES[make], found.removeprefix(begin)), found


@pytest.mark.parametrize("shape", [[None, 128, 128, 3], [1, 128, 128, 3], [32, 128, 128, 3], [None, None, None, 3]])
def test_a_network_without_preprocessing_says_nothing_of_it(
    tf: Any, want: dict[str, np.ndarray], tmp_path: Path, shape: list[int | None]
) -> None:
    runner = side(behind(tf, lambda tf: placeholder(tf, shape)), tmp_path)
    check(runner, want)
    assert runner.preprocessing is None
