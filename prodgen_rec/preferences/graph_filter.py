"""Vectors in closed form: the smooth part of what users took, on the graph of who took what."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array
from sklearn.utils.extmath import randomized_svd

from prodgen_rec.errors import ConfigError
from prodgen_rec.preferences.checks import check_whole_numbers
from prodgen_rec.preferences.liked import liked_rows
from prodgen_rec.preferences.linear import LinearRecommender
from prodgen_rec.preferences.parallel import one_blas_thread
from prodgen_rec.preferences.space import Range, Space
from prodgen_rec.preferences.vectors import Vectors

_OVERSAMPLES, _ITERATIONS = 64, 4
"""Of the randomized decomposition: Halko, Martinsson & Tropp, SIAM Review 2011."""


@dataclass(eq=False)
class GraphFilter(LinearRecommender):
    """A low-pass filter on the graph of users and items.

    After Shen et al., "How powerful is graph convolution for recommendation?" (CIKM 2021): with
    R = D_U^(-1/2) X D_I^(-1/2), X what users took and D the degrees, a history r is scored by

        r D_I^(-1/2) · f(RᵀR) · D_I^(1/2),    f(λ) = λ^smoothing on the largest eigenvalues,

    and 0 on the others. 0 is the ideal low-pass filter and 1 the linear one of that paper; a root
    between them is better than both. Nothing is trained but a truncated singular value
    decomposition: the vector of a user is linear in the history, whose net evidence counts as
    far as it is positive or not.

    Parameters
    ----------
    factors
        Eigenvectors that are kept, at most so many as there are items: dimension d of the vectors.
    smoothing
        At least 0.
    seed
        Of the decomposition, at least 0.

    Raises
    ------
    ConfigError
        A hyper-parameter is out of range.
    """

    factors: int = 512
    smoothing: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole_numbers(self, factors=1, seed=0)
        if not 0 <= self.smoothing < math.inf:
            raise ConfigError(f"smoothing = {self.smoothing!r}: expected at least 0")

    @classmethod
    def search_space(cls, evidence: csr_array) -> Space:
        """Up to all eigenvectors of a small shop."""
        most = min(1024, *evidence.shape)
        return {
            "factors": Range(min(16, most), most),
            "smoothing": Range(0.0, 1.0, log=False),
        }

    def _learn_items(self, evidence: csr_array, features: csr_array) -> Vectors:
        rows = liked_rows(evidence, features)
        of_rows, self.degrees_ = (rows.sum(axis=axis, dtype=np.float64) for axis in (1, 0))
        roots = np.sqrt(self.degrees_)
        scaled = diags_array(_inverse(np.sqrt(of_rows))) @ rows @ diags_array(_inverse(roots))
        n_factors = min(self.factors, *rows.shape)
        with one_blas_thread():  # sums in one order
            _, sizes, vectors = randomized_svd(
                scaled.astype(np.float32).tocsr(),
                n_factors,
                n_oversamples=_OVERSAMPLES,
                n_iter=_ITERATIONS,
                random_state=self.seed,
            )
        filtered = vectors * sizes[:, None] ** self.smoothing
        return np.ascontiguousarray(filtered.T * roots[:, None], np.float32)

    def _by_item(self, items: slice | npt.NDArray[np.integer[Any]]) -> Vectors:
        # An item vector holds the root of its degree; by the degree, that becomes its inverse.
        each = self.item_vectors_[items] * _inverse(self.degrees_[items])[:, None]
        return np.asarray(each, np.float32)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return super()._arrays() | {"degrees": self.degrees_}

    def _set_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._set_arrays(arrays)
        self.degrees_ = arrays["degrees"]


def _inverse(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
