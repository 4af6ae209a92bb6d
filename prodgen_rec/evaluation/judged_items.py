"""The photos of a catalogue as a judge sees them, and the directions that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError
from prodgen_rec.ids import IdArray, IdMap

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_BLOCK = 4096
"""Rows that are worked on at a time; bounds the memory beside inputs and results."""
_GRID = 2.0**-24
"""Directions are rounded to multiples of this. Sums of them, and of products of two, are then
exact in float64: they do not depend on the order of the rows or the threads of a product."""


@dataclass(frozen=True, eq=False)
class JudgedItems:
    """Real items as a judge sees their photos.

    Parameters
    ----------
    item_ids
        Distinct raw ids, shape (n_items,).
    features
        Float, shape (n_items, d), finite.
    judge
        Name of the judge; figures carry it.
    """

    item_ids: IdArray
    features: Floats
    judge: str

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) != len(self.items) or not len(self.items):
            raise InputError(
                f"features have shape {self.features.shape}, expected (n_items, d) with the "
                f"{len(self.items)} distinct item ids; pass one row per item"
            )
        check_finite(self.features, "items")

    @cached_property
    def items(self) -> IdMap:
        """Ids in the order of `directions`."""
        return IdMap.of(self.item_ids, "item")

    @cached_property
    def directions(self) -> Floats:
        """Directions of the items, float32 (n_items, d), in the order of `items`."""
        return self.directions_of(self._sorted)

    def directions_of(self, features: Floats) -> Floats:
        """Standardize features (n, d) over these items, and scale each row to length 1."""
        if features.ndim != 2 or features.shape[1] != self.features.shape[1]:
            raise InputError(
                f"features have shape {features.shape}, expected (n, {self.features.shape[1]}) as "
                f"those of the items; compute both with the same judge, here {self.judge}"
            )
        mean, scale = self._statistics
        result = np.empty(features.shape, np.float32)
        for start in range(0, len(features), _BLOCK):
            rows = slice(start, start + _BLOCK)
            result[rows] = unit((features[rows] - mean) / scale)
        return result

    @cached_property
    def _sorted(self) -> Floats:
        rows = np.empty(len(self.items), np.int64)
        rows[self.items.find(self.item_ids)] = np.arange(len(rows))
        return self.features[rows]

    @cached_property
    def _statistics(self) -> tuple[Doubles, Doubles]:
        """Mean and scale of each feature, shape (d,).

        The scale is the standard deviation, with a hundredth of the mean variance added to the
        variance: a feature that hardly any product has must not decide when a picture has it.
        """
        mean = self._sorted.mean(axis=0, dtype=np.float64)
        variance = self._sorted.var(axis=0, dtype=np.float64)
        if not variance.any():
            raise InputError(
                f"all {len(self.items)} items look the same to {self.judge}; nothing can be "
                "compared with them: check that the photos were read"
            )
        return mean, np.sqrt(variance + variance.mean() / 100)


def unit(rows: npt.NDArray[np.floating[Any]]) -> Floats:
    """Rows scaled to length 1 and rounded to the grid; a row of zeros stays as it is."""
    lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
    scaled = rows / np.maximum(lengths, np.finfo(np.float64).tiny)
    return np.asarray(np.rint(scaled / _GRID) * _GRID, dtype=np.float32)


def check_finite(features: Floats, what: str) -> None:
    """Refuse features (n, d) that hold NaN or infinity."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=-1))
    if len(bad):
        raise InputError(
            f"features of {len(bad)} of {len(features)} {what} are NaN or infinite, "
            f"the first in row {bad[0]}"
        )
