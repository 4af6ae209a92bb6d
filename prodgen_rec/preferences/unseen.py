"""Vectors of items that nobody has taken, from what is known of them.

Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations" (ICDM
2010): a regression of learned vectors on features. Here it is ridge regression, in which an item
counts by how many users have placed its vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from prodgen_rec.preferences.liked import in_typical_pairs
from prodgen_rec.preferences.parallel import one_blas_thread

_TOLERANCE = 1e-5
"""Of the conjugate gradients, relative to the right-hand side."""


def unseen_items(evidence: csr_array, features: csr_array) -> npt.NDArray[np.bool_]:
    """Items with features, and nothing else that could give them a vector: shape (n_items,)."""
    described = np.bincount(features.indices, minlength=features.shape[1]) > 0
    unseen: npt.NDArray[np.bool_] = described & (_n_takers(evidence) == 0)
    return unseen


def vectors_by_features(
    vectors: npt.NDArray[np.floating[Any]],
    evidence: csr_array,
    features: csr_array,
    unseen: npt.NDArray[np.bool_],
    regularization: float,
) -> npt.NDArray[np.float32]:
    """What features make of items, shape (number of unseen ones, d).

    Minimizes over one vector b of each feature, with φ² the evidence that an item has it, in units
    of a typical pair's, and n the users with net evidence for or against the item,

        sum over all other items i of  n_i ‖y_i - sum_f φ_if b_f‖²  +  λ sum ‖b_f‖²

    and returns the sum over f of φ_jf b_f for every unseen item j. So a feature of little evidence
    has little say, and items without any feature in common with those that were taken get zero.

    Parameters
    ----------
    vectors
        y, shape (n_items, d); the rows of unseen items are not looked at.
    evidence
        Net evidence of users, shape (n_users, n_items), some of it positive.
    features
        Evidence, shape (n_features, n_items), at least 0.
    unseen
        Shape (n_items,).
    regularization
        λ, above 0.
    """
    by_item = in_typical_pairs(features, evidence).sqrt().T.tocsr().astype(np.float64)
    takers = _n_takers(evidence)
    taught = np.flatnonzero(~unseen & (takers > 0) & (np.diff(by_item.indptr) > 0))
    if not len(taught):
        return np.zeros((int(unseen.sum()), vectors.shape[1]), np.float32)
    ridge = Ridge(regularization, fit_intercept=False, solver="sparse_cg", tol=_TOLERANCE)
    with one_blas_thread():  # sums in one order
        ridge.fit(by_item[taught], vectors[taught].astype(np.float64), takers[taught])
    found = by_item[np.flatnonzero(unseen)] @ np.atleast_2d(ridge.coef_).T
    return np.asarray(found, np.float32)


def _n_takers(evidence: csr_array) -> npt.NDArray[np.int64]:
    return np.bincount(evidence.indices[evidence.data != 0], minlength=evidence.shape[1])
