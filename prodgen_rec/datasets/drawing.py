"""Studio photos of products, drawn from their outlines.

A product is a stack of parts. Every part becomes a coverage mask (drawn four times too large and
averaged down), rounded edges and folds become a height field, and one light from the upper left
shades it (Blinn, "Models of light reflection for computer synthesized pictures", SIGGRAPH 1977).
Parts throw soft shadows on what lies behind them and on the light background.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from prodgen_rec.datasets.apparel import APPAREL
from prodgen_rec.datasets.goods import GOODS
from prodgen_rec.datasets.outlines import Part, Points
from prodgen_rec.datasets.palette import COLORS, MATERIALS, Color, accent, contrast, shade_of
from prodgen_rec.datasets.patterns import PATTERNS, Pattern, Plane
from prodgen_rec.errors import ConfigError

Picture = npt.NDArray[np.floating[Any]]
"""Colors 0 … 1, shape (3, size, size): a plane combines with it as it is."""

_BUILDERS = {**APPAREL, **GOODS}

PRODUCT_TYPES: Final = tuple(_BUILDERS)
"""The kinds of products that the shop sells."""

_SUPERSAMPLING = 4
# Unit vectors (right, down, towards the camera): to the light, and half-way from it to the camera.
_LIGHT = (-0.42, -0.62, 0.66)
_HALFWAY = (-0.23, -0.34, 0.91)


def draw_photo(
    product_type: str, color: str, pattern: str, *, rng: np.random.Generator, size: int = 96
) -> npt.NDArray[np.uint8]:
    """Draw one product as a studio photo.

    Parameters
    ----------
    product_type, color, pattern
        Names out of :data:`PRODUCT_TYPES`, :data:`COLORS` and :data:`PATTERNS`.
    rng
        Decides proportions, shade, placement and background.
    size
        Edge of the square picture in pixels, at least 16.

    Returns
    -------
    uint8 RGB, shape (size, size, 3).

    Raises
    ------
    ConfigError
        A name is unknown or the size too small.

    Examples
    --------
    >>> import numpy as np
    >>> draw_photo("mug", "teal", "dots", rng=np.random.default_rng(0)).shape
    (96, 96, 3)
    """
    _check("product type", product_type, PRODUCT_TYPES)
    _check("color", color, tuple(COLORS))
    _check("pattern", pattern, PATTERNS)
    if size < 16:
        raise ConfigError(f"photo size is {size} pixels; it must be at least 16")
    parts = _placed(_BUILDERS[product_type](rng), rng)
    base = shade_of(COLORS[color], rng)
    masks = [_mask(part.outlines, size) for part in parts]
    woven = Pattern.drawn(pattern, _cloth(parts, masks), rng)
    picture = _set(masks, rng)
    for part, mask in zip(parts, masks, strict=True):
        _throw_shadow(picture, mask)
        _paint(picture, part, mask, base, woven)
    pixels = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, 2))


def _check(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ConfigError(f"{what} {name!r} is unknown; known are {', '.join(known)}")


def _placed(parts: list[Part], rng: np.random.Generator) -> list[Part]:
    """Fit a product into about four fifths of the unit square, with some jitter."""
    angle, fill = rng.normal(0, 0.012), rng.uniform(0.76, 0.84)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= rng.uniform(0.95, 1.05)
    corners = np.concatenate([line for part in parts for line in part.outlines]) @ turn.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = fill / (high - low).max()
    center = 0.5 + rng.uniform(-0.015, 0.015, 2)
    return [part.moved(turn * scale, center - scale * (low + high) / 2) for part in parts]


@lru_cache(maxsize=64)
def _blur_matrix(size: int, radius: float) -> Plane:
    at = np.arange(size)
    weights = np.exp(-0.5 * ((at[:, None] - at) / (radius * size)) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _blurred(plane: Plane, radius: float) -> Plane:
    """Gaussian blur; the radius (standard deviation) in fractions of the picture."""
    weights = _blur_matrix(len(plane), radius)
    return weights @ plane @ weights.T


def _reduced(canvas: Image.Image) -> Plane:
    return np.asarray(canvas.reduce(_SUPERSAMPLING), dtype=np.float32) / 255


def _corners(points: Points, size: int) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points * (size * _SUPERSAMPLING)]


def _mask(outlines: tuple[Points, ...], size: int) -> Plane:
    """How much of every pixel the outlines cover, 0 … 1."""
    canvas = Image.new("L", (size * _SUPERSAMPLING,) * 2)
    draw = ImageDraw.Draw(canvas)
    for points in outlines:
        draw.polygon(_corners(points, size), fill=255)
    return _reduced(canvas)


def _strokes(lines: tuple[Points, ...], width: float, size: int) -> Plane:
    """How much of every pixel lines of a width (a fraction of the picture) cover, 0 … 1."""
    canvas = Image.new("L", (size * _SUPERSAMPLING,) * 2)
    draw = ImageDraw.Draw(canvas)
    for points in lines:
        pixels = max(1, round(width * size * _SUPERSAMPLING))
        draw.line(_corners(points, size), fill=255, width=pixels, joint="curve")
    return _reduced(canvas)


def _cloth(parts: list[Part], masks: list[Plane]) -> Plane:
    """Where the product is patterned."""
    patterned = [m for p, m in zip(parts, masks, strict=True) if MATERIALS[p.material].patterned]
    return np.asarray(np.maximum.reduce(patterned))


def _set(masks: list[Plane], rng: np.random.Generator) -> Picture:
    """Background with the product's shadow on it."""
    size = len(masks[0])
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    tint = rng.uniform(0.93, 0.975) + rng.normal(0, 0.004, 3).astype(np.float32)
    light = 1.015 - 0.10 * (x**2 + y**2) - 0.03 * y
    whole = np.maximum.reduce(masks)
    rows = np.flatnonzero(whole.max(axis=1) > 0.5)
    # What touches the ground darkens it most, right under the lowest twentieth of the product.
    feet = whole[rows[-1] - size // 24 : rows[-1] + 1].max(axis=0)
    ground = np.exp(-0.5 * ((y + 0.5 - float(rows[-1]) / size) / 0.012) ** 2)
    contact = _blurred(ground * feet, 0.012) + 0.5 * _blurred(ground * feet, 0.04)
    drop = np.roll(_blurred(whole, 0.022), (size // 50, size // 100), axis=(0, 1))
    light = light * (1 - 0.30 * contact.clip(0, 1)) * (1 - 0.26 * drop)
    return np.asarray(light * _flat(tint))


def _flat(color: Color) -> Picture:
    """One color everywhere: shape (3, 1, 1), to combine with planes."""
    return color[:, None, None]


def _throw_shadow(picture: Picture, mask: Plane) -> None:
    shadow = np.roll(_blurred(mask, 0.012), max(1, len(mask) // 80), axis=0)
    picture *= 1 - 0.22 * shadow * (1 - mask)


def _paint(picture: Picture, part: Part, mask: Plane, base: Color, pattern: Pattern) -> None:
    """Shade one part and lay it over the picture."""
    material, size = MATERIALS[part.material], len(mask)
    own = base if material.color is None else np.array(material.color, np.float32) / 255
    color = contrast(own, material.tone)
    slope_x, slope_y = _slopes(part, mask)
    surface = _flat(color)
    if material.patterned:
        share = pattern.share(*_woven(part, mask, slope_x, slope_y))
        surface = surface + share * _flat(accent(base) - color)
    if part.seams:
        depth = 0.75 * _strokes(part.seams, 0.008, size)
        surface = surface + depth * (_flat(contrast(color, 0.62)) - surface)
    diffuse, shine = _lit(slope_x, slope_y)
    # A thin dark rim: it separates white goods from the white wall behind them.
    rim = 1 - 0.26 * (2 * (1 - _blurred(mask, 0.006))).clip(0, 1)
    picture += mask * (surface * (diffuse * rim) + material.gloss * shine - picture)


def _slopes(part: Part, mask: Plane) -> tuple[Plane, Plane]:
    """Slope of a part's surface along x and along y: rounded edges, folds and hollows."""
    size = len(mask)
    height = 2.0 * part.relief * _blurred(mask, part.relief)
    for sign, outlines in ((1, part.folds), (-1, part.hollows)):
        if outlines:
            height = height + sign * 0.02 * _blurred(_mask(outlines, size), 0.014)
    slope_y, slope_x = np.gradient(height * size)
    return slope_x, slope_y


def _woven(part: Part, mask: Plane, slope_x: Plane, slope_y: Plane) -> tuple[Plane, Plane]:
    """Coordinates at which a part's pattern is read: it follows the surface and its bow."""
    size = len(mask)
    y, x = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size
    columns = np.flatnonzero(mask.max(axis=0) > 0.5)
    middle, half = float(columns.mean()) / size, len(columns) / size / 2
    # Half an ellipse, less its mean height: a bow bends a pattern and does not move it.
    sag = part.bow * (np.sqrt((1 - ((x - middle) / half) ** 2).clip(0)) - np.pi / 4)
    return x - 0.02 * slope_x, y - 0.02 * slope_y - sag


def _lit(slope_x: Plane, slope_y: Plane) -> tuple[Plane, Plane]:
    """Diffuse light (1 on flat ground) and highlights of a surface."""
    steepness = np.sqrt(slope_x**2 + slope_y**2 + 1)

    def toward(x: float, y: float, z: float) -> Plane:
        return ((z - x * slope_x - y * slope_y) / steepness).clip(0)

    diffuse = toward(*_LIGHT) / _LIGHT[2]
    shine = toward(*_HALFWAY) ** 40 - _HALFWAY[2] ** 40
    return 0.45 + 0.55 * diffuse.clip(0, 1.35), shine.clip(0)
