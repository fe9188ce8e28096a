"""Preprocessing against TensorFlow's own ops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from porter.errors import PorterError
from porter.pictures import PREPROCESSING, read_picture, resize_bilinear, sample_paths, top_labels


@pytest.mark.parametrize("size", [(224, 224), (128, 161), (331, 331), (500, 400), (1, 1)])
def test_bilinear_is_tensorflow_1s(tf: Any, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((290, 331, 3), np.float32)
    want = tf.compat.v1.image.resize_bilinear(image[None], size, align_corners=False).numpy()[0]
    got = resize_bilinear(image, *size)
    assert got.dtype == np.float32
    # TensorFlow's kernel may fuse a multiplication and an addition: two roundings of values below 1.
    np.testing.assert_allclose(got, want, rtol=0, atol=2 * 2**-23)


@pytest.mark.parametrize("shape", [(331, 331, 3), (480, 640, 3), (97, 1024, 3), (10, 10, 3)])
def test_inception_is_slims_evaluation_preprocessing(tf: Any, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    # The steps of slim/preprocessing/inception_preprocessing.py, preprocess_for_eval, in TensorFlow.
    image = tf.image.central_crop(tf.image.convert_image_dtype(picture, tf.float32), 0.875)
    image = tf.compat.v1.image.resize_bilinear(image[None], [224, 224], align_corners=False)[0]
    want = tf.multiply(tf.subtract(image, 0.5), 2.0).numpy()
    np.testing.assert_allclose(PREPROCESSING["inception"](picture, 224), want, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(32, 32, 3), (331, 480, 3), (33, 20, 3), (9, 15, 3)])
def test_cifar_is_slims_evaluation_preprocessing(tf: Any, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    # The steps of slim/preprocessing/cifarnet_preprocessing.py, preprocess_for_eval, in TensorFlow.
    image = tf.image.resize_with_crop_or_pad(tf.cast(picture, tf.float32), 32, 32)
    want = tf.image.per_image_standardization(image).numpy()
    got = PREPROCESSING["cifar"](picture, 32)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)


def test_one_grey_level_of_a_flat_picture_is_not_blown_up(tf: Any) -> None:
    flat = np.full((32, 32, 3), 7, np.uint8)
    assert not PREPROCESSING["cifar"](flat, 32).any()
    flat[3, 4, 1] += 1
    want = tf.image.per_image_standardization(tf.cast(flat, tf.float32)).numpy()
    np.testing.assert_allclose(PREPROCESSING["cifar"](flat, 32), want, rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_pictures_of_any_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture.tiff"
    with Image.open(sample_paths()[0]) as image:
        image.convert(mode).save(path)
    assert read_picture(path).shape == (331, 331, 3)
    assert read_picture(path).dtype == np.uint8


def test_a_turned_picture_is_turned_back(tmp_path: Path) -> None:
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6  # the camera was turned a quarter
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    assert read_picture(path).shape == (40, 20, 3)


def test_what_is_no_picture_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a picture")
    with pytest.raises(PorterError, match=r"notes.txt is not a picture .* name a PNG or JPEG"):
        read_picture(path)
    with pytest.raises(PorterError, match="does not exist"):
        read_picture(tmp_path / "absent.png")


def test_top_labels_are_likeliest_first_and_numbered_without_names() -> None:
    assert top_labels(np.array([0.1, 0.7, 0.2]), ["a", "b", "c"], 2) == [("b", 0.7), ("c", 0.2)]
    assert top_labels(np.array([0.1, 0.9]), ["a", "b", "c"], 1) == [("class 1", 0.9)]
