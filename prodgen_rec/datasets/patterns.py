"""Patterns of two colors that products are woven, printed or painted in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]
"""One value per pixel, shape (size, size)."""

PATTERNS: Final = ("solid", "stripes", "dots", "check", "block")
"""Patterns of the products; all but ``solid`` add a second color."""


@dataclass(frozen=True)
class Pattern:
    """A pattern of two colors on one item.

    Parameters
    ----------
    name
        One of :data:`PATTERNS`.
    period
        Distance from one stripe or dot to the next, in fractions of the picture.
    phase
        Where the pattern starts across and down, in periods.
    edge
        Height at which the two colors of a block meet, in fractions of the picture.
    soft
        Width of the edges: one pixel, in fractions of the picture.
    """

    name: str
    period: float
    phase: tuple[float, float]
    edge: float
    soft: float

    @classmethod
    def drawn(cls, name: str, cloth: Plane, rng: np.random.Generator) -> Pattern:
        """Cut out a piece of the pattern for a product that has ``cloth`` to cover."""
        size = len(cloth)
        middle = float(cloth.sum(axis=1) @ np.arange(size) / cloth.sum()) / size
        return cls(
            name,
            period=rng.uniform(0.11, 0.15),
            phase=(rng.random(), rng.random()),
            edge=middle + rng.uniform(0, 0.05),
            soft=1 / size,
        )

    def share(self, x: Plane, y: Plane) -> Plane:
        """Share of the second color, 0 … 1, at coordinates in fractions of the picture."""
        u, v = x / self.period + self.phase[0], y / self.period + self.phase[1]
        if self.name == "stripes":
            return self._inside(0.21 - np.abs(v % 1 - 0.5))
        if self.name == "check":
            across, down = (self._inside(0.2 - np.abs(w % 1 - 0.5)) for w in (u, v))
            return 0.5 * (across + down)
        if self.name == "dots":
            shifted = u + 0.5 * (np.floor(v) % 2)
            return self._inside(0.29 - np.hypot(shifted % 1 - 0.5, v % 1 - 0.5))
        if self.name == "block":
            return self._inside((y - self.edge) / self.period)
        return np.zeros_like(x)

    def _inside(self, distance: Plane) -> Plane:
        """Second color where the distance to its edge, in periods, is positive."""
        return (distance * self.period / self.soft + 0.5).clip(0, 1)
