"""Decoding one photo, and the cache of many."""

import io
import json
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from prodgen_rec.catalog import decode_photo
from prodgen_rec.catalog.store import load_photos
from prodgen_rec.errors import CatalogError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width, height, depth, color_type, rows):
    """A PNG written by hand, for what Pillow does not write: 16-bit color, headers that lie."""

    def chunk(name, content):
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
            chunk(b"IEND", b""),
        ]
    )


def flat(color, width=32, height=32, mode="RGB"):
    return Image.new(mode, (width, height), color)


# Squares and backgrounds


@pytest.mark.parametrize(("width", "height"), [(200, 100), (100, 200)])
def test_an_oblong_photo_is_centered_on_its_own_background(width, height):
    image = flat(WHITE, width, height)
    image.paste(RED, (width // 4, height // 4, 3 * width // 4, 3 * height // 4))
    photo = decode_photo(encoded(image), size=40)
    assert photo.shape == (40, 40, 3)
    assert photo.dtype == np.uint8
    if height > width:
        photo = photo.swapaxes(0, 1)
    # Half of 20 × 40 in the middle of the square; the filter mixes across one pixel of its edge.
    assert (photo[16:24, 11:29] == RED).all()
    photo[14:26, 9:31] = WHITE
    assert (photo == WHITE).all()


def test_the_background_is_the_median_of_the_border():
    pixels = np.full((20, 40, 3), (200, 190, 180), np.uint8)
    pixels[0, :30] = 0  # a minority of the border
    photo = decode_photo(pixels, size=40)
    assert (photo[:10] == (200, 190, 180)).all()
    assert (photo[30:] == (200, 190, 180)).all()


def test_pixels_of_the_right_size_are_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_photo(pixels, size=32), pixels)


def test_a_picture_of_one_row_is_not_squared_before_it_is_shrunk():
    photo = decode_photo(png(1_000_000, 1, 8, 0, [bytes([90]) * 1_000_000]), size=16)
    assert (photo == 90).all()  # a square of it would have 10^12 pixels


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_resizing_never_leaves_the_range_of_the_photo(width, height, one, other, seed):
    low, high = sorted((one, other))
    rng = np.random.default_rng(seed)
    pixels = rng.integers(low, high + 1, (height, width, 3)).astype(np.uint8)
    photo = decode_photo(pixels, size=24)
    assert photo.min() >= low
    assert photo.max() <= high


def test_a_jpeg_decoded_at_reduced_scale_equals_the_full_one():
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((1001, 1333), Image.Resampling.BICUBIC)
    jpeg = encoded(image, "JPEG", quality=92)
    full = np.asarray(Image.open(io.BytesIO(jpeg)))
    difference = decode_photo(jpeg).astype(int) - decode_photo(full)
    assert np.abs(difference).mean() < 0.5
    assert np.abs(difference).max() <= 4


# Kinds of picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_listed_format_is_decoded(kind):
    photo = decode_photo(encoded(flat((200, 40, 90)), kind), size=8)
    assert np.abs(photo.astype(int) - (200, 40, 90)).max() <= 4


@given(st.integers(0, 65535))
@settings(max_examples=40, deadline=None)
def test_16_bit_grey_is_scaled_not_clipped(value):
    for kind in ("PNG", "TIFF"):
        image = Image.fromarray(np.full((8, 8), value, np.uint16))
        photo = decode_photo(encoded(image, kind), size=8)
        assert (photo == round(value / 257)).all()


@given(st.integers(0, 65535))
@settings(max_examples=20, deadline=None)
def test_16_bit_color_keeps_the_high_byte(value):
    row = struct.pack(">HHH", value, 0, 65535) * 4
    photo = decode_photo(png(4, 4, 16, 2, [row] * 4), size=4)
    assert (photo == (value >> 8, 0, 255)).all()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (flat((255, 0, 0, 128), mode="RGBA"), (255, 127, 127)),
        (flat((0, 0, 0, 0), mode="RGBA"), WHITE),
        (flat((100, 0), mode="LA"), WHITE),
        (flat(100, mode="L"), (100, 100, 100)),
        (flat(1, mode="1"), WHITE),
        (flat(RED).convert("P"), RED),
    ],
    ids=["half transparent", "transparent", "grey alpha", "grey", "1 bit", "palette"],
)
def test_modes_become_rgb_on_white(image, expected):
    assert (decode_photo(encoded(image), size=8) == expected).all()


def test_a_transparent_palette_color_is_laid_on_white():
    image = flat(0, mode="P")
    image.putpalette([*RED, *BLUE])
    assert (decode_photo(encoded(image, transparency=0), size=8) == WHITE).all()


