"""What an image model is conditioned on.

A condition is a whitened preference vector with one more entry that says whether a
preference is known at all. The zero vector, which is what folding in an empty
history gives, means "no preference". This module needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError

Vectors = npt.NDArray[np.float32]


def finite_rows(rows: npt.NDArray[Any], width: int, what: str) -> Vectors:
    """Rows as float32 (n, width).

    Parameters
    ----------
    rows
        Real numbers, (n, width).
    width
        The expected number of columns.
    what
        Name of the rows in error messages, in the plural.

    Raises
    ------
    InputError
        The shape is another one, or a number is NaN or infinite; names the row.
    """
    rows = np.asarray(rows, np.float32)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise InputError(f"{what} must have shape (n, {width}), got {rows.shape}")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise InputError(
            f"{what}: {len(bad)} of {len(rows)} rows hold NaN or infinity, the first is row "
            f"{bad[0]}; drop or repair them"
        )
    return rows


@dataclass(frozen=True, eq=False)
class Whitening:
    """The affine map that gives vectors zero mean and unit covariance.

    Attributes
    ----------
    mean
        float32 (d,).
    matrix
        float32 (d, d), symmetric (ZCA: of all whitenings it moves vectors least).
    """

    mean: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float32]

    @property
    def size(self) -> int:
        """Dimension d of the vectors; conditions have one number more."""
        return len(self.mean)

    @classmethod
    def identity(cls, size: int) -> Whitening:
        """The map that changes nothing."""
        return cls(np.zeros(size, np.float32), np.eye(size, dtype=np.float32))

    @classmethod
    def fit(cls, vectors: Vectors, weights: npt.NDArray[np.float64]) -> Whitening:
        """Statistics of weighted vectors, float32 (n, d).

        Directions with less than a thousandth of the mean variance are not blown up
        further than that, so a constant direction stays constant; neither is what varies by
        less than a thousandth of its own size, which is rounding where all vectors are equal.
        """
        share = weights / weights.sum()
        mean = share @ vectors.astype(np.float64)
        centred = vectors - mean
        covariance = (centred * share[:, None]).T @ centred
        variances, directions = np.linalg.eigh(covariance)
        floor = max(1e-3 * variances.mean(), 1e-6 * np.square(mean).mean()) or 1.0
        scale = 1.0 / np.sqrt(np.maximum(variances, floor))
        matrix = (directions * scale) @ directions.T
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    def conditions(self, vectors: Vectors) -> Vectors:
        """Conditions float32 (n, d + 1) of preference vectors (n, d).

        The last entry is 1 where a preference is known; a zero vector gives a row of zeros.
        """
        known = vectors.any(axis=1, keepdims=True)
        # One product per row: BLAS may round a row of a larger product by where it stands there.
        whitened = ((vectors - self.mean)[:, None] @ self.matrix)[:, 0]
        return np.concatenate([whitened * known, known], axis=1, dtype=np.float32)
