"""The networks: encoder, decoder and the two conditional priors.

Plain convolutions with leaky rectifiers and He initialization, without normalization: on
CPUs they learn several times more per second than normalized residual networks. Residual
blocks can be added; their second convolution starts small, so that each starts close to the
identity (Zhang, Dauphin & Ma 2019, Fixup).

Written with ``keras.layers`` and ``keras.ops`` alone, so that any Keras backend can
load and run them.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import KerasTensor, layers, ops

COARSEST = 4
"""Side of the coarsest maps of networks that need no latent map of another side, in cells."""
_MAX_CHANNELS = 256
_TIME_LAYERS = ("time_moment", "time_effect")
"""What a flow works out once for all of its rows, since they are at the same time."""


def stages(size: int, width: int, side: int = COARSEST) -> list[tuple[int, int]]:
    """(resolution, channels) of each stage from fine to coarse.

    Parameters
    ----------
    size
        Side of the picture in pixels: 16, 32, 64, …
    width
        Channels at half the picture's resolution; they double with each halving up to 256.
    side
        Resolution of the last stage, a power of two below ``size``.
    """
    n_stages = int(math.log2(size // side))
    return [(size >> (k + 1), min(width << k, _MAX_CHANNELS)) for k in range(n_stages)]


def build_encoder(
    size: int, width: int, latent_channels: int, *, side: int = COARSEST
) -> keras.Model:
    """q(z | x): pictures to the mean and log-variance of their latents.

    Input float32 (n, size, size, 3) in [-1, 1]; output float32
    (n, side, side, 2 · latent_channels), means first.
    """
    x = inputs = keras.Input((size, size, 3), name="picture")
    for _, channels in stages(size, width, side):
        x = _convolution(channels, kernel=4, strides=2)(x)
    moments = layers.Conv2D(2 * latent_channels, 3, padding="same", dtype="float32")(x)
    return keras.Model(inputs, moments, name="encoder")


def build_decoder(
    size: int, width: int, latent_channels: int, n_blocks: int, *, side: int = COARSEST
) -> keras.Model:
    """p(x | z): latents to pictures.

    Input float32 (n, side, side, latent_channels); output float32 (n, size, size, 3), about
    [-1, 1] (not clipped). The last doubling of resolution is a depth-to-space: half of
    the cost of a convolution at full resolution.
    """
    x = inputs = keras.Input((side, side, latent_channels), name="latent")
    for resolution, channels in reversed(stages(size, width, side)):
        if resolution > side:
            x = layers.UpSampling2D(2, interpolation="nearest")(x)
        x = _convolution(channels)(x)
        x = _residual_blocks(x, channels, n_blocks)
    x = layers.Conv2D(12, 3, padding="same", dtype="float32")(x)
    half = size // 2
    x = layers.Reshape((half, half, 2, 2, 3), dtype="float32")(x)
    x = layers.Permute((1, 3, 2, 4, 5), dtype="float32")(x)
    picture = layers.Reshape((size, size, 3), dtype="float32")(x)
    return keras.Model(inputs, picture, name="decoder")


def _convolution(channels: int, *, kernel: int = 3, strides: int = 1) -> layers.Layer:
    return layers.Conv2D(
        channels,
        kernel,
        strides=strides,
        padding="same",
        activation="leaky_relu",
        kernel_initializer="he_normal",
    )


def _residual_blocks(x: KerasTensor, channels: int, n_blocks: int) -> KerasTensor:
    for _ in range(n_blocks):
        h = _convolution(channels)(x)
        small: Any = keras.initializers.VarianceScaling(0.3)
        h = layers.Conv2D(channels, 3, padding="same", kernel_initializer=small)(h)
        x = layers.add([x, h])
    return x


def build_gaussian_prior(latent_size: int, condition_size: int, width: int) -> keras.Model:
    """p(z | c) as a diagonal Gaussian: conditions to means and log-variances.

    Input float32 (n, condition_size); output float32 (n, 2 · latent_size), means first.
    """
    x = inputs = keras.Input((condition_size,), name="condition")
    for _ in range(2):
        x = layers.Dense(width, activation="silu")(x)
    moments = layers.Dense(2 * latent_size, dtype="float32")(x)
    return keras.Model(inputs, moments, name="gaussian_prior")


@keras.saving.register_keras_serializable(package="prodgen_rec")
class TimeFeatures(layers.Layer):  # type: ignore[misc]
    """Sines and cosines of the flow's time, (n, 1) in [0, 1] to (n, 2 · n_frequencies)."""

    def __init__(self, n_frequencies: int = 16, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.n_frequencies = n_frequencies

    def call(self, time: KerasTensor) -> KerasTensor:
        """Frequencies run from 1 to 100 half-turns on a logarithmic scale."""
        frequencies = ops.exp(ops.linspace(0.0, math.log(100.0), self.n_frequencies)) * math.pi
        angles = time * frequencies
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    def get_config(self) -> dict[str, object]:
        """Arguments of the constructor."""
        return {**super().get_config(), "n_frequencies": self.n_frequencies}


def build_flow_context(condition_size: int, width: int, depth: int) -> keras.Model:
    """What a condition does to the velocity of a rectified flow, once for all of its steps.

    Input float32 (n, condition_size); output float32 (n, depth · 2 · width): a scale and a shift
    for each residual block of `build_flow_velocity`.
    """
    x = inputs = keras.Input((condition_size,), name="condition")
    for _ in range(2):
        x = layers.Dense(width, activation="silu")(x)
    effect = layers.Dense(2 * width * depth, kernel_initializer="zeros")(x)
    return keras.Model(inputs, effect, name="flow_context")


def build_flow_velocity(latent_size: int, width: int, depth: int) -> keras.Model:
    """The velocity field of a rectified flow from noise to latents.

    Inputs float32: z_t (n, latent_size), t (n, 1) in [0, 1], context (n, depth · 2 · width);
    output the velocity dz/dt, float32 (n, latent_size). Residual blocks are modulated by time and
    context (FiLM, Perez et al. 2018).
    """
    z = keras.Input((latent_size,), name="latent")
    t = keras.Input((1,), name="time")
    context = keras.Input((2 * width * depth,), name="context")
    moment = layers.Dense(width, activation="silu", name=_TIME_LAYERS[0])(
        TimeFeatures(dtype="float32")(t)
    )
    effect = layers.Dense(2 * width * depth, kernel_initializer="zeros", name=_TIME_LAYERS[1])
    effects = ops.split(layers.add([effect(moment), context]), depth, axis=-1)
    x = layers.Dense(width)(z)
    for scale_shift in effects:
        h = layers.LayerNormalization(center=False, scale=False)(x)
        h = Modulate()([h, scale_shift])
        h = layers.Dense(width, activation="silu")(h)
        x = layers.add([x, layers.Dense(width, kernel_initializer="zeros")(h)])
    x = layers.LayerNormalization()(x)
    velocity = layers.Dense(latent_size, kernel_initializer="zeros", dtype="float32")(x)
    return keras.Model([z, t, context], velocity, name="flow_velocity")


@keras.saving.register_keras_serializable(package="prodgen_rec")
class Modulate(layers.Layer):  # type: ignore[misc]
    """x · (1 + scale) + shift, with scale and shift side by side in the second input."""

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        """Shapes (n, d) and (n, 2 · d) to (n, d)."""
        x, scale_shift = inputs
        scale, shift = ops.split(scale_shift, 2, axis=-1)
        return x * (1 + scale) + shift


def flops(model: keras.Model) -> int:
    """Floating point operations of one row through the dense and convolution layers."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense) and layer.name not in _TIME_LAYERS:
            cells = math.prod(layer.output.shape[1:-1])
            total += 2 * cells * math.prod(layer.kernel.shape)
    return total
