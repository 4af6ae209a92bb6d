"""What a search learns from and what it judges by, both out of the training data."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.columns import USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.held_out import drawn_users, pairs_table
from prodgen_rec.hashing import hash_ids, hash_pairs, uniform_of
from prodgen_rec.interactions import Interactions

IntArray = npt.NDArray[np.int64]

logger = logging.getLogger(__name__)

_HELD_OUT = 0.1
"""Little: on much less data than the final fit has, other settings are best (decision 18)."""
_MOST_USERS = 5000
"""Users on whom a trial is judged; more would tell no better."""


class HoldOut(NamedTuple):
    """What is learned from, and what some of the users took besides."""

    training: Interactions
    users: npt.NDArray[Any]
    pairs: pd.DataFrame

    @classmethod
    def of(cls, interactions: Interactions, n_out: IntArray, seed: int) -> HoldOut:
        """The hold-out of a seed, ``n_out`` pairs of each user."""
        training, pairs = held_out(interactions, n_out, seed)
        users = drawn_users(pairs[USER_ID].unique(), _MOST_USERS, seed)
        return cls(training, users, pairs[pairs[USER_ID].isin(users)])


def numbers_held_out(interactions: Interactions, n_items: int, k: int) -> IntArray:
    """How many items of each user are held out where lists have k of ``n_items``.

    Shape (n_users,), int64: 0 for users of whom too little is left, of either kind.
    """
    matrix = interactions.matrix
    n_seen = np.diff(matrix.indptr)
    n_liked = np.diff(np.append(0, np.cumsum(matrix.data > 0))[matrix.indptr])
    n_out = np.minimum(np.ceil(_HELD_OUT * n_liked).astype(np.int64), n_liked - 1).clip(0)
    if not n_out.any():
        raise InputError("no user has two items with positive evidence: nothing can be held out")
    judged = n_out > 0
    left = n_items - n_seen + n_out
    if left[judged].max() < k:
        raise InputError(
            f"k = {k}: no user has so many of the {n_items} items left to recommend, the most is "
            f"{left[judged].max()}; pass a smaller k"
        )
    few = judged & (left < k)
    if few.any():
        logger.info(
            "of %d users with two items or more, %d have fewer than k = %d left to recommend: "
            "nothing of theirs is held out",
            judged.sum(), few.sum(), k,
        )  # fmt: skip
    return np.where(few, 0, n_out)


def held_out(
    interactions: Interactions, n_out: IntArray, seed: int
) -> tuple[Interactions, pd.DataFrame]:
    """What is left, and the pairs that were taken out of it, ``n_out`` of each user."""
    matrix = interactions.matrix
    rows = np.repeat(np.arange(interactions.n_users), np.diff(matrix.indptr))
    users = hash_ids(interactions.users.arrow, seed)[rows]
    draws = uniform_of(hash_pairs(users, hash_ids(interactions.items.arrow, seed)[matrix.indices]))
    order = np.lexsort((draws, matrix.data <= 0, rows))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - matrix.indptr[rows[order]]
    out = place < n_out[rows]
    return interactions.where(~out), pairs_table(interactions.where(out))
