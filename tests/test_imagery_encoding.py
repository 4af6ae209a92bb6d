from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, features

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.imagery.encoding import PictureEncoder


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Smooth ramps of color with a sharp edge, all different."""
    y, x = np.mgrid[:64, :64]
    one = np.stack([4 * x, 4 * y, np.where(x > 30, 220, 30)], axis=-1)
    return np.stack([np.roll(one, 3 * i, axis=i % 2) for i in range(24)]).astype(np.uint8)


@pytest.fixture(params=["simplejpeg", "pillow"])
def library(request, monkeypatch) -> str:
    """Each of the two that can encode JPEG, the other way round where it is not installed."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
    return request.param


def encoded(pictures: np.ndarray, *settings) -> list[bytes]:
    return PictureEncoder(*settings).encode(pictures).to_pylist()


def decoded(files: list[bytes]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(BytesIO(file))) for file in files])


def error(files: list[bytes], pictures: np.ndarray) -> float:
    return float(np.square(decoded(files) - pictures.astype(np.float64)).mean())


def test_png_gives_back_the_very_pictures(pictures):
    assert np.array_equal(decoded(encoded(pictures, "png")), pictures)


def test_the_default_is_jpeg_with_colors_at_full_resolution(library, pictures):
    encoder = PictureEncoder()
    assert encoder.name.startswith(f"jpeg-90 {library} ")
    files = encoder.encode(pictures).to_pylist()
    with Image.open(BytesIO(files[0])) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))
        assert [sampling for _, *sampling, _ in image.layer] == [[1, 1]] * 3
    assert error(files, pictures) < 4  # 42 dB


def test_red_is_red(library):
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[..., 0] = 230
    assert np.abs(decoded(encoded(red)).astype(int) - red).max() <= 4


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_more_quality_is_nearer_and_takes_more_room(form, pictures):
    coarse, fine = (encoded(pictures, form, quality) for quality in (40, 95))
    assert error(fine, pictures) < 0.8 * error(coarse, pictures)
    assert sum(map(len, fine)) > 1.2 * sum(map(len, coarse))


@pytest.mark.parametrize("form", ["jpeg", "webp", "png"])
def test_bytes_depend_on_the_picture_alone(form, pictures):
    files = encoded(pictures, form)
    assert len(set(files)) == len(pictures)
    assert encoded(pictures[::-1], form) == files[::-1]
    assert encoded(pictures[5:6], form) == files[5:6]
    encoder = PictureEncoder(form)
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(encoder.encode, [pictures] * 8)
        assert all(one.to_pylist() == files for one in made)


def test_a_view_is_encoded_as_what_it_shows(library, pictures):
    view = pictures[:, ::-1, ::2]
    assert encoded(view) == encoded(view.copy())


def test_no_pictures_are_no_files(pictures):
    assert PictureEncoder().encode(pictures[:0]).type == pa.binary()
    assert encoded(pictures[:0]) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda p: p.astype(np.float32) / 255, r"got float32 \(24, 64, 64, 3\)"),
        (lambda p: p.astype(np.int64), "got int64"),
        (lambda p: p[0], r"got uint8 \(64, 64, 3\)"),
        (lambda p: p[..., :1], r"got uint8 \(24, 64, 64, 1\)"),
        (lambda p: p[:, :0], "no pixels"),
    ],
)
def test_what_are_no_pictures_is_refused(change, complaint, pictures):
    with pytest.raises(InputError, match=complaint):
        PictureEncoder().encode(change(pictures))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (("gif",), "image_format = 'gif': expected one of jpeg, webp, png"),
        (("jpeg", 0), "quality = 0: expected 1 to 100"),
        (("webp", 101), "quality = 101"),
        (("png", 90), "PNG loses nothing"),
    ],
)
def test_settings_out_of_range_are_refused(settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        PictureEncoder(*settings)


def test_pillow_has_what_is_needed():
    assert all(map(features.check, ("jpg", "webp", "zlib")))
