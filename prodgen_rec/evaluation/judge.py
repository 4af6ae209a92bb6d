"""Judges: what looks at pictures for the figures of fidelity and personalization.

A figure belongs to the network that it was computed with, so every judge has a name and every
figure carries it. No judge may be part of a loss: a model that was trained to please a network
looks good to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from prodgen_rec.catalog import Catalog
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.judged_items import JudgedItems
from prodgen_rec.imagery.efficientnet import Variant, load_efficientnet_lite
from prodgen_rec.imagery.runtime import by_tiles, compiled

Photos = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Judge(Protocol):
    """Something with a name that turns pictures into features."""

    @property
    def name(self) -> str:
        """What figures call it."""

    def features(self, photos: Photos) -> Floats:
        """Features float32 (n, d) of RGB pictures uint8 (n, size, size, 3).

        A row depends on its own picture alone, to the last bit.
        """


class KerasJudge:
    """Any Keras model as a judge.

    Parameters
    ----------
    model
        Takes float32 (n, size, size, 3), RGB, 0 to 255; returns (n, d).
    name
        What figures call it.
    size
        Side of the pictures that the model looks at, in pixels; see `resized`.
    preprocess
        Applied to the pictures before the model, for example a ``preprocess_input`` of
        ``keras.applications``. The default leaves them as they are.
    """

    def __init__(
        self,
        model: keras.Model,
        name: str,
        *,
        size: int,
        preprocess: Callable[[Any], Any] = lambda pictures: pictures,
    ) -> None:
        self.name = name
        self._look = compiled(lambda photos: model(preprocess(resized(photos, size))))

    def features(self, photos: Photos) -> Floats:
        """Features float32 (n, d) of RGB pictures uint8 (n, side, side, 3), n ≥ 1.

        Raises
        ------
        InputError
            The pictures have another shape or dtype.
        """
        check_photos(photos)
        return by_tiles(self._look, photos)


def pretrained_judge(variant: Variant = "lite2", *, size: int = 128) -> KerasJudge:
    """EfficientNet-Lite with ImageNet weights as a judge, by its 1280 pooled features.

    Parameters
    ----------
    variant
        ``lite2``; take ``lite0`` only where no loss uses it.
    size
        Side of the pictures that it looks at, in pixels. It was trained at 260 and sees little
        below 128.

    Raises
    ------
    MissingExtraError
        The weights are not installed.
    """
    model = load_efficientnet_lite(variant, input_size=size)
    return KerasJudge(model, f"EfficientNet-{variant.capitalize()} at {size} px", size=size)


def judge_items(judge: Judge, catalog: Catalog) -> JudgedItems:
    """What a judge sees in the photos of a catalogue."""
    item_ids = catalog.with_photo()
    return JudgedItems(item_ids, judge.features(catalog.photos_of(item_ids)), judge.name)


def resized(photos: Any, size: int) -> Any:
    """Pictures float32 (n, size, size, 3), 0 to 255, of uint8 pictures of any size.

    Bicubic, antialiased where pictures shrink, without rounding, as Parmar, Zhang and Zhu
    recommend ("On aliased resizing and surprising subtleties in GAN evaluation", CVPR 2022).
    """
    pictures = keras.ops.cast(photos, "float32")
    if photos.shape[1] == size:
        return pictures
    pictures = keras.ops.image.resize(
        pictures, (size, size), interpolation="bicubic", antialias=True
    )
    return keras.ops.clip(pictures, 0.0, 255.0)


def check_photos(photos: npt.NDArray[Any]) -> None:
    """Refuse what is not a stack of pictures.

    Raises
    ------
    InputError
        Says what came and what was expected.
    """
    square = photos.ndim == 4 and photos.shape[1] == photos.shape[2] and photos.shape[3] == 3
    if photos.dtype != np.uint8 or not square or len(photos) == 0:
        raise InputError(
            f"photos must be uint8 of shape (n, size, size, 3) with n ≥ 1, "
            f"got {photos.dtype} {photos.shape}"
        )
