"""Ridge regression whose penalty is chosen by its data. This module needs no TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits

Floats = npt.NDArray[np.float32]

_PENALTIES = np.logspace(-1, 6, 15)
"""To choose from, for inputs of unit variance."""
_MOST_ROWS = 50_000
"""Of which the map is learned; more would cost much and tell little."""


def ridge(
    inputs: npt.NDArray[np.floating],
    targets: npt.NDArray[np.floating],
    weights: npt.NDArray[np.float64] | None = None,
    *,
    intercept: bool = True,
) -> tuple[Floats, Floats]:
    """Linear map from inputs to targets, of the penalty with the least leave-one-out error.

    Parameters
    ----------
    inputs
        (n, d), about standardized.
    targets
        (n, k).
    weights
        float64 (n,) of the rows; scaled to a mean of 1.
    intercept
        Whether the map has an offset.

    Returns
    -------
    The map float32 (d, k) and its offset float32 (k,).
    """
    rows = np.arange(len(inputs))
    if len(rows) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MOST_ROWS, replace=False))
    share = None if weights is None else weights[rows] / weights[rows].mean()
    fitted: Any = RidgeCV(_PENALTIES, fit_intercept=intercept)
    with threadpool_limits(1, user_api="blas"):  # sums in one order
        fitted.fit(np.asarray(inputs[rows], np.float64), targets[rows], sample_weight=share)
    offset = np.broadcast_to(fitted.intercept_, targets.shape[1])
    return np.asarray(fitted.coef_.T, np.float32), np.asarray(offset, np.float32)
