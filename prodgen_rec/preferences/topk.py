"""Exact top-n of inner products over a whole catalogue.

A float32 matrix product scores a block of users against all items. Its rounding error is
bounded (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1), so
everything that could belong to the true top n is on a short list, which is scored again in
float64, pair by pair. The result is therefore that of sorting float64 scores of every item,
and does not depend on blocks, threads or rounding in the product.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError
from prodgen_rec.preferences.parallel import run_in_threads

_BLOCK_BYTES = 16 << 20
"""Size of one block of float32 scores; small blocks stay in the cache."""
_PAIRS_AT_ONCE = 1 << 15
"""Pairs rescored at a time, to bound memory when very many items tie."""


def top_n(
    user_vectors: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    n: int,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
    excluded: csr_array | None = None,
    n_threads: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Best n items of each user by inner product, best first, ties by item index.

    Parameters
    ----------
    user_vectors
        Shape (n_users, d).
    item_vectors
        Shape (n_items, d).
    n
        Items per user, at least 1.
    allowed
        Shape (n_items,); items that anyone may get, by default all.
    excluded
        Shape (n_users, n_items); what is stored is not for that user, whatever the value.
    n_threads
        Threads to use, by default one per CPU.

    Returns
    -------
    index
        Shape (n_users, n), item indices.
    score
        Shape (n_users, n), float64 inner products, descending along each row.

    Raises
    ------
    InputError
        Fewer than n items are left for some user, or n is below 1.
    """
    columns = np.arange(len(item_vectors)) if allowed is None else np.flatnonzero(allowed)
    if not 1 <= n <= len(columns):
        raise InputError(f"n = {n}: expected 1 to {len(columns)}, the number of items allowed")
    items = item_vectors[columns]
    if excluded is not None and len(columns) < len(item_vectors):
        excluded = excluded[:, columns]
    index = np.empty((len(user_vectors), n), np.int64)
    score = np.empty((len(user_vectors), n), np.float64)
    size = max(1, _BLOCK_BYTES // (4 * len(columns)))
    longest = _lengths(items).max()

    def task(start: int) -> None:
        rows = slice(start, start + size)
        users = user_vectors[rows]
        scores = _block_scores(users, items, None if excluded is None else excluded[rows])
        slack = _rounding(users.shape[1], _lengths(users) * longest)
        row, item = _short_list(scores, n, slack, start)
        best, score[rows] = _best_of_short_list(users, items, row, item, n)
        index[rows] = columns[best]

    run_in_threads(task, range(0, len(user_vectors), size), n_threads)
    return index, score


def _block_scores(
    users: npt.NDArray[np.float32], items: npt.NDArray[np.float32], excluded: csr_array | None
) -> npt.NDArray[np.float32]:
    """Float32 scores, shape (b, n_items), -inf where excluded."""
    scores: npt.NDArray[np.float32] = users @ items.T
    # Every item ties at 0 for a zero vector: the lowest indices win, without a long short list.
    scores[~users.any(axis=1)] = -np.arange(len(items), dtype=np.float32)
    if excluded is not None:
        rows = np.repeat(np.arange(len(users)), np.diff(excluded.indptr))
        scores[rows, excluded.indices] = -np.inf
    return scores


def _short_list(
    scores: npt.NDArray[np.float32], n: int, slack: npt.NDArray[np.float64], first_row: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row and item of every pair that may be in the top n, ordered by row, then item."""
    n_groups = 8 * max(n, 64)
    nth = _nth_largest(_group_maxima(scores, n_groups), n)
    if not np.isfinite(nth).all():  # too many of some user's items are excluded
        nth = _nth_largest(scores, n)
    if not np.isfinite(nth).all():
        row = first_row + int(np.argmin(np.isfinite(nth)))
        raise InputError(f"user vector {row}: fewer than {n} items are left, or it is not finite")
    least = np.nextafter((nth - slack).astype(np.float32), np.float32(-np.inf))
    chosen = np.flatnonzero(scores >= least[:, None])  # many times faster than nonzero
    return np.divmod(chosen, scores.shape[1])


def _group_maxima(scores: npt.NDArray[np.float32], n_groups: int) -> npt.NDArray[np.float32]:
    """Largest score of each of some disjoint groups of items, shape (b, n_groups).

    Their n-th largest is at most that of all scores, mostly equal to it, and found in a
    fraction of the time. Scores of few items come back as they are.
    """
    n_users, n_items = scores.shape
    depth = n_items // n_groups
    if depth < 2:
        return scores
    groups = scores[:, : depth * n_groups].reshape(n_users, depth, n_groups)
    maxima: npt.NDArray[np.float32] = groups.max(axis=1)
    return maxima


def _nth_largest(scores: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.float64]:
    """Of each row, shape (b,)."""
    place = scores.shape[1] - n
    return np.partition(scores, place, axis=1)[:, place].astype(np.float64)


def _best_of_short_list(
    users: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    row: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    n: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Item positions and float64 scores, shapes (b, n)."""
    exact = _scores_of_pairs(users, items, row, item)
    order = np.lexsort((item, -exact, row))
    first = np.searchsorted(row, np.arange(len(users)))
    best = order[first[:, None] + np.arange(n)]
    return item[best], exact[best]


def _lengths(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    lengths: npt.NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return lengths


def _rounding(n_factors: int, products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far below the n-th float32 score a true top-n item's can lie, shape (b,).

    Twice the error bound d·u/(1 - d·u) ‖x‖ ‖y‖ of an inner product in float32, in whatever
    order it is summed, and twice d times the smallest normal number for underflow.
    """
    relative = (n_factors + 2) * float(np.finfo(np.float32).eps) / 2
    underflow = n_factors * float(np.finfo(np.float32).tiny)
    return 2 * (relative / (1 - relative) * products + underflow)


def _scores_of_pairs(
    users: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    row: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Float64 inner product of each pair by itself, shape (len(row),)."""
    exact = np.empty(len(row), np.float64)
    for start in range(0, len(row), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        left = users[row[part]].astype(np.float64)
        exact[part] = np.vecdot(left, items[item[part]].astype(np.float64))
    return exact
