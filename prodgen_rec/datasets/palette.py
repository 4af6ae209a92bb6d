"""What products are made of: named colors, their shades, and materials."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

RGB = tuple[int, int, int]
"""An 8-bit sRGB color."""
Color = npt.NDArray[np.floating[Any]]
"""A color with channels 0 … 1, shape (3,)."""

COLORS: Final[Mapping[str, RGB]] = MappingProxyType(
    {
        "black": (44, 44, 48),
        "white": (246, 245, 242),
        "grey": (140, 144, 150),
        "red": (202, 40, 46),
        "orange": (240, 126, 36),
        "yellow": (246, 204, 58),
        "green": (62, 142, 76),
        "teal": (22, 146, 146),
        "blue": (54, 116, 208),
        "navy": (36, 50, 100),
        "purple": (124, 72, 164),
        "pink": (242, 150, 182),
        "brown": (124, 82, 54),
        "beige": (218, 196, 162),
    }
)
"""Named colors of the products, 8-bit sRGB; every item varies its own a little."""


@dataclass(frozen=True)
class Material:
    """How a part looks: the product's own color times ``tone``, or a color of its own."""

    color: RGB | None = None
    tone: float = 1.0
    gloss: float = 0.0
    patterned: bool = False


MATERIALS: Final[Mapping[str, Material]] = MappingProxyType(
    {
        "fabric": Material(gloss=0.04, patterned=True),
        "trim": Material(tone=0.82, gloss=0.04),
        "lining": Material(tone=0.58),
        "glaze": Material(gloss=0.45, patterned=True),
        "glaze trim": Material(gloss=0.45),
        "rubber": Material((242, 240, 235), gloss=0.1),
        "cord": Material((250, 249, 246)),
        "dial": Material((251, 250, 246)),
        "wood": Material((186, 140, 96), gloss=0.08),
        "dark wood": Material((146, 104, 68), gloss=0.05),
        "leather": Material((140, 92, 58), gloss=0.12),
        "metal": Material((186, 190, 197), gloss=0.8),
        "brass": Material((206, 170, 98), gloss=0.7),
        "ink": Material((58, 56, 60), gloss=0.1),
    }
)
"""How parts look, by the name of their material."""


def shade_of(color: RGB, rng: np.random.Generator) -> Color:
    """One item's shade of a named color, 0 … 1, shape (3,)."""
    hue, light, saturation = colorsys.rgb_to_hls(*(value / 255 for value in color))
    hue += rng.normal(0, 0.008)
    light = min(light * rng.uniform(0.94, 1.06), 0.97)
    saturation *= rng.uniform(0.9, 1.0)
    return np.array(colorsys.hls_to_rgb(hue % 1, light, saturation), dtype=np.float32)


def contrast(color: Color, tone: float) -> Color:
    """Darken a color by a factor, or lighten it where it is nearly black already."""
    if color.max() < 0.3:
        return color + (1 - tone) * 0.45
    return color * tone


def accent(color: Color) -> Color:
    """Second color of a pattern: off-white, or a deep tone where the color itself is light."""
    if color.min() > 0.55:
        return color * 0.52
    return color * 0.08 + 0.88
