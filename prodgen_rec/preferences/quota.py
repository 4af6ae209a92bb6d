"""Lists in which no group of items has more than its share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError
from prodgen_rec.preferences.filters import Filters

Indices = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Best = Callable[[Indices, int, Filters], tuple[Indices, Scores]]


def best_within_quota(
    best: Best, n: int, filters: Filters, groups: Indices, most: int
) -> tuple[Indices, Scores]:
    """Index and score of the best n items of each user, with at most so many of one group.

    Going down the list of all items and leaving out what is over the quota gives the best list that
    keeps it, as for any matroid (Edmonds, Mathematical Programming 1971). Only as much of that list
    is ranked as is needed.

    Parameters
    ----------
    best
        Ranks some users: their places, how many items, and their filters in; index and score out.
    n
        Items per user.
    filters
        What a user may not get.
    groups
        Shape (n_items,), group of each item, -1 where it is not limited.
    most
        Items of one group in a list, at least 1.

    Raises
    ------
    InputError
        The quota leaves fewer than n items for a user.
    """
    n_users = len(filters.users)
    index, score = np.empty((n_users, n), np.int64), np.empty((n_users, n))
    open_rows, depth = np.arange(n_users), n
    while len(open_rows):
        depth *= 2
        still_open = []
        for rows, n_ranked in _of_equal_depth(open_rows, filters.left[open_rows], depth):
            ranked, scores = best(rows, n_ranked, filters.for_rows(rows))
            kept = _within(groups[ranked], most)
            full = kept.sum(axis=1) >= n
            first = np.argsort(~kept[full], axis=1, kind="stable")[:, :n]
            index[rows[full]] = np.take_along_axis(ranked[full], first, axis=1)
            score[rows[full]] = np.take_along_axis(scores[full], first, axis=1)
            if n_ranked < depth and not full.all():
                row, place = rows[~full][0], int(np.argmin(full))
                raise InputError(
                    f"user {filters.users[row].as_py()!r}: {n} items asked for, "
                    f"{kept[place].sum()} of the {n_ranked} that remain are within the quota of "
                    f"{most} per group: ask for no more, or allow more per group"
                )
            still_open.append(rows[~full])
        open_rows = np.concatenate(still_open)
    return index, score


def _of_equal_depth(rows: Indices, left: Indices, depth: int) -> list[tuple[Indices, int]]:
    """Rows with how many of their items are to be ranked: ``depth``, or all that are left."""
    n_ranked = np.minimum(left, depth)
    return [(rows[n_ranked == one], int(one)) for one in np.unique(n_ranked)]


def _within(groups: Indices, most: int) -> npt.NDArray[np.bool_]:
    """Which places of ranked lists (n_users, n_ranked) are within the quota."""
    n_users, n_ranked = groups.shape
    keys = (np.arange(n_users)[:, None] * (groups.max(initial=0) + 2) + groups + 1).ravel()
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.searchsorted(ordered, ordered)
    number = np.empty(keys.size, np.int64)
    number[order] = np.arange(keys.size) - starts
    return (number.reshape(n_users, n_ranked) < most) | (groups < 0)
