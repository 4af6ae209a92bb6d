"""Pictures as files: what a shop stores and sends.

This module needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from io import BytesIO
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from prodgen_rec.errors import ConfigError, InputError

Photos = npt.NDArray[np.uint8]
ImageFormat = Literal["jpeg", "webp", "png"]

_QUALITY = 90
"""Of JPEG and WebP: on pictures of 64 px, what is lost begins to show below it."""


@dataclass(frozen=True)
class PictureEncoder:
    """Turns pictures into files of one format.

    Equal pictures give equal bytes, whatever stands beside them and in however many threads it
    is done, as long as `name` is the same.

    Parameters
    ----------
    image_format
        ``"jpeg"`` is by far the fastest, ``"webp"`` takes half the room, ``"png"`` loses nothing.
    quality
        Of JPEG and WebP, 1 to 100, by default 90; PNG has none.

    Raises
    ------
    ConfigError
        The format is unknown, or the quality out of range.

    Examples
    --------
    >>> grey = np.full((2, 64, 64, 3), 128, np.uint8)
    >>> [file[1:4] for file in PictureEncoder("png").encode(grey).to_pylist()]
    [b'PNG', b'PNG']
    """

    image_format: ImageFormat = "jpeg"
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.image_format not in get_args(ImageFormat):
            expected = ", ".join(get_args(ImageFormat))
            raise ConfigError(f"image_format = {self.image_format!r}: expected one of {expected}")
        if self.image_format == "png":
            if self.quality is not None:
                raise ConfigError(f"quality = {self.quality}: PNG loses nothing; leave it out")
        elif self.quality is None:
            object.__setattr__(self, "quality", _QUALITY)
        elif not 1 <= self.quality <= 100:
            raise ConfigError(f"quality = {self.quality}: expected 1 to 100")

    @property
    def name(self) -> str:
        """Format, quality, and the library with its version: equal names, equal bytes."""
        quality = "" if self.quality is None else f"-{self.quality}"
        return f"{self.image_format}{quality} {self._library} {version(self._library)}"

    def encode(self, pictures: Photos) -> pa.Array:
        """Arrow array of bytes (n,), the files of pictures.

        Parameters
        ----------
        pictures
            uint8 RGB, shape (n, height, width, 3), sides of at least one pixel.

        Raises
        ------
        InputError
            The array has another type or shape.
        """
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
            raise InputError(
                f"pictures must be uint8 of shape (n, height, width, 3), got {pictures.dtype} "
                f"{pictures.shape}; numbers are 0 to 255"
            )
        if 0 in pictures.shape[1:]:
            raise InputError(f"pictures of shape {pictures.shape} have no pixels")
        one = self._encoder()
        return pa.array([one(picture) for picture in np.ascontiguousarray(pictures)], pa.binary())

    @cached_property
    def _library(self) -> str:
        """What encodes JPEG is several times faster in one of them, and lets other threads run."""
        return "simplejpeg" if self.image_format == "jpeg" and _simplejpeg() else "pillow"

    def _encoder(self) -> Callable[[Photos], bytes]:
        # Half of the color resolution is a tenth of the bytes, and visible on pictures so small.
        if self._library == "simplejpeg":
            encode = _simplejpeg().encode_jpeg
            return partial(encode, quality=self.quality, colorspace="RGB", colorsubsampling="444")
        options: dict[str, dict[str, Any]] = {
            "jpeg": {"quality": self.quality, "subsampling": 0},
            "webp": {"quality": self.quality, "method": 2},
            "png": {"compress_level": 1},
        }
        return partial(_by_pillow, self.image_format, options[self.image_format])


def _by_pillow(kind: ImageFormat, options: dict[str, Any], picture: Photos) -> bytes:
    encoded = BytesIO()
    Image.fromarray(picture).save(encoded, kind, **options)
    return encoded.getvalue()


def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
