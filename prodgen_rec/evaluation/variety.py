"""What lists are worth beside their hits: novel, surprising, varied, fair to the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.columns import ITEM_ID, RANK, USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.bootstrap import FloatArray, Interval, mean_intervals
from prodgen_rec.ids import as_id_array
from prodgen_rec.interactions import Interactions

_SMOOTHING = 0.01
"""Share of the history in what a list is compared with, so that no value is impossible there."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Variety:
    """Figures of lists cut at k.

    Attributes
    ----------
    per_user
        float64, one row per user with a list, by ``user_id``: ``novelty``, and what was asked for
        of ``serendipity``, ``diversity`` and ``calibration``; see `evaluate_variety`.
    intervals
        Means over users and their 95 % intervals.
    coverage, gini
        Of all lists together.
    """

    per_user: pd.DataFrame
    intervals: Mapping[str, Interval]
    coverage: float
    gini: float


def evaluate_variety(
    recommendations: pd.DataFrame,
    history: Interactions,
    *,
    k: int,
    holdout: pd.DataFrame | None = None,
    vectors: npt.NDArray[np.float32] | None = None,
    categories: pd.Series | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> Variety:
    """Judge recommended lists by more than accuracy.

    ============  ================================================================================
    coverage      distinct items in the lists / items of the catalogue
    gini          inequality of how often items are listed, 0 (all alike) to 1 (one item alone)
    novelty       mean of -log2 of the share of users who took an item, one more than there are
    serendipity   share of the list that is held out, and not among the k most popular items
    diversity     mean of 1 - cosine over the pairs of a list (intra-list diversity)
    calibration   Kullback-Leibler divergence, in nats, of the categories of the list from those of
                  the user's history, 0 if they are alike
    ============  ================================================================================

    Parameters
    ----------
    recommendations
        Columns ``user_id, rank, item_id``; rank 1 is best.
    history
        What users took before; its items are the catalogue.
    k
        Where lists are cut, at least 1; 2 for diversity.
    holdout
        Columns ``user_id, item_id``, for serendipity.
    vectors
        float32 (n_items, d), in the order of ``history.items``, for diversity.
    categories
        Category of each item, by item id, for calibration; users whose history or list has none
        count as 0.
    n_boot, seed
        Resamples of the users for the intervals, and their seed.

    Raises
    ------
    InputError
        A list holds an item that is not of the catalogue, or is shorter than k.

    References
    ----------
    Castells, Hurley and Vargas, Novelty and diversity in recommender systems (2015). Ge,
    Delgado-Battenfeld and Jannach, Beyond accuracy (RecSys 2010), for serendipity. Steck,
    Calibrated recommendations (RecSys 2018).
    """
    users, items = _lists(recommendations, history, k)
    counts = np.bincount(history.matrix.indices[history.matrix.data > 0], minlength=history.n_items)
    information = -np.log2((counts + 1) / (history.n_users + 1))
    figures: dict[str, FloatArray] = {"novelty": information[items].mean(axis=1)}
    if holdout is not None:
        figures["serendipity"] = _serendipity(users, items, history, counts, holdout)
    if vectors is not None:
        figures["diversity"] = _diversity(vectors[items].astype(np.float64))
    if categories is not None:
        figures["calibration"] = _calibration(users, items, history, categories)
    per_user = pd.DataFrame(figures, index=pd.Index(users, name=USER_ID))
    intervals = mean_intervals(per_user.to_numpy(), n_boot=n_boot, seed=seed)
    listed = np.bincount(items.ravel(), minlength=history.n_items)
    return Variety(
        per_user,
        dict(zip(per_user.columns, intervals, strict=True)),
        coverage=float((listed > 0).mean()),
        gini=_gini(listed),
    )


def _lists(
    recommendations: pd.DataFrame, history: Interactions, k: int
) -> tuple[npt.NDArray[np.object_], Rows]:
    """Users, and the places (n_users, k) of their first k items in the catalogue."""
    cut = recommendations[recommendations[RANK] <= k].sort_values([USER_ID, RANK])
    lengths = cut.groupby(USER_ID).size()
    if not len(lengths) or (lengths < k).any():
        first = lengths.index.tolist()[int(lengths.argmin())] if len(lengths) else None
        short = f"that of user {first!r} has {lengths.min()}" if len(lengths) else "none came"
        raise InputError(f"lists of {k} items were expected, but {short}; recommend more, or cut k")
    items = history.items.find(as_id_array(cut[ITEM_ID].to_numpy()))
    if (items < 0).any():
        unknown = cut[ITEM_ID].to_numpy()[items < 0][0]
        raise InputError(f"the lists hold {unknown!r}, which is none of {history.n_items} items")
    return lengths.index.to_numpy(), items.reshape(-1, k)


def _serendipity(
    users: npt.NDArray[np.object_],
    items: Rows,
    history: Interactions,
    counts: Rows,
    holdout: pd.DataFrame,
) -> FloatArray:
    popular = np.argsort(-counts, kind="stable")[: items.shape[1]]
    place = pd.Index(users).get_indexer(pd.Index(holdout[USER_ID]))
    item = history.items.find(as_id_array(holdout[ITEM_ID].to_numpy()))
    known = (place >= 0) & (item >= 0)
    taken = np.unique(place[known] * history.n_items + item[known])
    keys = np.arange(len(users))[:, None] * history.n_items + items
    surprising = np.isin(keys, taken) & ~np.isin(items, popular)
    return np.asarray(surprising.mean(axis=1), np.float64)


def _diversity(listed: npt.NDArray[np.float64]) -> FloatArray:
    """Of vectors (n_users, k, d); a vector of zeros is like no other."""
    lengths = np.linalg.norm(listed, axis=2, keepdims=True)
    units = listed / np.where(lengths > 0, lengths, 1.0)
    k = listed.shape[1]
    together = np.square(np.linalg.norm(units.sum(axis=1), axis=1))
    own = np.square(np.linalg.norm(units, axis=2)).sum(axis=1)
    return np.asarray(1.0 - (together - own) / max(1, k * (k - 1)), np.float64)


def _calibration(
    users: npt.NDArray[np.object_], items: Rows, history: Interactions, categories: pd.Series
) -> FloatArray:
    codes, values = pd.factorize(categories.reindex(history.items.ids))
    rows = history.users.index(as_id_array(users), "user")
    taken = history.matrix[rows]
    taken_rows = np.repeat(np.arange(len(users)), np.diff(taken.indptr))
    liked = taken.data > 0
    before = _shares(taken_rows[liked], codes[taken.indices[liked]], len(users), len(values))
    listed_rows = np.repeat(np.arange(len(users)), items.shape[1])
    listed = _shares(listed_rows, codes[items.ravel()], len(users), len(values))
    mixed = (1 - _SMOOTHING) * listed + _SMOOTHING * before
    ratio = np.divide(before, mixed, out=np.ones_like(before), where=before > 0)
    known = before.any(axis=1) & listed.any(axis=1)
    return np.where(known, (before * np.log(ratio)).sum(axis=1), 0.0)


def _shares(rows: Rows, codes: Rows, n_users: int, n_values: int) -> FloatArray:
    """Share of each category, (n_users, n_values); rows of zeros where none is known."""
    known = codes >= 0
    keys = rows[known] * n_values + codes[known]
    counts = np.bincount(keys, minlength=n_users * n_values).reshape(n_users, n_values)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.float64)


def _gini(listed: Rows) -> float:
    ordered = np.sort(listed).astype(np.float64)
    n = len(ordered)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ ordered / (n * ordered.sum()))
