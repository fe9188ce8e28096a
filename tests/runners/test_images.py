"""Preprocessing against TensorFlow's own ops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from porter.errors import PorterError
from porter.runners.images import PreparedImages, prepare, read_image, sample_paths, top_labels
from porter.runners.presets import PRESETS, resize_bilinear
from porter.runners.runner import Runner


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
    np.testing.assert_allclose(PRESETS["inception"].prepare(picture, 224), want, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(32, 32, 3), (331, 480, 3), (33, 20, 3), (9, 15, 3)])
def test_cifar_is_slims_evaluation_preprocessing(tf: Any, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    # The steps of slim/preprocessing/cifarnet_preprocessing.py, preprocess_for_eval, in TensorFlow.
    image = tf.image.resize_with_crop_or_pad(tf.cast(picture, tf.float32), 32, 32)
    want = tf.image.per_image_standardization(image).numpy()
    got = PRESETS["cifar"].prepare(picture, 32)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)


def test_one_grey_level_of_a_flat_image_is_not_blown_up(tf: Any) -> None:
    flat = np.full((32, 32, 3), 7, np.uint8)
    assert not PRESETS["cifar"].prepare(flat, 32).any()
    flat[3, 4, 1] += 1
    want = tf.image.per_image_standardization(tf.cast(flat, tf.float32)).numpy()
    np.testing.assert_allclose(PRESETS["cifar"].prepare(flat, 32), want, rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_images_of_any_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.tiff"
    with Image.open(sample_paths()[0]) as image:
        image.convert(mode).save(path)
    assert read_image(path).shape == (331, 331, 3)
    assert read_image(path).dtype == np.uint8


def test_a_turned_image_is_turned_back(tmp_path: Path) -> None:
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6  # the camera was turned a quarter
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    assert read_image(path).shape == (40, 20, 3)


def test_what_is_not_an_image_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not an image")
    with pytest.raises(PorterError, match=r"notes.txt is not an image .* name a PNG or JPEG"):
        read_image(path)
    with pytest.raises(PorterError, match="does not exist"):
        read_image(tmp_path / "absent.png")


def test_top_labels_are_likeliest_first_and_numbered_without_names() -> None:
    assert top_labels(np.array([0.1, 0.7, 0.2]), ["a", "b", "c"], 2) == [("b", 0.7), ("c", 0.2)]
    assert top_labels(np.array([0.1, 0.9]), ["a", "b", "c"], 1) == [("class 1", 0.9)]


@pytest.fixture
def strange(tmp_path: Path) -> dict[str, Path]:
    """One scene in many sizes, modes and orientations."""
    from PIL import Image

    draw = np.random.default_rng(0)
    scene = Image.fromarray(draw.integers(0, 256, (40, 60, 3), np.uint8))
    paths = {}
    for mode in ("L", "LA", "RGBA", "P", "1", "CMYK", "RGB"):
        paths[mode] = tmp_path / f"{mode}.{'tiff' if mode == 'CMYK' else 'png'}"
        scene.convert(mode).save(paths[mode])
    paths["I;16"] = tmp_path / "deep.png"
    Image.fromarray(np.asarray(scene.convert("L")).astype(np.uint16) << 8).save(paths["I;16"])
    for turn in range(1, 9):
        paths[f"turn {turn}"] = tmp_path / f"turn{turn}.png"
        exif = Image.Exif()
        exif[0x0112] = turn
        scene.save(paths[f"turn {turn}"], exif=exif)
    for name, size in (("dot", (1, 1)), ("line", (1, 90)), ("banner", (700, 3))):
        paths[name] = tmp_path / f"{name}.png"
        scene.resize(size).save(paths[name])
    return paths


@pytest.mark.parametrize("preset", ["inception", "vgg"])
def test_images_of_any_size_mode_and_orientation_are_prepared(strange: dict[str, Path], preset: str) -> None:
    batch = prepare(strange.values(), preset, 32)
    assert batch.shape == (len(strange), 32, 32, 3)
    assert np.isfinite(batch).all()


def test_16_bits_keep_their_upper_8(strange: dict[str, Path]) -> None:
    assert np.array_equal(read_image(strange["I;16"]), read_image(strange["L"]))


def test_an_orientation_turns_the_image(strange: dict[str, Path]) -> None:
    upright = read_image(strange["turn 1"])
    assert np.array_equal(read_image(strange["turn 3"]), upright[::-1, ::-1])
    assert read_image(strange["turn 6"]).shape == (60, 40, 3)


@pytest.mark.parametrize("preset", ["inception", "vgg"])
@pytest.mark.parametrize("size", [224, 128, 299])
@pytest.mark.parametrize("shape", [(331, 331), (97, 300), (301, 203)])
def test_every_preset_is_what_tensorflows_ops_make(
    tf: Any, tmp_path: Path, preset: str, size: int, shape: tuple[int, int]
) -> None:
    from PIL import Image

    from porter.parity.other_preprocessing import with_tensorflow

    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)).save(path)
    ours, theirs = prepare([path], preset, size)[0], with_tensorflow(path, preset, size)
    # float32's own rounding of values up to 1 and up to 152.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 if preset == "inception" else 2e-4)


def test_an_image_of_floats_is_refused(tmp_path: Path) -> None:
    """Pillow would cut it to whole numbers: one from 0 to 1 would be black."""
    from PIL import Image

    path = tmp_path / "floats.tiff"
    Image.fromarray(np.full((4, 4), 0.75, np.float32)).save(path)
    with pytest.raises(PorterError, match=r"floats.tiff is not an image .*its pixels are floats of an unknown range"):
        read_image(path)


def test_identity_leaves_pixels_as_they_are(strange: dict[str, Path]) -> None:
    assert np.array_equal(prepare([strange["RGB"]], "identity", 7)[0], read_image(strange["RGB"]))
    with pytest.raises(PorterError, match="keeps each image's size, so give images of one size"):
        prepare([strange["RGB"], strange["dot"]], "identity", 7)


def test_the_preprocessing_has_lines_of_its_own(tf: Any, strange: dict[str, Path], tmp_path: Path) -> None:
    from porter.parity.other_preprocessing import preprocessing_drift

    class Sum(Runner):
        label = "sum"

        def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
            assert len(images) == 1
            return {"Logits": images.reshape(len(images), -1)[:, :64]}

    def lines(*names: str) -> list[str]:
        paths = [strange[name] for name in names]
        return [str(own) for own in preprocessing_drift(PreparedImages(paths, "inception", 32), Sum(), "Logits")]

    ours, theirs = lines("RGB")
    assert ours.startswith("TensorFlow's own decode, crop and resize: ")
    assert "input differs by at most 1" in theirs or "input differs by at most 0." in theirs
    # TensorFlow does not turn images, and does not read a TIFF.
    turned, _ = lines("turn 6")
    assert float(turned.split("at most ")[1].split(",")[0]) > 0.1
    alone, _ = lines("CMYK")
    assert alone.startswith(
        "TensorFlow's own decode, crop and resize: it does not decode CMYK.tiff (Unknown image file"
    )
    # What it reads beside it is compared all the same.
    beside, _ = lines("CMYK", "RGB", "CMYK")
    assert beside == f"{ours}; it does not decode CMYK.tiff{alone.partition('CMYK.tiff')[2]}, nor 1 more"


def test_a_wrong_preset_is_seen(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drill's mistake in the preprocessing: half-pixel centres in the resize."""
    from porter.parity.other_preprocessing import preprocessing_drift
    from porter.runners import presets

    class Nothing(Runner):
        label = "nothing"

        def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
            return {}

    def largest() -> float:
        images = PreparedImages(sample_paths()[:1], "inception", 224)
        return preprocessing_drift(images, Nothing(), "Logits")[0].largest

    assert largest() < 1e-5
    sound = presets.resize_bilinear
    monkeypatch.setattr(presets, "resize_bilinear", lambda image, h, w: np.roll(sound(image, h, w), 1, axis=0))
    assert largest() > 0.1


