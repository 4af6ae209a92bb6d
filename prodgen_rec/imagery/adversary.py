"""Discriminators that tell made pictures from photos by what a trained network sees in them.

After Sauer, Chitta, Müller and Geiger, "Projected GANs converge faster" (NeurIPS 2021): the
feature maps of a frozen network, mixed by fixed random projections, go to one small
discriminator per scale. What an ordinary discriminator has to learn first is there from the
beginning, which is what a budget of minutes needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from prodgen_rec.imagery.efficientnet import load_efficientnet_lite
from prodgen_rec.imagery.perceptual import (
    CLOSE_STAGES,
    as_seen,
    close_side,
    distance_of_maps,
)
from prodgen_rec.imagery.replicas import uniform
from prodgen_rec.imagery.runtime import dtype_policy, seeded

JUDGED = ("stage_2", "stage_3", "stage_5", "stage_7")
"""What discriminators look at."""
_STAGES = ("stage_1", *JUDGED)
_PROJECTED, _CHANNELS, _MOST_CHANNELS = 32, 24, 96
_COARSEST = 4
"""Side of the maps of logits."""


class Adversary:
    """One discriminator for each of four stages of EfficientNet-Lite0.

    Pictures are enlarged before it sees them, see `close_side`.

    Parameters
    ----------
    size
        Side of the pictures in pixels, at least 32.
    seed
        Seed of the projections and of the initial weights.

    Raises
    ------
    MissingExtraError
        The weights are not installed.
    ConfigError
        The pictures are too small.
    """

    def __init__(self, size: int, *, seed: int) -> None:
        with dtype_policy("float32"), seeded(seed):
            self._side = close_side(size)
            self._network = load_efficientnet_lite("lite0", input_size=self._side, outputs=_STAGES)
            self._heads = {
                name: _head(output.shape[1:])
                for name, output in zip(_STAGES, self._network.outputs, strict=True)
                if name in JUDGED
            }

    @property
    def variables(self) -> list[keras.Variable]:
        """What is trained."""
        return [v for head in self._heads.values() for v in head.trainable_variables]

    @property
    def statistics(self) -> list[keras.Variable]:
        """What a step changes besides."""
        return [v for head in self._heads.values() for v in head.non_trainable_variables]

    def look(self, pictures: Any, seed: Any) -> dict[str, Any]:
        """Feature maps of augmented pictures, by stage.

        Parameters
        ----------
        pictures
            float32 (n, size, size, 3) in [-1, 1]; what leaves that range is cut off.
        seed
            int (2,), of the augmentation, which changes equal places in two batches of equal
            length alike.
        """
        seen = augmented(tf.clip_by_value(pictures, -1.0, 1.0), seed)
        return dict(zip(_STAGES, self._network(as_seen(seen, side=self._side)), strict=True))

    def logits(self, maps: Mapping[str, Any]) -> list[Any]:
        """Maps of logits of what `look` gave, above 0 where a picture seems real."""
        return [head(maps[name], training=True) for name, head in self._heads.items()]


def compared(one: Mapping[str, Any], other: Mapping[str, Any], n: int) -> Any:
    """Perceptual distance of the first n of some pictures to others, by what `look` gave."""
    return distance_of_maps(*([maps[name][:n] for name in CLOSE_STAGES] for maps in (one, other)))


def discriminator_loss(real: list[Any], made: list[Any]) -> Any:
    """Hinge loss of the discriminators, the mean over them."""
    losses = [
        tf.reduce_mean(tf.nn.relu(1.0 - a)) + tf.reduce_mean(tf.nn.relu(1.0 + b))
        for a, b in zip(real, made, strict=True)
    ]
    return tf.add_n(losses) / len(losses)


def generator_loss(made: list[Any]) -> Any:
    """How unreal pictures seem, the mean over discriminators."""
    return -tf.add_n([tf.reduce_mean(one) for one in made]) / len(made)


def augmented(pictures: Any, seed: Any) -> Any:
    """Pictures as discriminators see them, so that they do not learn the photos by heart.

    Brightness, saturation and contrast, each picture by itself, and a shift of all of them by up
    to an eighth with mirrored edges: Zhao et al., "Differentiable augmentation for data-efficient
    GAN training" (NeurIPS 2020). Colors change less than there: discriminators that do not mind
    them let the color of a product drift.

    Parameters
    ----------
    pictures
        float32 (n, size, size, 3) in [-1, 1].
    seed
        int (2,).
    """
    n, size = tf.shape(pictures)[0], pictures.shape[1]
    amounts = uniform((3, n, 1, 1, 1), seed, axis=1)
    x = pictures + (amounts[0] - 0.5) * 0.2
    grey = tf.reduce_mean(x, axis=-1, keepdims=True)
    x = grey + (x - grey) * (0.8 + 0.4 * amounts[1])
    middle = tf.reduce_mean(x, axis=(1, 2, 3), keepdims=True)
    x = middle + (x - middle) * (0.85 + 0.3 * amounts[2])
    most = size // 8
    x = tf.pad(x, [[0, 0], [most, most], [most, most], [0, 0]], "SYMMETRIC")
    # Shifts of their own would take a tenth of a training step: their gradient is a scatter.
    down, right = tf.unstack(tf.random.stateless_uniform((2,), seed + 1, 0, 2 * most + 1, tf.int32))
    return tf.ensure_shape(x[:, down : down + size, right : right + size], pictures.shape)


def _head(shape: tuple[int, int, int]) -> keras.Model:
    """Feature maps (n, side, side, channels) to logits (n, 4, 4, 1), or coarser ones."""
    x = inputs = keras.Input(shape)
    x = layers.Conv2D(
        min(_PROJECTED, shape[-1]),
        1,
        use_bias=False,
        kernel_initializer="he_normal",
        trainable=False,
    )(x)
    side, channels = shape[0], _CHANNELS
    while side > _COARSEST:
        x = layers.LeakyReLU(0.2)(SpectralConv2D(channels, 4, 2)(x))
        side, channels = side // 2, min(2 * channels, _MOST_CHANNELS)
    x = layers.LeakyReLU(0.2)(SpectralConv2D(_MOST_CHANNELS, 3)(x))
    return keras.Model(inputs, SpectralConv2D(1, 3)(x))


class SpectralConv2D(layers.Conv2D):  # type: ignore[misc]
    """A convolution whose kernel is divided by its largest singular value.

    Miyato et al., "Spectral normalization for generative adversarial networks" (ICLR 2018), with
    one power iteration per training step; the singular value takes part in the gradient.
    """

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, **settings: Any) -> None:
        super().__init__(filters, kernel_size, strides, "same", **settings)

    def build(self, input_shape: Any) -> None:
        """Make the kernel, and a start for the iteration."""
        super().build(input_shape)
        self.direction = self.add_weight(
            shape=(1, self.filters), initializer="random_normal", trainable=False, name="direction"
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Convolve; with ``training``, the direction comes closer to the singular vector."""
        matrix = ops.reshape(self.kernel, (-1, self.filters))
        left = ops.stop_gradient(ops.normalize(ops.matmul(self.direction, ops.transpose(matrix))))
        right = ops.stop_gradient(ops.normalize(ops.matmul(left, matrix)))
        if training:
            self.direction.assign(right)
        size = ops.sum(ops.matmul(left, matrix) * right)
        outputs = ops.conv(inputs, self.kernel / size, self.strides[0], "same")
        return outputs + self.bias
