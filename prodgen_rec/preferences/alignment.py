"""Alignment: the vectors of a new fit, turned to where those of an old one are.

A factorization is determined up to a rotation: scores are inner products, which no rotation
changes, so that two fits of one log may agree in every list and in no vector. What was
trained on the vectors of one fit, as an image model was, can read those of another once
they are turned back.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import orthogonal_procrustes

from prodgen_rec.errors import InputError
from prodgen_rec.ids import IdMap
from prodgen_rec.preferences.parallel import one_blas_thread
from prodgen_rec.preferences.vectors import VectorRecommender

AnyVectors = TypeVar("AnyVectors", bound=VectorRecommender)

_ROUNDING = 1e-3
"""Of a user's vector, as a share of the longest: far above that of a solve in float64."""


def align(recommender: AnyVectors, reference: VectorRecommender) -> AnyVectors:
    """The same recommender, its vectors as near to those of a reference as a rotation brings them.

    Orthogonal Procrustes (Schönemann, Psychometrika 1966): of all rotations and reflections Q, the
    one that minimizes the sum of ‖y_i Q - z_i‖² over the items i of both fits, y being the vectors
    of the recommender and z those of the reference. Long vectors, of items that many took, weigh
    more by themselves. Users are folded in again on the turned items. Scores stay as they are, up
    to rounding in float32, and so does whatever else was learned.

    Parameters
    ----------
    recommender
        Fitted; it is left as it is.
    reference
        Fitted, its vectors of the same dimension d, and d or more items in common.

    Returns
    -------
    A new recommender, which folds in, saves and loads as the old one does.

    Raises
    ------
    NotFittedError
        One of them has not been fitted.
    InputError
        One of them has no vectors, the dimensions differ, too few items are in both, or the
        recommender's users do not turn when its items do.
    """
    for each in (recommender, reference):
        _check_has_vectors(each)
    rotation = _rotation(recommender, reference)
    aligned = copy.copy(recommender)
    aligned.item_vectors_ = _turned(recommender.item_vectors_, rotation)
    aligned.user_vectors_ = aligned.fold_in(recommender.interactions_)
    _check_users(aligned, _turned(recommender.user_vectors_, rotation))
    return aligned


def in_both(
    ours: tuple[IdMap, npt.NDArray[np.float32]], theirs: tuple[IdMap, npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Vectors of what has one in both fits, that is not zero.

    Parameters
    ----------
    ours, theirs
        Ids, and float32 vectors (n_ids, d).

    Returns
    -------
    float64 (n, d) of each, rows of the same id together.
    """
    place = theirs[0].find(ours[0].arrow)
    one, other = ours[1][place >= 0], theirs[1][place[place >= 0]]
    known = one.any(axis=1) & other.any(axis=1)
    return one[known].astype(np.float64), other[known].astype(np.float64)


def _check_has_vectors(recommender: object) -> None:
    if not isinstance(recommender, VectorRecommender):
        raise InputError(
            f"{type(recommender).__name__} has no vectors to align; expected a VectorRecommender, "
            "such as ALS or GraphFilter"
        )


def _rotation(
    recommender: VectorRecommender, reference: VectorRecommender
) -> npt.NDArray[np.float64]:
    """Q, shape (d, d)."""
    items, wanted_items = recommender.items_, reference.items_  # refuse what is not fitted
    d, wanted = recommender.item_vectors_.shape[1], reference.item_vectors_.shape[1]
    if d != wanted:
        raise InputError(
            f"vectors of {d} numbers cannot be turned to vectors of {wanted}; "
            f"fit with the dimension of the reference, {wanted}"
        )
    ours, theirs = in_both(
        (items, recommender.item_vectors_), (wanted_items, reference.item_vectors_)
    )
    if len(ours) < d:
        raise InputError(
            f"{len(ours)} items have vectors in both fits, of {len(items)} and "
            f"{len(wanted_items)}; a rotation in {d} dimensions needs at least {d}"
        )
    with one_blas_thread():  # sums in one order
        rotation, _ = orthogonal_procrustes(ours, theirs)
    return np.asarray(rotation)


def _turned(
    vectors: npt.NDArray[np.float32], rotation: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    with one_blas_thread():
        return (vectors @ rotation).astype(np.float32)


def _check_users(aligned: VectorRecommender, expected: npt.NDArray[np.float32]) -> None:
    if not expected.size:
        return
    furthest = float(np.abs(aligned.user_vectors_ - expected).max())
    longest = float(np.linalg.norm(expected, axis=1).max())
    if furthest > _ROUNDING * longest:
        raise InputError(
            f"users of {type(aligned).__name__} do not turn when items do: one is off by "
            f"{furthest:.2g} at a greatest length of {longest:.2g}, so that scores would change; "
            "it cannot be aligned"
        )
