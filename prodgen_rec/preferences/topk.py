"""Exact top-n over a whole catalogue, of inner products or of weights between items.

A float32 matrix product scores a block of users against all items. Its rounding error is
bounded (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1), so
everything that could belong to the true top n is on a short list, which is scored again in
float64, pair by pair. The result is therefore that of sorting float64 scores of every item,
and does not depend on blocks, threads or rounding in the product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from prodgen_rec.errors import InputError
from prodgen_rec.preferences.parallel import run_in_threads

Indices = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

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
    columns = _checked_columns(len(item_vectors), n, allowed)
    items = item_vectors[columns]
    longest = _lengths(items).max()

    def block(rows: slice, excluded: csr_array | None) -> tuple[Indices, Scores]:
        users = user_vectors[rows]
        scores = _block_scores(users, items, excluded)
        slack = _rounding(users.shape[1], _lengths(users) * longest)
        row, item = _short_list(scores, n, slack, rows.start)
        return _first_n(row, item, _scores_of_pairs(users, items, row, item), len(users), n)

    return _by_blocks(block, len(user_vectors), columns, n, excluded, n_threads)


def top_n_by_weights(
    histories: csr_array,
    weights: npt.NDArray[np.float32] | csr_array,
    n: int,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
    excluded: csr_array | None = None,
    n_threads: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Best n items of each history, scored by ``histories @ weights``, best first, ties by index.

    Scores are float32 sums over a history in the order of its items.

    Parameters
    ----------
    histories
        float32 (n_users, n_items).
    weights
        float32 (n_items, n_items), what an item of a history says for each other item.
    n, allowed, excluded, n_threads
        As in `top_n`.

    Returns
    -------
    index, score
        As from `top_n`.

    Raises
    ------
    InputError
        Fewer than n items are left for some user, or n is below 1.
    """
    columns = _checked_columns(weights.shape[1], n, allowed)
    weights = weights if len(columns) == weights.shape[1] else weights[:, columns]

    def block(rows: slice, excluded: csr_array | None) -> tuple[Indices, Scores]:
        product = histories[rows] @ weights
        exact = product.toarray() if issparse(product) else product
        scores = exact.copy()
        # Every item ties at 0 for an empty history: the lowest indices win, without a long list.
        scores[~scores.any(axis=1)] = -np.arange(len(columns), dtype=np.float32)
        _exclude(scores, excluded)
        row, item = _short_list(scores, n, np.zeros(len(scores)), rows.start)
        best, _ = _first_n(row, item, scores[row, item].astype(np.float64), len(scores), n)
        return best, np.take_along_axis(exact, best, axis=1).astype(np.float64)

    return _by_blocks(block, histories.shape[0], columns, n, excluded, n_threads)


def _checked_columns(n_items: int, n: int, allowed: npt.NDArray[np.bool_] | None) -> Indices:
    """Indices of the items that anyone may get."""
    columns = np.arange(n_items) if allowed is None else np.flatnonzero(allowed)
    if not 1 <= n <= len(columns):
        raise InputError(f"n = {n}: expected 1 to {len(columns)}, the number of items allowed")
    return columns


def _by_blocks(
    block: Callable[[slice, csr_array | None], tuple[Indices, Scores]],
    n_users: int,
    columns: Indices,
    n: int,
    excluded: csr_array | None,
    n_threads: int | None,
) -> tuple[Indices, Scores]:
    """Index and score of the best n, from a function that finds places in ``columns``."""
    if excluded is not None and len(columns) < excluded.shape[1]:
        excluded = excluded[:, columns]
    index = np.empty((n_users, n), np.int64)
    score = np.empty((n_users, n), np.float64)
    size = max(1, _BLOCK_BYTES // (4 * len(columns)))

    def task(start: int) -> None:
        rows = slice(start, min(start + size, n_users))
        best, score[rows] = block(rows, None if excluded is None else excluded[rows])
        index[rows] = columns[best]

    run_in_threads(task, range(0, n_users, size), n_threads)
    return index, score


def _block_scores(
    users: npt.NDArray[np.float32], items: npt.NDArray[np.float32], excluded: csr_array | None
) -> npt.NDArray[np.float32]:
    """Float32 scores, shape (b, n_items), -inf where excluded."""
    scores: npt.NDArray[np.float32] = users @ items.T
    # Every item ties at 0 for a zero vector: the lowest indices win, without a long short list.
    scores[~users.any(axis=1)] = -np.arange(len(items), dtype=np.float32)
    _exclude(scores, excluded)
    return scores


def _exclude(scores: npt.NDArray[np.float32], excluded: csr_array | None) -> None:
    if excluded is not None:
        rows = np.repeat(np.arange(len(scores)), np.diff(excluded.indptr))
        scores[rows, excluded.indices] = -np.inf


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


def _first_n(
    row: Indices, item: Indices, exact: Scores, n_users: int, n: int
) -> tuple[Indices, Scores]:
    """Items and scores of the first n pairs of each row, shapes (n_users, n)."""
    order = np.lexsort((item, -exact, row))
    first = np.searchsorted(row, np.arange(n_users))
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
