"""Exact top-n over a whole catalogue, of inner products or of weights between items.

A float32 matrix product scores a block of users against all items. Its rounding error is
bounded (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1), so
everything that could belong to the true top n is on a short list, which is scored again in
float64, pair by pair. The result is therefore that of sorting float64 scores of every item,
and does not depend on blocks, threads or rounding in the product.

No score exceeds the product of the lengths of its two vectors. So the longest items come first,
and those too short for every user of a block are not scored (Teflioudi, Gemulla & Mykytiuk,
"LEMP: Fast Retrieval of Large Entries in a Matrix Product", SIGMOD 2015).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from prodgen_rec.errors import InputError
from prodgen_rec.preferences.parallel import run_in_threads

Indices = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_ITEMS_AT_ONCE = 20_000
_USERS_AT_ONCE = 256
"""Of a block of scores, whose 20 MB stay in the cache; of few items there are more users."""
_LONGEST_AT_ONCE = 2_048
"""Items scored first where lengths differ enough to leave out others afterwards."""
_PAIRS_AT_ONCE = 1 << 15
"""Pairs rescored at a time, to bound memory when very many items tie."""


class ItemIndex:
    """Item vectors, made ready once to be searched for the best items of many users.

    Parameters
    ----------
    item_vectors
        float32 (n_items, d).
    allowed
        Shape (n_items,); items that anyone may get, by default all.

    Raises
    ------
    InputError
        A vector is not finite.
    """

    def __init__(
        self,
        item_vectors: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        columns = _allowed_columns(len(item_vectors), allowed)
        lengths = _lengths(item_vectors[columns])
        if not np.isfinite(lengths).all():
            wrong = columns[np.argmin(np.isfinite(lengths))]
            raise InputError(f"item vector {wrong} is not finite")
        by_length = np.argsort(-lengths, kind="stable")
        self._vectors = item_vectors
        self._columns, self._lengths = columns[by_length], lengths[by_length]
        self._place = _places(self._columns, len(item_vectors))
        self._by_factor = np.ascontiguousarray(item_vectors[self._columns].T)  # a faster product
        self._memory = _Memory()

    def best(
        self,
        user_vectors: npt.NDArray[np.float32],
        n: int,
        *,
        excluded: csr_array | None = None,
        n_threads: int | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Best n items of each user by inner product, best first, ties by item index.

        Parameters
        ----------
        user_vectors
            float32 (n_users, d).
        n
            Items per user, at least 1.
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
            Fewer than n items are left for some user, or n is below 1, or a user's vector is not
            finite or too long.
        """
        _check_n(n, len(self._columns))
        first = _first_part(self._lengths)

        def block(rows: slice, excluded: csr_array | None) -> tuple[Indices, Scores]:
            users = user_vectors[rows]
            slack = _rounding(users.shape[1], self._products(users, rows.start))
            scores = _Scores(self, users, n, excluded)
            row, item = _short_list(
                scores.between, scores.reach, first, n, slack, self._columns, rows.start
            )
            exact = scores_of_pairs(users, self._vectors, row, item)
            return first_n(row, item, exact, len(users), n)

        return _by_blocks(block, len(user_vectors), len(self._columns), n, excluded, n_threads)

    def _products(self, users: Floats, first_row: int) -> Scores:
        """Lengths of users times that of the longest item, shape (n_users,)."""
        longest = self._lengths[0]
        products: Scores = _lengths(users) * longest
        is_finite = products <= np.finfo(np.float32).max
        if not is_finite.all():
            raise InputError(
                f"user vector {first_row + int(np.argmin(is_finite))} is not finite, or too long "
                f"for a product with item vectors of length {longest:g} to be finite in float32"
            )
        return products


class _Scores:
    """Scores of some users, of the longest items first."""

    def __init__(self, index: ItemIndex, users: Floats, n: int, excluded: csr_array | None) -> None:
        self._index, self._users, self._n = index, users, n
        self._user_lengths = _lengths(users)
        self._unknown = self._user_lengths == 0
        self._pairs = _pairs_of(excluded, index._place)

    def between(self, start: int, stop: int) -> Floats:
        """Those of the items from one place to another, in groups."""
        index = self._index
        groups = index._memory.groups(len(self._users), stop - start, self._n)
        scores = groups.reshape(len(self._users), -1)[:, : stop - start]
        np.matmul(self._users, index._by_factor[:, start:stop], out=scores)
        _prefer_first_items(scores, self._unknown, index._columns[start:stop])
        _exclude(scores, self._pairs, start)
        return groups

    def reach(self, least: Floats) -> int:
        """How many items are long enough for the least score of some user."""
        lengths = self._index._lengths
        if self._unknown.any():  # any item may be among the first that are left
            return len(lengths)
        shortest = np.min(least / self._user_lengths)
        return int(np.searchsorted(-lengths, -shortest, side="right"))