def test_images_are_decoded_only_when_a_batch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.runners import images

    decoded: list[str] = []
    sound = images.read_image

    def counted(path: Path) -> np.ndarray:
        decoded.append(path.name)
        return sound(path)

    monkeypatch.setattr(images, "read_image", counted)
    prepared = PreparedImages(sample_paths(), "inception", 32)
    assert (len(prepared), decoded) == (3, [])
    assert prepared[1:2].shape == (1, 32, 32, 3)
    assert decoded == ["coffee.png"]
    assert prepared[[2, 0]].shape == (2, 32, 32, 3)
    assert decoded == ["coffee.png", "astronaut.png", "chelsea.png"]


def test_a_file_that_cannot_be_an_image_is_found_before_the_first_batch(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(PorterError, match=r"notes.txt is not an image"):
        PreparedImages([*sample_paths(), tmp_path / "notes.txt"], "inception", 32)
    with pytest.raises(PorterError, match=r"absent.png does not exist"):
        PreparedImages([*sample_paths(), tmp_path / "absent.png"], "inception", 32)
    with pytest.raises(PorterError, match="is a folder: name image files"):
        PreparedImages([tmp_path], "inception", 32)


def test_gray_images_are_those_of_slim(tf: Any) -> None:
    """slim's use_grayscale: convert_image_dtype, rgb_to_grayscale, crop, resize (inception_preprocessing.py)."""
    prepared = PreparedImages(sample_paths()[:1], "inception", 96, channels=1)[:]
    assert prepared.shape == (1, 96, 96, 1)
    unit = tf.image.convert_image_dtype(read_image(sample_paths()[0]), tf.float32)
    cropped = tf.image.central_crop(tf.image.rgb_to_grayscale(unit), 0.875)
    want = (tf.raw_ops.ResizeBilinear(images=cropped[None], size=(96, 96)) - 0.5) * 2.0
    assert np.abs(prepared - want.numpy()).max() < 1e-6


@pytest.mark.parametrize("preprocessing", ["inception", "vgg", "cifar", "identity"])
def test_no_two_channels_of_other_images_are_equal(preprocessing: str) -> None:
    path = sample_paths()[:1]
    plain, six = (PreparedImages(path, preprocessing, 64, channels)[:] for channels in (3, 6))
    assert six.shape == (*plain.shape[:3], 6)
    assert np.array_equal(six[..., :3], plain)
    assert len({six[..., channel].tobytes() for channel in range(6)}) == 6
