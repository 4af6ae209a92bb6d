"""How far apart pictures are to a network that has learned to see."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from prodgen_rec.imagery.efficientnet import load_efficientnet_lite
from prodgen_rec.imagery.runtime import dtype_policy

STAGES = ("stage_1", "stage_2", "stage_3")
"""Edges and colors, textures, parts: what comes later sees little in pictures this small."""
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

    Raises
    ------
    MissingExtraError
        The weights are not installed.
    ConfigError
        The pictures are too small.
    """

    def __init__(self, size: int) -> None:
        with dtype_policy("float32"):
            self._network = load_efficientnet_lite("lite0", input_size=size, outputs=STAGES)

    def __call__(self, one: Any, other: Any) -> Any:
        """Distance of pictures (n, size, size, 3) in [-1, 1] to others, a scalar tensor."""
        pairs = zip(self._features(one), self._features(other), strict=True)
        return tf.add_n([tf.reduce_mean(tf.abs(a - b)) for a, b in pairs])

    def _features(self, pictures: Any) -> list[Any]:
        maps = self._network((tf.clip_by_value(pictures, -1.0, 1.0) + 1.0) * 127.5)
        return [_scaled(one) for one in maps]


def _scaled(maps: Any) -> Any:
    size = tf.sqrt(tf.reduce_mean(tf.square(maps), axis=-1, keepdims=True))
    return maps / (size + _SMALLEST)
