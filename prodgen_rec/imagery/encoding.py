"""Pictures as the bytes of image files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import PIL
import pyarrow as pa
from PIL import Image

ImageFormat = Literal["jpeg", "webp", "png"]

_QUALITY: Final[dict[ImageFormat, int]] = {"jpeg": 90, "webp": 90, "png": 100}


@dataclass(frozen=True)
class PictureEncoder:
    """Turns pictures into bytes, the same pictures always into the same ones.

    Parameters
    ----------
    image_format
        ``png`` is exact, and the largest.
    quality
        1 to 100, where the format loses something; what is good for the format where None.
    """

    image_format: ImageFormat = "jpeg"
    quality: int | None = None

    @property
    def name(self) -> str:
        """Format, quality and what encodes."""
        return f"{self.image_format}-{self._quality} pillow {PIL.__version__}"

    def encode(self, images: npt.NDArray[np.uint8]) -> pa.Array:
        """Arrow array of bytes (n,) of pictures uint8 RGB (n, height, width, 3)."""
        return pa.array([self._bytes(image) for image in images], pa.binary())

    @property
    def _quality(self) -> int:
        return self.quality or _QUALITY[self.image_format]

    def _bytes(self, image: npt.NDArray[np.uint8]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, self.image_format, quality=self._quality)
        return buffer.getvalue()
