"""Bootstrap intervals of a mean over users, and of the difference of two paired means.

The unit that is resampled is whatever a row of the values stands for: in this
library always a user, because the values of one user hang together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import ConfigError, InputError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and its percentile bootstrap interval.

    Parameters
    ----------
    value
        Mean of the values.
    low, high
        Ends of the interval.
    n
        How many values were averaged.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Difference(Interval):
    """A mean difference of paired values, its interval and its p-value.

    Parameters
    ----------
    p_value
        Two-sided, of the hypothesis that the mean difference is 0; at least 1 / (n_boot + 1).
    """

    p_value: float

    def __str__(self) -> str:
        return f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}], p = {self.p_value:.4f}"


def mean_interval(
    values: npt.ArrayLike, *, n_boot: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Mean of the values and its percentile bootstrap interval.

    Parameters
    ----------
    values
        Shape (n,), one finite value per user, in an order that does not depend on chance.
    n_boot
        Number of resamples, at least 1.
    level
        Probability mass of the interval, between 0 and 1.
    seed
        Seed of the resampling; the same seed draws the same users, whatever the values.

    Raises
    ------
    InputError
        There are no values, or one is NaN or infinite.
    ConfigError
        ``n_boot`` or ``level`` is out of range.

    Examples
    --------
    >>> interval = mean_interval([1.0, 2.0, 3.0, 4.0])
    >>> interval.value
    2.5
    >>> interval.low < 2.5 < interval.high
    True

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    column = _finite(values, ndim=1)[:, None]
    return mean_intervals(column, n_boot=n_boot, level=level, seed=seed)[0]


def mean_intervals(
    values: npt.ArrayLike, *, n_boot: int = 1000, level: float = 0.95, seed: int = 0
) -> list[Interval]:
    """As `mean_interval`, for each column of ``values``, shape (n, m), on shared resamples.

    Each column gets the interval that it would get alone; drawing once makes it fast.
    """
    values = _finite(values, ndim=2)
    low, high = _percentiles(resampled_means(values, n_boot=n_boot, seed=seed), level)
    means = values.mean(axis=0)
    return [
        Interval(float(means[j]), float(low[j]), float(high[j]), len(values))
        for j in range(values.shape[1])
    ]


def paired_difference(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Mean of ``a - b`` with a percentile bootstrap interval and a two-sided p-value.

    Parameters
    ----------
    a, b
        Shape (n,) each; row i of both belongs to the same user.
    n_boot, level, seed
        As in `mean_interval`.

    Raises
    ------
    InputError
        The shapes differ, there are no values, or one is NaN or infinite.
    ConfigError
        ``n_boot`` or ``level`` is out of range.

    References
    ----------
    The p-value is that of the resampled means shifted to the null hypothesis: Efron and
    Tibshirani (1993), section 16.4, counting the observed sample as one of the resamples.
    """
    a, b = _finite(a, ndim=1), _finite(b, ndim=1)
    if a.shape != b.shape:
        raise InputError(
            f"paired values are {len(a)} and {len(b)}; pass one of each per user, in the same order"
        )
    differences = a - b
    value = float(differences.mean())
    means = resampled_means(differences[:, None], n_boot=n_boot, seed=seed)
    low, high = _percentiles(means, level)
    as_far = int((np.abs(means - value) >= abs(value)).sum())
    return Difference(
        value, float(low[0]), float(high[0]), len(differences), (as_far + 1) / (n_boot + 1)
    )


def resampled_means(values: FloatArray, *, n_boot: int, seed: int) -> FloatArray:
    """Means of ``n_boot`` resamples of the rows of ``values``, shape (n, m).

    Returns
    -------
    ndarray
        Shape (n_boot, m). Memory beyond that is O(n · m), whatever ``n_boot`` is.
    """
    if n_boot < 1:
        raise ConfigError(f"n_boot is {n_boot}; it must be at least 1")
    n = len(values)
    rng = np.random.default_rng(seed)
    columns = np.ascontiguousarray(values.T)
    means = np.empty((n_boot, len(columns)))
    for resample in range(n_boot):
        counts = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
        # einsum, unlike @, sums without BLAS, whose rounding depends on the number of threads.
        means[resample] = np.einsum("n,mn->m", counts, columns)
    return means / n


def _finite(values: npt.ArrayLike, *, ndim: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or array.size == 0:
        raise InputError(
            f"values have shape {array.shape}; expected {ndim} dimension(s), none of them empty"
        )
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise InputError(
            f"{bad} of {array.size} values are NaN or infinite; "
            "drop those users, or give them the value they stand for"
        )
    return array


def _percentiles(means: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; it must be between 0 and 1, for example 0.95")
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high
