"""What a refit does to vectors and lists, beside those of the fit before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.columns import ITEM_ID
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.bootstrap import FloatArray, Interval, mean_interval
from prodgen_rec.ids import IdMap
from prodgen_rec.preferences import VectorRecommender, align
from prodgen_rec.preferences.alignment import in_both

_QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75}


@dataclass(frozen=True, eq=False)
class Drift:
    """How far the vectors and lists of two fits are apart.

    Attributes
    ----------
    vectors
        float64, rows ``("items", "before")``, ``("items", "aligned")`` and the same of users: ``n``
        that have a vector in both fits; of the cosines of their two vectors ``mean``, ``q05``,
        ``q25``, ``q50`` and ``q75``; ``residual``, the Frobenius norm of the difference by
        that of the reference.
    overlap
        Mean share of a user's list that is in the user's list of the reference as well, over the
        users of both fits, and its 95 % interval. No rotation changes it.
    """

    vectors: pd.DataFrame
    overlap: Interval


def evaluate_drift(
    recommender: VectorRecommender,
    reference: VectorRecommender,
    *,
    k: int = 20,
    n_boot: int = 1000,
    seed: int = 0,
) -> Drift:
    """Compare a fit with the one before it, as it is and aligned.

    Parameters
    ----------
    recommender, reference
        Fitted, of one dimension; see `prodgen_rec.preferences.align`.
    k
        Items of a list. Everyone's own history is left out of it, that of either fit.
    n_boot, seed
        Resamples of the users for the interval, and their seed.

    Raises
    ------
    InputError
        They cannot be aligned, no user has a vector in both, or a list cannot have k items.
    """
    fits = {"before": recommender, "aligned": align(recommender, reference)}
    rows = {
        (what, when): _nearness(what, fit, reference)
        for what in ("items", "users")
        for when, fit in fits.items()
    }
    vectors = pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows))
    shares = _shares_in_common(recommender, reference, k)
    return Drift(vectors, mean_interval(shares, n_boot=n_boot, seed=seed))


def _nearness(what: str, fit: VectorRecommender, reference: VectorRecommender) -> dict[str, float]:
    ours, theirs = in_both(_of(what, fit), _of(what, reference))
    if not len(ours):
        raise InputError(
            f"no {what} have vectors in both fits, of {len(_of(what, fit)[0])} and "
            f"{len(_of(what, reference)[0])}; compare fits of one shop"
        )
    cosines = np.vecdot(_units(ours), _units(theirs))
    return {
        "n": float(len(ours)),
        "mean": float(cosines.mean()),
        **{name: float(np.quantile(cosines, q)) for name, q in _QUANTILES.items()},
        "residual": float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)),
    }


def _of(what: str, fit: VectorRecommender) -> tuple[IdMap, npt.NDArray[np.float32]]:
    """Ids and vectors of a fit, of items or users."""
    if what == "items":
        return fit.items_, fit.item_vectors_
    return fit.users_, fit.user_vectors_


def _units(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _shares_in_common(
    recommender: VectorRecommender, reference: VectorRecommender, k: int
) -> FloatArray:
    """Share of each common user's list that both fits have, shape (n,)."""
    users = reference.users_.arrow.filter(recommender.users_.find(reference.users_.arrow) >= 0)

    def pairs(fit: VectorRecommender) -> npt.NDArray[np.int64]:
        """A number for each user and item of the reference, negative for other items."""
        item = reference.items_.find(fit.recommend(users, k)[ITEM_ID])
        place = np.repeat(np.arange(len(users)), k)
        return np.where(item >= 0, place * len(reference.items_) + item, -1)

    in_common = np.isin(pairs(recommender), pairs(reference)).reshape(-1, k)
    return np.asarray(in_common.mean(axis=1))