def test_cmyk():
    image = flat((0, 255, 255, 0), mode="CMYK")
    assert (decode_photo(encoded(image, "TIFF"), size=8) == RED).all()
    jpeg = decode_photo(encoded(image, "JPEG"), size=8)
    assert np.abs(jpeg.astype(int) - RED).max() <= 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    animation = encoded(flat(RED), kind, save_all=True, append_images=[flat(BLUE)], **options)
    assert (decode_photo(animation, size=8) == RED).all()


# How a camera held each way stores a picture, from the table of EXIF 2.32, tag 0x0112.
STORED = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.swapaxes(0, 1),
    6: lambda seen: seen.swapaxes(0, 1)[::-1],
    7: lambda seen: seen.swapaxes(0, 1)[::-1, ::-1],
    8: lambda seen: seen.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_photos_are_turned_upright(orientation, kind):
    seen = np.random.default_rng(2).integers(0, 256, (12, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](seen)))
    options = {"lossless": True} if kind == "WEBP" else {}
    photo = decode_photo(encoded(stored, kind, exif=exif, **options), size=24)
    np.testing.assert_array_equal(photo[6:18], seen)


def swapped_profile():
    """The sRGB profile with red and green exchanged, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    swapped = bytearray(profile)
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(swapped).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colors_of_another_profile_are_converted_to_srgb(mode):
    image = flat(RED).convert(mode)
    photo = decode_photo(encoded(image, icc_profile=swapped_profile()), size=8)
    assert np.abs(photo.astype(int) - GREEN).max() <= 2


@pytest.mark.parametrize(
    ("image", "profile"),
    [(flat(RED), b"junk"), (flat(90, mode="L"), swapped_profile())],
    ids=["damaged", "of RGB, in a grey picture"],
)
def test_a_profile_that_does_not_apply_is_ignored(image, profile):
    with_profile = decode_photo(encoded(image, icc_profile=profile), size=8)
    np.testing.assert_array_equal(with_profile, decode_photo(encoded(image), size=8))


# What is refused


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (b"", "empty, or not a picture in JPEG, PNG"),
        (b"<html>not found</html>", "empty, or not a picture"),
        (encoded(flat(RED), "PPM"), "empty, or not a picture"),
        (encoded(Image.effect_noise((90, 90), 50), "JPEG")[:-500], "file is truncated"),
        (encoded(Image.effect_noise((90, 90), 50), "PNG")[:-900], "cannot be decoded"),
        (encoded(Image.effect_noise((90, 90), 50), "GIF")[:900], "cannot be decoded"),
        (encoded(flat(0.5, mode="F"), "TIFF"), "mode 'F' have no defined white; save as 8 bit"),
        (Path("gone.jpg"), "cannot be decoded: FileNotFoundError"),
    ],
    ids=["empty", "text", "format", "cut JPEG", "cut PNG", "cut GIF", "float", "no file"],
)
def test_each_kind_of_broken_photo_is_named(photo, reason):
    with pytest.raises(CatalogError, match=reason):
        decode_photo(photo)


def test_the_pixel_limit_is_checked_before_decoding():
    # There are no rows behind these headers: decoding would give another reason.
    with pytest.raises(CatalogError, match="8000 × 8000 is more than 50,000,000 pixels"):
        decode_photo(png(8000, 8000, 8, 2, []))
    with pytest.raises(CatalogError, match="DecompressionBombError"):
        decode_photo(png(60_000, 60_000, 8, 2, []))
    with pytest.raises(CatalogError, match="32 × 32 is more than 1,023 pixels"):
        decode_photo(encoded(flat(RED)), max_pixels=1023)


SAMPLES = [
    encoded(Image.effect_noise((24, 16), 80), kind) for kind in ("JPEG", "PNG", "GIF", "TIFF")
]


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=150, deadline=None)
def test_damage_gives_a_picture_or_a_reason_and_nothing_else(sample, data):
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        photo = decode_photo(bytes(damaged), size=8, max_pixels=100_000)
    except CatalogError:
        return
    assert photo.shape == (8, 8, 3)


# Many photos and their cache

SHADES = (10, 60, 110, 160, 210)
BATCH = [encoded(flat((shade,) * 3), "PNG") for shade in SHADES]
BATCH[3] = b"broken"


def load(payloads, cache_dir, size=16):
    return load_photos(
        lambda: iter(payloads),
        len(payloads),
        size=size,
        max_pixels=10_000,
        cache_dir=cache_dir,
        progress=True,
    )


def entries(folder):
    """Name and inode of every file; writing an entry again would change its inode."""
    return {(path.name, path.stat().st_ino) for path in folder.iterdir()}


@pytest.mark.parametrize("cached", [False, True])
def test_photos_keep_their_order_and_broken_ones_are_put_aside(cached, tmp_path):
    photos, reasons = load(BATCH, tmp_path if cached else None)
    assert photos.shape == (4, 16, 16, 3)
    assert photos[:, 0, 0, 0].tolist() == [10, 60, 110, 210]
    assert list(reasons) == [3]
    assert "not a picture" in reasons[3]
    with pytest.raises(ValueError, match="read-only"):
        photos[0] = 0


def test_damaged_metadata_costs_no_photo_and_warns_of_nothing():
    jpeg = encoded(flat(RED), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xffjunk")
    photos, reasons = load([jpeg], None)
    assert not reasons
    assert np.abs(photos.astype(int) - RED).max() <= 4


def test_more_photos_than_are_in_flight_at_once_keep_their_order():
    payloads = [np.full((4, 4, 3), shade, np.uint8) for shade in range(250)]
    photos, _ = load(payloads, None, size=4)
    assert photos[:, 0, 0, 0].tolist() == list(range(250))


def test_the_second_read_decodes_nothing(tmp_path):
    first, first_reasons = load(BATCH, tmp_path / "cache")
    before = entries(tmp_path / "cache")
    second, second_reasons = load(BATCH, tmp_path / "cache")
    assert entries(tmp_path / "cache") == before
    assert isinstance(second, np.memmap)
    np.testing.assert_array_equal(first, second)
    assert first_reasons == second_reasons


def test_the_key_follows_the_photos_their_order_and_the_size(tmp_path):
    variants = [BATCH, BATCH[::-1], BATCH[:4], [*BATCH[:4], BATCH[0]], [b"x", *BATCH[1:]]]
    for payloads in variants:
        load(payloads, tmp_path)
    load(BATCH, tmp_path, size=8)
    assert len(list(tmp_path.glob("*.npy"))) == len(variants) + 1


def test_a_file_and_its_bytes_have_the_same_key(tmp_path):
    file = tmp_path / "photo.png"
    file.write_bytes(BATCH[0])
    load([file], tmp_path / "cache")
    before = entries(tmp_path / "cache")
    load([BATCH[0]], tmp_path / "cache")
    assert entries(tmp_path / "cache") == before


def flip(path):
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        (".npy", flip),
        (".npy", lambda path: path.write_bytes(path.read_bytes()[:-100])),
        (".npy", lambda path: path.unlink()),
        (".json", lambda path: path.write_text("{")),
        (".json", lambda path: path.write_text(json.dumps({"sha256": 1}))),
        (".json", lambda path: path.unlink()),
    ],
    ids=["bit", "cut", "no pixels", "no JSON", "other JSON", "no record"],
)
def test_a_damaged_entry_is_rebuilt(ending, damage, tmp_path):
    expected = np.array(load(BATCH, tmp_path)[0])
    (entry,) = tmp_path.glob(f"*{ending}")
    damage(entry)
    photos, reasons = load(BATCH, tmp_path)
    np.testing.assert_array_equal(photos, expected)
    assert list(reasons) == [3]
    before = entries(tmp_path)
    load(BATCH, tmp_path)
    assert entries(tmp_path) == before


def test_an_unusable_cache_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogError, match=r"cannot be written.*keep the cache in another folder"):
        load(BATCH, tmp_path / "file")


FAULT = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np
from prodgen_rec.catalog.store import load_photos

starts = 0

def payloads():
    global starts
    starts += 1
    for position in range(200):
        if sys.argv[2] == "kill" and starts == 2 and position == 150:
            os.kill(os.getpid(), signal.SIGKILL)
        yield np.full((16, 16, 3), position, np.uint8)

if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
load_photos(payloads, 200, size=16, max_pixels=10**6, cache_dir=Path(sys.argv[1]), progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits and SIGKILL")
@pytest.mark.parametrize("fault", ["full", "kill"])
def test_a_full_disk_or_a_kill_leaves_no_entry(fault, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FAULT, tmp_path, fault],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if fault == "full":
        assert "CatalogError: the photo cache" in done.stderr
        assert "File too large; make room" in done.stderr
        assert not list(tmp_path.iterdir())
    else:
        assert done.returncode == -signal.SIGKILL
        assert not list(tmp_path.glob("*.npy"))
    payloads = [np.full((16, 16, 3), position, np.uint8) for position in range(200)]
    photos, _ = load_photos(
        lambda: iter(payloads),
        200,
        size=16,
        max_pixels=10**6,
        cache_dir=tmp_path,
        progress=False,
    )
    np.testing.assert_array_equal(photos, payloads)
