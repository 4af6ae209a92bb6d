"""How far apart pictures are to a network that has learned to see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from prodgen_rec.imagery.efficientnet import load_efficientnet_lite
from prodgen_rec.imagery.runtime import dtype_policy

STAGES = ("stage_1", "stage_2", "stage_3")
"""Edges and colors, textures, parts: what comes later sees little in pictures this small."""
CLOSE_STAGES = ("stage_1", "stage_2", "stage_3", "stage_5", "stage_7")
"""Where pictures that were enlarged are compared: the last sees what a product is."""
_LARGEST = 128
_SMALLEST = 1e-3


class PerceptualDistance:
    """Distance of pictures in the first stages of EfficientNet-Lite0.

    Mean absolute difference of the feature maps, each scaled to unit root mean square over its
    channels at every place, so that no stage and no bright spot outweighs the rest. After
    Johnson, Alahi & Fei-Fei, "Perceptual losses for real-time style transfer and
    super-resolution" (ECCV 2016), and the normalization of Zhang et al., "The unreasonable
    effectiveness of deep features as a perceptual metric" (CVPR 2018).

    Parameters
    ----------
    size
        Side of the pictures in pixels, at least 32.
    close
        Whether pictures are enlarged to `close_side` pixels before they are looked at, which
        costs about four times as much, and by two deeper stages as well.

    Raises
    ------
    MissingExtraError
        The weights are not installed.
    ConfigError
        The pictures are too small.
    """

    def __init__(self, size: int, *, close: bool = False) -> None:
        self._side = close_side(size) if close else size
        stages = CLOSE_STAGES if close else STAGES
        with dtype_policy("float32"):
            self._network = load_efficientnet_lite("lite0", input_size=self._side, outputs=stages)

    def __call__(self, one: Any, other: Any) -> Any:
        """Distance of pictures (n, size, size, 3) in [-1, 1] to others, a scalar tensor."""
        return distance_of_maps(*(self._network(as_seen(x, side=self._side)) for x in (one, other)))


def close_side(size: int) -> int:
    """Side in pixels to which pictures are enlarged: twice theirs, up to 128.

    The network was trained on large pictures, and sees more in small ones when they are enlarged.
    """
    return max(size, min(2 * size, _LARGEST))


def distance_of_maps(one: Sequence[Any], other: Sequence[Any]) -> Any:
    """`PerceptualDistance` of pictures whose feature maps, a list of stages, are there already."""
    pairs = zip(one, other, strict=True)
    return tf.add_n([tf.reduce_mean(tf.abs(_scaled(a) - _scaled(b))) for a, b in pairs])


def as_seen(pictures: Any, *, side: int | None = None) -> Any:
    """Pictures (n, size, size, 3) in [-1, 1] as EfficientNet takes them, 0 to 255.

    With ``side``, they are enlarged bicubically to that side in pixels: by two matrix products,
    since the gradient of a resizing operation is slow on CPUs.
    """
    x = (tf.clip_by_value(pictures, -1.0, 1.0) + 1.0) * 127.5
    if side in (None, pictures.shape[1]):
        return x
    columns = np.eye(pictures.shape[1], dtype=np.float32)[:, :, None]
    weights = tf.image.resize(columns, (side, pictures.shape[1]), "bicubic")[:, :, 0]
    return tf.einsum("ij,bjkc,lk->bilc", weights, x, weights)


def _scaled(maps: Any) -> Any:
    size = tf.sqrt(tf.reduce_mean(tf.square(maps), axis=-1, keepdims=True))
    return maps / (size + _SMALLEST)