def top_n(
    user_vectors: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    n: int,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
    excluded: csr_array | None = None,
    n_threads: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Best n items of each user, where the items are searched only once.

    Parameters
    ----------
    user_vectors
        float32 (n_users, d).
    item_vectors
        float32 (n_items, d).
    allowed
        bool (n_items,), as for `ItemIndex`.
    n, excluded, n_threads
        As for `ItemIndex.best`, which says what is returned, and what is raised.
    """
    index = ItemIndex(item_vectors, allowed)
    return index.best(user_vectors, n, excluded=excluded, n_threads=n_threads)


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
    columns = _allowed_columns(weights.shape[1], allowed)
    _check_n(n, len(columns))
    weights = weights if len(columns) == weights.shape[1] else weights[:, columns]
    place = _places(columns, histories.shape[1])
    memory = _Memory()

    def block(rows: slice, excluded: csr_array | None) -> tuple[Indices, Scores]:
        product = histories[rows] @ weights
        exact = product.toarray() if issparse(product) else product
        groups = memory.groups(len(exact), len(columns), n)
        scores = groups.reshape(len(exact), -1)[:, : len(columns)]
        scores[:] = exact
        _prefer_first_items(scores, ~exact.any(axis=1), columns)
        _exclude(scores, _pairs_of(excluded, place))
        row, item = _short_list(
            lambda _start, _stop: groups,
            lambda _least: len(columns),
            len(columns),
            n,
            np.zeros(len(exact)),
            columns,
            rows.start,
        )
        return first_n(row, item, exact[row, place[item]].astype(np.float64), len(exact), n)

    return _by_blocks(block, histories.shape[0], len(columns), n, excluded, n_threads)


def _allowed_columns(n_items: int, allowed: npt.NDArray[np.bool_] | None) -> Indices:
    """Indices of the items that anyone may get."""
    return np.arange(n_items) if allowed is None else np.flatnonzero(allowed)


def _check_n(n: int, n_allowed: int) -> None:
    if not 1 <= n <= n_allowed:
        raise InputError(f"n = {n}: expected 1 to {n_allowed}, the number of items allowed")


def _places(columns: Indices, n_items: int) -> Indices:
    """Where each item is in ``columns``, shape (n_items,); -1 if nowhere."""
    place = np.full(n_items, -1)
    place[columns] = np.arange(len(columns))
    return place


def _first_part(lengths: Scores) -> int:
    """How many of the items, longest first, are scored before others are left out."""
    if len(lengths) > _LONGEST_AT_ONCE and lengths[_LONGEST_AT_ONCE] < lengths[0] / 2:
        return _LONGEST_AT_ONCE
    return min(len(lengths), _ITEMS_AT_ONCE)


def _by_blocks(
    block: Callable[[slice, csr_array | None], tuple[Indices, Scores]],
    n_users: int,
    n_items: int,
    n: int,
    excluded: csr_array | None,
    n_threads: int | None,
) -> tuple[Indices, Scores]:
    """Index and score of the best n of all users, from a function for some of them."""
    index = np.empty((n_users, n), np.int64)
    score = np.empty((n_users, n), np.float64)
    size = _USERS_AT_ONCE * min(16, max(1, _ITEMS_AT_ONCE // n_items))

    def task(start: int) -> None:
        rows = slice(start, min(start + size, n_users))
        index[rows], score[rows] = block(rows, None if excluded is None else excluded[rows])

    run_in_threads(task, range(0, n_users, size), n_threads)
    return index, score


class _Memory(threading.local):
    """Scores of one block after the other in the same place, one place for each thread."""

    def __init__(self) -> None:
        self._scores = np.empty(0, np.float32)

    def groups(self, n_users: int, n_items: int, n: int) -> Floats:
        """Room for scores in groups of items, shape (n_users, depth, n_groups), -inf at the end.

        Item i is in group i % n_groups. The n-th largest of the maxima of groups is at most that
        of all scores, mostly equal to it, and found in a fraction of the time.
        """
        depth = max(1, n_items // (16 * max(n, 64)))
        n_groups = -(-n_items // depth)
        n_scores = n_users * depth * n_groups
        if n_scores > len(self._scores):
            self._scores = np.empty(n_scores, np.float32)
        scores = self._scores[:n_scores].reshape(n_users, -1)
        scores[:, n_items:] = -np.inf
        return scores.reshape(n_users, depth, n_groups)


def _prefer_first_items(scores: Floats, rows: npt.NDArray[np.bool_], columns: Indices) -> None:
    """Every item ties at 0 for some: the lowest indices win, without a long short list."""
    if rows.any():
        scores[rows] = -columns.astype(np.float32)


def _pairs_of(excluded: csr_array | None, place: Indices) -> tuple[Indices, Indices]:
    """Rows and places of items that are stored."""
    if excluded is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    row = np.repeat(np.arange(excluded.shape[0]), np.diff(excluded.indptr))
    return row, place[excluded.indices]


def _exclude(scores: Floats, pairs: tuple[Indices, Indices], start: int = 0) -> None:
    row, item = pairs
    inside = (item >= start) & (item < start + scores.shape[1])
    scores[row[inside], item[inside] - start] = -np.inf


def _short_list(
    scored: Callable[[int, int], Floats],
    reach: Callable[[Floats], int],
    first: int,
    n: int,
    slack: Scores,
    columns: Indices,
    first_row: int,
) -> tuple[Indices, Indices]:
    """Row and item of every pair that may be in the top n, ordered by row, then item.

    ``scored`` gives grouped scores of the items from one place in ``columns`` to another, -inf
    for excluded ones; ``reach`` how many places matter, given the least score of each row.
    """
    largest = np.empty((len(slack), 0), np.float32)
    found = []
    start, stop = 0, first
    while start < stop:
        groups = scored(start, stop)
        _, depth, n_groups = groups.shape
        maxima = groups.max(axis=1)
        largest = np.concatenate([largest, maxima], axis=1)
        if largest.shape[1] > n:
            largest = np.partition(largest, -n, axis=1)[:, -n:]
        least = _least(largest, n, slack)
        row, group = np.divmod(np.flatnonzero(maxima >= least[:, None]), n_groups)
        members = groups[row, :, group]
        which, deep = np.divmod(np.flatnonzero(members >= least[row, None]), depth)
        found.append((row[which], start + deep * n_groups + group[which], members[which, deep]))
        start, stop = stop, min(stop + _ITEMS_AT_ONCE, reach(least))
    row, place, score = map(np.concatenate, zip(*found, strict=True))
    kept = score >= least[row]  # later parts have raised it
    row, item = row[kept], columns[place[kept]]
    left = np.bincount(row, minlength=len(slack))
    if left.min() < n:
        raise InputError(
            f"user vector {first_row + int(np.argmin(left))}: fewer than {n} items are left"
        )
    beyond = int(item.max()) + 1
    return np.divmod(np.sort(row * beyond + item), beyond)


def _least(largest: Floats, n: int, slack: Scores) -> Floats:
    """The least score that may still be in the top n, above -inf, shape (b,)."""
    nothing = np.finfo(np.float32).min
    if largest.shape[1] < n:
        return np.full(len(slack), nothing)
    nth = largest.min(axis=1) - slack
    least: Floats = np.nextafter(nth.astype(np.float32), np.float32(-np.inf))
    return np.maximum(least, nothing)


def first_n(
    row: Indices, item: Indices, exact: Scores, n_users: int, n: int
) -> tuple[Indices, Scores]:
    """Items and scores of the best n pairs of each row, shapes (n_users, n)."""
    by_score = np.argsort(-exact, kind="stable")
    order = by_score[np.argsort(row[by_score].astype(np.uint16), kind="stable")]  # by counting
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


def scores_of_pairs(
    users: Floats,
    items: Floats,
    row: Indices,
    item: Indices,
    dtype: type[np.floating[Any]] = np.float64,
) -> npt.NDArray[Any]:
    """Inner product of each pair by itself, in float64 or another type, shape (len(row),)."""
    exact = np.empty(len(row), dtype)
    left = users.astype(dtype, copy=False)
    for start in range(0, len(row), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        exact[part] = np.vecdot(left[row[part]], items[item[part]].astype(dtype, copy=False))
    return exact
