"""The shapes of what is carried or stands at home, every item in proportions of its own.

See :mod:`prodgen_rec.datasets.apparel` for how a builder works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from prodgen_rec.datasets.outlines import (
    Part,
    both,
    box,
    crease,
    curve,
    either_way,
    ellipse,
    flipped,
    line,
    mirrored,
    path,
    ribbon,
)


def _bag(rng: np.random.Generator) -> list[Part]:
    top, bottom = rng.uniform(0.36, 0.46), rng.uniform(0.44, 0.52)
    height, rise = rng.uniform(0.56, 0.72), rng.uniform(0.32, 0.46)
    grip = top * rng.uniform(0.48, 0.60)
    knee = (0.94 * grip, -0.6 * rise)
    handle = curve((-grip, 0.1), (-knee[0], knee[1]), (0, -rise), knee, (grip, 0.1))
    flank = curve((top, 0), (bottom, 0.75 * height), (bottom - 0.01, height - 0.05))
    corner = curve((bottom - 0.01, height - 0.05), (bottom - 0.03, height - 0.01))
    body = mirrored(line((0, 0)), flank, corner, line((bottom - 0.08, height), (0, height)))
    edges = tuple(line((-x, y), (x, y)) for x, y in ((top, 0.06), (bottom, 0.82 * height)))
    dents = both(
        crease((0.78 * top, 0.15), (0.86 * top, 0.5 * height), (0.82 * bottom, 0.8 * height))
    )
    tabs = both(box(grip - 0.045, 0.06, grip + 0.045, 0.19, 0.02))
    straps = ("leather", "trim")[rng.integers(2)]
    return [
        Part((ribbon(handle * (0.9, 1.0) - (0, 0.035), 0.045),), "trim", 0.012),
        Part((body,), relief=0.05, seams=edges, folds=dents),
        Part((ribbon(handle, 0.055),), straps, 0.015),
        Part(tabs, straps, 0.012),
        Part((box(-0.07, -0.01, 0.07, 0.36 * height, 0.05),), "trim", 0.012),
        Part((ellipse(0, 0.28 * height, 0.028, 0.028),), "brass", 0.008),
    ]


def _backpack(rng: np.random.Generator) -> list[Part]:
    width, height, slope = rng.uniform(0.33, 0.39), rng.uniform(0.84, 0.98), rng.uniform(0.2, 0.27)
    pocket_top = height * rng.uniform(0.48, 0.56)
    shoulder = curve((0, 0), (slope, 0.02), (0.93 * width, 0.16), (width, 0.42))
    bottom = curve((width, height - 0.1), (width - 0.06, height), (0, height + 0.01))
    loop = curve((-0.09, 0.04), (-0.08, -0.07), (0, -0.1), (0.08, -0.07), (0.09, 0.04))
    strap = curve((0.86 * width, 0.12), (width + 0.09, 0.3), (width + 0.08, 0.6 * height))
    outer = curve(
        (width, 0.58 * height), (width + 0.07, 0.64 * height), (width + 0.05, height - 0.06)
    )
    flap = curve(
        (0, 0.1), (0.6 * slope, 0.1), (0.74 * width, 0.2), (0.86 * width, pocket_top - 0.06)
    )
    pocket = box(-0.76 * width, pocket_top, 0.76 * width, height - 0.05, 0.07)
    zipper = pocket_top + 0.085
    tag = box(-0.62 * width, zipper - 0.012, -0.5 * width, zipper + 0.06, 0.01)
    label = box(-0.075, pocket_top - 0.16, 0.075, pocket_top - 0.07, 0.02)
    return [
        Part((ribbon(loop, 0.04),), "trim", 0.012),
        Part(tuple(ribbon(s, 0.07) for s in both(strap)), "trim", 0.015),
        Part(both(path(outer, line((0.8 * width, height - 0.03)))), "trim", 0.025),
        Part((mirrored(shoulder, bottom),), relief=0.06, seams=both(flap)),
        Part(
            (pocket,), "trim", 0.025, seams=(line((-0.66 * width, zipper), (0.66 * width, zipper)),)
        ),
        Part((tag, label), "leather", 0.008),
    ]


def _umbrella(rng: np.random.Generator) -> list[Part]:
    high, drop, end = rng.uniform(0.42, 0.52), rng.uniform(0.05, 0.08), rng.uniform(0.48, 0.60)
    panels = (4, 6)[rng.integers(2)]
    # The ribs stand at equal angles around the shaft, so they crowd together at the sides.
    x = 0.56 * np.sin(np.linspace(-np.pi / 2, np.pi / 2, panels + 1))
    right = curve((0, -high), (0.28, -0.88 * high), (0.5, -0.5 * high), (0.56, 0))
    scallops = [
        curve((b, 0), ((a + b) / 2, -drop), (a, 0))
        for a, b in zip(x[-2::-1], x[:0:-1], strict=True)
    ]
    ribs = tuple(curve((at, 0), (0.85 * at, -0.55 * high), (0, -high)) for at in x[1:-1])
    hook = curve(
        (0, end - 0.08), (0, end), (0.05, end + 0.06), (0.11, end + 0.03), (0.12, end - 0.03)
    )
    canopy = path(flipped(right)[::-1], right, *scallops)
    parts = [
        Part((box(-0.014, -0.1, 0.014, end),), "metal", 0.008),
        Part((ribbon(hook, 0.05),), "leather", 0.012),
        Part((box(-0.014, -high - 0.07, 0.014, -high + 0.02, 0.01),), "metal", 0.006),
        Part((canopy,), relief=0.07, seams=ribs, bow=-0.09),
    ]
    return either_way(parts, rng)


def _mug(rng: np.random.Generator) -> list[Part]:
    radius, height = rng.uniform(0.32, 0.40), rng.uniform(0.72, 0.90)
    foot, lip = radius * rng.uniform(0.84, 1.0), rng.uniform(0.07, 0.10)
    bulge = curve((radius, 0), (0.4 * radius + 0.6 * foot, 0.6 * height), (foot, height - 0.06))
    base = curve((foot, height - 0.06), (foot - 0.05, height + 0.02), (0, height + 0.06))
    body = mirrored(line((0, 0)), bulge, base)
    high, low = height * rng.uniform(0.14, 0.20), height * rng.uniform(0.70, 0.80)
    out = radius + rng.uniform(0.20, 0.26)
    knuckles = ((out - 0.03, high), (out, (high + low) / 2 - 0.04), (out - 0.08, low - 0.05))
    handle = curve((0.94 * radius, high), *knuckles, (0.94 * foot, low))
    parts = [
        Part((ribbon(handle, 0.085),), "glaze trim", 0.025),
        Part((body, ellipse(0, 0, radius, lip)), "glaze", 0.11, bow=0.06),
        Part((ellipse(0, 0, radius, lip),), "glaze trim", 0.01),
        Part((ellipse(0, 0.008, 0.91 * radius, 0.8 * lip),), "lining", 0.02),
    ]
    return either_way(parts, rng)


def _lamp(rng: np.random.Generator) -> list[Part]:
    top, bottom, tall = rng.uniform(0.17, 0.26), rng.uniform(0.36, 0.44), rng.uniform(0.42, 0.52)
    end = tall + rng.uniform(0.42, 0.54)
    lower = curve((bottom, tall - 0.03), (0.6 * bottom, tall + 0.025), (0, tall + 0.04))
    shade = mirrored(curve((0, 0), (0.6 * top, -0.005), (top, -0.02)), lower)
    hem = curve((0, tall - 0.03), (0.6 * bottom, tall - 0.045), (0.955 * bottom, tall - 0.085))
    opening = ellipse(0, -0.012, top, 0.02)
    stand = _vase(tall, end, rng) if rng.random() < 0.5 else _post(tall, end, rng)
    return [
        *stand,
        Part((shade,), relief=0.07, bow=0.04),
        Part((mirrored(hem, lower),), "trim", 0.012),
        Part((opening,), "lining", 0.01),
    ]


def _vase(top: float, end: float, rng: np.random.Generator) -> list[Part]:
    belly, middle = rng.uniform(0.11, 0.18), (top + end) / 2 + 0.04
    side = curve((0.035, top), (0.05, top + 0.08), (belly, middle), (0.07, end - 0.03))
    return [Part((mirrored(side, line((0.11, end), (0, end))),), "glaze trim", 0.05)]


def _post(top: float, end: float, rng: np.random.Generator) -> list[Part]:
    material = ("wood", "brass", "ink")[rng.integers(3)]
    upper = curve((0, end - 0.07), (0.1, end - 0.05), (0.2, end - 0.01))
    foot = mirrored(upper, curve((0.2, end), (0.1, end + 0.025), (0, end + 0.03)))
    pole = box(-0.028, top - 0.1, 0.028, end - 0.04)
    return [Part((pole,), material, 0.015), Part((foot,), material, 0.02)]


def _chair(rng: np.random.Generator) -> list[Part]:
    # Seen from above and from one side: the rear edge of the seat lies higher and to the left.
    back, width, leg = rng.uniform(0.44, 0.58), rng.uniform(0.50, 0.60), rng.uniform(0.42, 0.50)
    deep, shift, thick = rng.uniform(0.20, 0.26), rng.uniform(0.11, 0.17), 0.065
    left, right, rear = -shift, width - shift, -deep
    seat = path(line((left, rear), (right, rear)), curve((width, 0), (0.5 * width, 0.012), (0, 0)))
    front = line((0, 0), (width, 0), (width, thick), (0, thick))
    flank = line((left, rear), (0, 0), (0, thick), (left, rear + thick))
    top = rear - back
    crown = curve(
        (left - 0.04, top), (0.5 * (left + right) - 0.04, top - 0.03), (right - 0.04, top)
    )
    rest = path(crown, line((right - 0.005, rear - 0.13), (left - 0.005, rear - 0.13)))
    posts = tuple(
        ribbon(line((x, rear + 0.02), (x - 0.01, rear - 0.2)), 0.045)
        for x in (left + 0.03, right - 0.03)
    )
    hind = tuple(
        ribbon(line((x, rear + 0.03), (x + out, leg - 0.75 * deep)), (0.05, 0.035))
        for x, out in ((left + 0.03, -0.04), (right - 0.01, 0.03))
    )
    fore = tuple(
        ribbon(line((x, thick - 0.01), (x + out, leg)), (0.06, 0.04))
        for x, out in ((0.04, -0.035), (width - 0.04, 0.035))
    )
    near, far = (("wood", "dark wood"), ("ink", "ink"))[rng.integers(2)]
    parts = [
        Part(hind + posts, far, 0.01),
        Part((rest,)),
        Part(fore, near, 0.012),
        Part((front, flank), "trim", 0.01),
        Part((seat,), relief=0.02),
    ]
    return either_way(parts, rng)


GOODS: Final[Mapping[str, Callable[[np.random.Generator], list[Part]]]] = MappingProxyType(
    {
        "bag": _bag,
        "backpack": _backpack,
        "umbrella": _umbrella,
        "mug": _mug,
        "lamp": _lamp,
        "chair": _chair,
    }
)
"""Builder of every product type that is carried or stands at home."""
