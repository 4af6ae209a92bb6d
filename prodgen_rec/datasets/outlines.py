"""Closed outlines in the plane, and the parts of a product made of them.

Points are float64 arrays of shape (n, 2), x to the right and y downwards, in units of the
product itself: whoever draws a product scales it into its frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""Points of an outline or a line, shape (n, 2)."""
Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of a product in one material.

    Parameters
    ----------
    outlines
        Closed outlines; their union is the piece.
    material
        Name of one of the materials of :mod:`prodgen_rec.datasets.palette`.
    relief
        How far the edges are rounded, in fractions of the picture.
    seams
        Thin lines stitched or scored into the piece.
    folds, hollows
        Closed outlines where the surface softly rises or sinks.
    bow
        How far a pattern hangs down in the middle of the piece, in fractions of the picture.
    """

    outlines: tuple[Points, ...]
    material: str = "fabric"
    relief: float = 0.03
    seams: tuple[Points, ...] = ()
    folds: tuple[Points, ...] = ()
    hollows: tuple[Points, ...] = ()
    bow: float = 0.0

    def moved(self, matrix: Points, shift: Points | float = 0.0) -> Part:
        """Put every point p of the part at ``matrix @ p + shift``."""

        def move(lines: tuple[Points, ...]) -> tuple[Points, ...]:
            return tuple(line @ matrix.T + shift for line in lines)

        return replace(
            self,
            outlines=move(self.outlines),
            seams=move(self.seams),
            folds=move(self.folds),
            hollows=move(self.hollows),
        )


def line(*points: Point) -> Points:
    """Straight pieces through the points."""
    return np.array(points, dtype=np.float64)


def curve(*points: Point, steps: int = 8) -> Points:
    """Smooth line through the points (a Catmull-Rom spline), shape (steps·(n-1) + 1, 2)."""
    p = np.array([points[0], *points, points[-1]], dtype=np.float64)
    before, start, end, after = (p[i : len(p) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    # The cubic that passes through start and end with the slopes of their neighbours' chords.
    pieces = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * (start - end) + after - before) * t**3
    )
    return np.concatenate([pieces.reshape(-1, 2), p[-1:]])


def path(*pieces: Points) -> Points:
    """Pieces joined one after another, with corners where they meet."""
    return np.concatenate(pieces)


def flipped(points: Points) -> Points:
    """Mirror image at the vertical axis x = 0."""
    return points * (-1.0, 1.0)


def mirrored(*half: Points) -> Points:
    """Close a symmetric outline, given its right half from top to bottom."""
    right = path(*half)
    return path(right, flipped(right)[::-1])


def both(points: Points) -> tuple[Points, Points]:
    """Pair an outline or line with its mirror image."""
    return points, flipped(points)


def ellipse(x: float, y: float, rx: float, ry: float, turn: Point = (0.0, 1.0)) -> Points:
    """Arc of an ellipse around (x, y), clockwise from the right; ``turn`` in full turns."""
    angle = 2 * np.pi * np.linspace(*turn, 49)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Points:
    """Rectangle with rounded corners."""
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    centers = ((x1 - r, y1 - r), (x0 + r, y1 - r), (x0 + r, y0 + r), (x1 - r, y0 + r))
    corners = (ellipse(x, y, r, r, (i / 4, (i + 1) / 4)) for i, (x, y) in enumerate(centers))
    return path(*corners)


def ribbon(points: Points, width: float | Sequence[float]) -> Points:
    """Outline of a band along a line, ``width`` wide or widening from one width to another."""
    first, last = np.broadcast_to(width, 2)
    return _band(points, np.linspace(first, last, len(points)))


def crease(*points: Point, width: float = 0.035) -> Points:
    """Outline of a fold along a smooth line, pointed at both ends."""
    middle = curve(*points)
    return _band(middle, width * np.sin(np.linspace(0, np.pi, len(middle))))


def _band(points: Points, widths: npt.NDArray[np.float64]) -> Points:
    along = np.gradient(points, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    offset = normal / np.linalg.norm(normal, axis=1, keepdims=True) * widths[:, None] / 2
    return path(points + offset, (points - offset)[::-1])


def either_way(parts: list[Part], rng: np.random.Generator) -> list[Part]:
    """Turn the product to the left or to the right."""
    facing = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    return [part.moved(facing) for part in parts]
