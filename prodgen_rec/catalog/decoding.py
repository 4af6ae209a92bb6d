"""Turn one photo, of whatever kind a shop has, into a square uint8 RGB array.

Photos come from outside and are not trusted: only the formats in :data:`FORMATS`
are tried, and the size in the header is checked before any pixel is decoded.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError
from PIL.Image import Transpose

from prodgen_rec.errors import CatalogError

Pixels = npt.NDArray[np.uint8]
"""RGB pixels, shape (…, height, width, 3), uint8."""

Payload = Path | bytes | Pixels
"""A photo before decoding: a file, its encoded bytes, or pixels of any height and width."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""The formats that are decoded; Pillow knows dozens more, seldom used and little tested."""

DECODER_VERSION = f"1, Pillow {PIL.__version__}"
"""Changes whenever the same photo may decode to other pixels; part of every cache key."""

# Decode and pre-shrink to no less than this many times the final size. Pillow documents a
# result as indistinguishable from the direct one from 3 on.
_REDUCING_GAP = 3.0

_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (EXIF 2.32, tag 0x0112)."""


def decode_photo(photo: Payload, *, size: int = 64, max_pixels: int = 50_000_000) -> Pixels:
    """Decode a photo, turn it upright, shrink it and pad it to a square.

    - Of an animation, the first frame is taken.
    - Transparent pixels are laid on white, the usual ground of a shop page.
    - 16-bit grey is scaled, ``round(v / 257)``; of 16-bit colour, Pillow keeps the high byte.
    - Colours with an embedded ICC profile other than sRGB are converted to sRGB; a profile
      that is damaged or belongs to another colour space is ignored.
    - Resizing uses the Hamming-windowed sinc with a support of one pixel. It has no negative
      lobes, so the plain background of a catalogue photo stays plain: Lanczos and bicubic
      draw a halo around the product, which an image model then learns. It is sharper than
      the bilinear filter and costs the same.
    - The photo keeps its aspect ratio (to a pixel) and is centered on its own background
      colour, the median of its border pixels.

    Parameters
    ----------
    photo
        A file, its encoded bytes, or uint8 RGB pixels of shape (height, width, 3).
    size
        Height and width of the result in pixels, at least 1.
    max_pixels
        Width times height above which a photo is refused before it is decoded. Pillow's own
        limit, ``PIL.Image.MAX_IMAGE_PIXELS``, stays in force beside it.

    Returns
    -------
    ndarray
        Shape (size, size, 3), uint8, sRGB, 0 to 255.

    Raises
    ------
    CatalogError
        Says why the photo cannot be used. No other exception leaves this function.
    """
    try:
        return _padded(np.array(_shrunk(photo, size, max_pixels)), size)
    except CatalogError:
        raise
    except UnidentifiedImageError:
        raise CatalogError(f"empty, or not a picture in {', '.join(FORMATS)}") from None
    # Damaged files make Pillow raise nearly anything: OSError, SyntaxError, struct.error, …
    except Exception as error:
        raise CatalogError(f"cannot be decoded: {type(error).__name__}: {error}") from error


def _shrunk(photo: Payload, size: int, max_pixels: int) -> Image.Image:
    """Upright RGB picture with a long side of ``size``."""
    with _opened(photo) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise CatalogError(f"{width} × {height} is more than {max_pixels:,} pixels")
        longest = max(width, height)
        inner = (max(1, round(width * size / longest)), max(1, round(height * size / longest)))
        # JPEG can be decoded at 1/2, 1/4 or 1/8 at a fraction of the cost; the box is the exact
        # frame in the smaller picture.
        drafted = image.draft(None, (int(inner[0] * _REDUCING_GAP), int(inner[1] * _REDUCING_GAP)))
        image.load()
        orientation = _orientation(image)
        small = _to_srgb(image).resize(
            inner,
            Image.Resampling.HAMMING,
            box=drafted[1] if drafted else None,
            reducing_gap=_REDUCING_GAP,
        )
    return small.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else small


def _opened(photo: Payload) -> Image.Image:
    if isinstance(photo, np.ndarray):
        return Image.fromarray(photo)
    return Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo, formats=FORMATS)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation that is still to be undone; Pillow has undone that of a TIFF on loading."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata must not cost an intact picture
        return 1


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        image = _to_8_bit(image)
    elif image.mode in ("I", "F"):
        raise CatalogError(f"pixels of mode {image.mode!r} have no defined white; save as 8 bit")
    if image.has_transparency_data:
        image = _on_white(image)
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    transform = _transform_to_srgb(profile, image.mode) if profile else None
    if transform is None:
        return image.convert("RGB")
    return transform.apply(image)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bit as 8 bit; Pillow's own conversion clips everything above 255 to white."""
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


@lru_cache(maxsize=32)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Conversion from an ICC profile, or None where there is nothing to convert."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _padded(pixels: Pixels, size: int) -> Pixels:
    """Center (height, width, 3) on a (size, size, 3) square of its background colour."""
    height, width = pixels.shape[:2]
    if height == width:
        return pixels
    border: npt.NDArray[Any] = np.concatenate(
        [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]], axis=0
    )
    square = np.empty((size, size, 3), np.uint8)
    square[:] = np.sort(border, axis=0)[len(border) // 2]
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
