"""The shapes of what is worn, every item in proportions of its own.

A builder returns the parts of one item from back to front. Its numbers are coordinates in the
item's own units: x = 0 is the axis of symmetry where there is one, y grows downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from prodgen_rec.datasets.outlines import (
    Part,
    Points,
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


def _tee(rng: np.random.Generator) -> list[Part]:
    width, reach = rng.uniform(0.34, 0.41), rng.uniform(0.20, 0.36)
    neck, depth = rng.uniform(0.13, 0.18), rng.uniform(0.08, 0.20)
    hem = width * rng.uniform(0.96, 1.08)
    cuff = (width + 0.75 * reach, 0.12 + reach)
    inner = (cuff[0] - 0.17, cuff[1] + 0.10)
    shoulder = curve((0.7 * width, 0.05), (width, 0.08), (width + 0.35 * reach, 0.2), cuff)
    sleeve = path(shoulder, line(inner, (0.86 * width, 0.42)))
    stitches = line((cuff[0] - 0.035, cuff[1] - 0.05), (inner[0] - 0.035, inner[1] - 0.04))
    neckline = curve((0, depth), (0.62 * neck, 0.78 * depth), (neck, 0))
    side = curve((0.97 * width, 0.12), (0.93 * width, 0.34), (0.94 * width, 0.6), (hem, 1.0))
    body = mirrored(neckline, line((0.97 * width, 0.085)), side, line((0, 1.02)))
    wrinkles = (
        crease((0.9 * width, 0.40), (0.5 * width, 0.52), (0.2 * width, 0.56)),
        crease((-0.9 * width, 0.42), (-0.55 * width, 0.60), (-0.3 * width, 0.74)),
        crease((0.85 * width, 0.92), (0.5 * width, 0.80), (0.35 * width, 0.62)),
    )
    return [
        Part((mirrored(curve((0, 0.03), (neck, -0.005)), neckline[::-1]),), "lining", 0.01),
        Part(both(sleeve), seams=both(stitches)),
        Part((body,), seams=(line((-hem, 0.95), (hem, 0.95)),), folds=wrinkles),
        Part((ribbon(path(flipped(neckline)[:0:-1], neckline), 0.045),), "trim", 0.01),
    ]


def _dress(rng: np.random.Generator) -> list[Part]:
    bust, waist, at = rng.uniform(0.18, 0.21), rng.uniform(0.12, 0.15), rng.uniform(0.39, 0.45)
    flare, length = rng.uniform(0.32, 0.48), rng.uniform(0.95, 1.15)
    strap, depth = rng.uniform(0.10, 0.14), rng.uniform(0.12, 0.20)
    neckline = curve((0, depth), (0.6 * strap, 0.8 * depth), (strap - 0.025, 0))
    arm = curve((strap + 0.03, 0), (strap + 0.035, 0.12), (bust, 0.22))
    waistline = curve((bust, 0.22), (0.94 * bust, 0.31), (waist, at))
    bodice = mirrored(neckline, arm, waistline, line((0, at)))
    upper_back = curve((0, 0.09), (0.7 * strap, 0.07), (strap, 0.0))
    back = mirrored(upper_back, line((0.8 * bust, 0.2), (0, 0.24)))
    side = curve((waist, at - 0.01), (waist + 0.3 * (flare - waist), at + 0.22), (flare, length))
    hem = curve((flare, length), (0.65 * flare, length + 0.04), (0, length + 0.055))
    pleats = tuple(
        crease((k * waist, at + 0.03), (1.5 * k * waist, at + 0.3), (0.92 * k * flare, length))
        for k in (-0.75, -0.3, 0.12, 0.5, 0.85)
    )
    belt = box(-waist - 0.006, at - 0.025, waist + 0.006, at + 0.02, 0.01)
    return [
        Part((back,), "lining", 0.01),
        Part((mirrored(line((0, at - 0.01)), side, hem),), folds=pleats, bow=0.05),
        Part((bodice,), folds=both(crease((0.1, 0.40), (0.11, 0.33), (0.1, 0.27))), bow=0.02),
        Part((belt,), "trim", 0.012),
    ]


def _trousers(rng: np.random.Generator) -> list[Part]:
    waist, hip, cuff = rng.uniform(0.21, 0.24), rng.uniform(0.27, 0.31), rng.uniform(0.13, 0.24)
    rise, spread = rng.uniform(0.32, 0.38), rng.uniform(0.03, 0.09)
    length = rng.uniform(1.05, 1.18)
    outer = curve((waist, 0.04), (hip, 0.25), (hip, 0.45), (spread + cuff, length - 0.01))
    inseam = curve((spread, length), (0.03, 0.66), (0.0, rise))
    leg = path(line((0, 0.04)), outer, inseam)
    knee = spread + cuff / 2
    ironed = crease((0.6 * waist, 0.3), (0.16, 0.6), (knee, length))
    pocket = curve((0.6 * waist, 0.05), (0.75 * waist, 0.14), (0.94 * hip, 0.2))
    hem = line((spread - 0.02, length - 0.05), (spread + cuff + 0.02, length - 0.06))
    fly = (line((0, rise), (0, 0.05)), curve((0.05, 0.06), (0.05, 0.2), (0.0, 0.28)))
    loops = tuple(line((k * waist, 0.0), (k * waist, 0.07)) for k in (-0.6, 0.6))
    waistband = box(-waist - 0.005, 0.0, waist + 0.005, 0.07, 0.015)
    return [
        Part((leg,), seams=(pocket, hem), folds=(ironed,)),
        Part(
            (flipped(leg),), seams=(flipped(pocket), flipped(hem), *fly), folds=(flipped(ironed),)
        ),
        Part((waistband,), "trim", 0.012, seams=loops),
        Part((ellipse(0, 0.036, 0.014, 0.014),), "metal", 0.006),
    ]


def _sneaker(rng: np.random.Generator) -> list[Part]:
    # The heel is on the left, the toe on the right; the upper meets the sole at y = 0.
    high, sole = rng.uniform(1.1, 1.4), rng.uniform(0.08, 0.12)
    heel = curve((-0.50, 0), (-0.515, -0.18), (-0.485, -0.35))
    collar = curve((-0.485, -0.35), (-0.44, -0.375), (-0.38, -0.31), (-0.24, -0.27), (-0.08, -0.36))
    instep = curve((-0.08, -0.36), (0.06, -0.27), (0.2, -0.2), (0.36, -0.165))
    tip = curve((0.36, -0.165), (0.46, -0.13), (0.515, -0.06), (0.52, 0))
    cap = path(tip, curve((0.29, 0), (0.3, -0.08), (0.36, -0.165)))
    counter = path(heel, curve((-0.43, -0.36), (-0.38, -0.16), (-0.33, 0)))
    opening = path(curve((-0.46, -0.35), (-0.3, -0.34), (-0.09, -0.37)), line((-0.2, -0.24)))
    tongue = curve((-0.14, -0.31), (-0.19, -0.43), (-0.12, -0.46), (-0.02, -0.32))
    lower = instep[:17] + np.array([-0.045, 0.09])
    stay = path(instep[:17], lower[::-1])
    laces = tuple(ribbon(line(instep[i], lower[i]), 0.032) for i in range(2, 17, 4))
    quarter = curve((-0.13, -0.25), (-0.1, -0.12), (0.02, -0.06), (0.1, 0))
    upper = [
        Part((opening,), "lining", 0.01),
        Part((tongue,), "trim", 0.015),
        Part((path(heel, collar, instep, tip),), relief=0.045, seams=(quarter,)),
        Part((cap,), "rubber", 0.025),
        Part((counter, stay), "trim", 0.012),
        Part(laces, "cord", 0.006),
    ]
    front = curve((0.54, -0.03), (0.565, 0.03), (0.54, sole), (0.44, sole + 0.01))
    rear = curve((-0.46, sole + 0.01), (-0.54, sole), (-0.55, 0.03), (-0.525, -0.03))
    groove = line((-0.55, 0.6 * sole), (0.56, 0.6 * sole))
    tread = Part((path(front, rear),), "rubber", 0.015, seams=(groove,))
    taller = np.diag([1.0, high])
    return either_way([*(part.moved(taller) for part in upper), tread], rng)


def _hat(rng: np.random.Generator) -> list[Part]:
    brim, crown, high = rng.uniform(0.50, 0.60), rng.uniform(0.29, 0.33), rng.uniform(0.46, 0.56)
    dip, low = rng.uniform(0.03, 0.08), rng.uniform(0.14, 0.18)
    top = crown * rng.uniform(0.76, 0.86)
    peak = curve(
        (0, dip - high), (0.5 * top, -0.01 - high), (0.92 * top, 0.06 - high), (crown, 0.02)
    )
    base = curve((crown, 0.02), (0.6 * crown, 0.075), (0, 0.09))
    ribbon_top = curve((0, -0.06), (0.6 * crown, -0.075), (0.985 * crown, -0.13))
    brim_back = curve((0, -0.08), (crown, -0.09), (0.9 * brim, -0.11), (brim, -0.07))
    brim_front = curve((brim, -0.07), (0.9 * brim, 0.04), (0.5 * brim, low - 0.02), (0, low))
    stitches = brim_front * (0.93, 0.86)
    pinch = crease((0, dip - high), (0.01, -0.8 * high), (0, -0.5 * high), width=0.05)
    return [
        Part((mirrored(brim_back, brim_front),), relief=0.02, seams=both(stitches), bow=0.05),
        Part((mirrored(peak, base),), relief=0.06, hollows=(pinch,), bow=0.05),
        Part((mirrored(ribbon_top, base),), ("ink", "lining")[rng.integers(2)], 0.012),
    ]


def _watch(rng: np.random.Generator) -> list[Part]:
    case, strap = rng.uniform(0.27, 0.31), rng.uniform(0.19, 0.22)
    end, long = strap * rng.uniform(0.74, 0.86), rng.uniform(0.56, 0.64)
    face = case - 0.045
    tail = curve((end, long - 0.06), (0.5 * strap, long), (0, long + 0.01))
    band = mirrored(line((0, -long), (end, 0.01 - long), (strap, -0.6 * case), (strap, case)), tail)
    stitches = line(
        (0.8 * end, 0.02 - long), (0.82 * strap, -case), (0.82 * strap, case), (0.8 * end, long)
    )
    holes = tuple(ellipse(0, long - 0.09 - 0.07 * i, 0.013, 0.013) for i in range(3))
    crown = box(case - 0.02, -0.035, case + 0.05, 0.035, 0.015)
    ticks = [_hand(hour / 12, 0.80 * face, 0.94 * face, 0.022) for hour in range(12)]
    hands = [_hand(rng.random(), 0.0, reach * face, 0.03) for reach in (0.5, 0.78)]
    return [
        Part((band,), relief=0.035, seams=both(stitches)),
        Part(holes, "ink", 0.004),
        Part((crown, ellipse(0, 0, case, case)), ("metal", "brass")[rng.integers(2)], 0.02),
        Part((ellipse(0, 0, face, face),), "dial", 0.008),
        Part((*ticks, *hands), "ink", 0.004),
    ]


def _hand(turn: float, inner: float, outer: float, width: float) -> Points:
    direction = np.array([np.sin(2 * np.pi * turn), -np.cos(2 * np.pi * turn)])
    return ribbon(np.stack([inner * direction, outer * direction]), width)


APPAREL: Final[Mapping[str, Callable[[np.random.Generator], list[Part]]]] = MappingProxyType(
    {
        "tee": _tee,
        "dress": _dress,
        "trousers": _trousers,
        "sneaker": _sneaker,
        "hat": _hat,
        "watch": _watch,
    }
)
"""Builder of every product type that is worn."""
