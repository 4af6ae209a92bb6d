"""What a search learns from and what it judges by, both out of the training data."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.columns import TIMESTAMP, USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation.held_out import drawn_users, new_pairs, pairs_table
from prodgen_rec.evaluation.ranking import evaluate_ranking
from prodgen_rec.events import Events
from prodgen_rec.hashing import hash_ids, hash_pairs, uniform_of
from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.interactions import Interactions, build_interactions
from prodgen_rec.splits import split_by_time
from prodgen_rec.tuning.candidates import AnyRecommender, Candidate
from prodgen_rec.tuning.evidence import Evidence

IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

logger = logging.getLogger(__name__)

_HELD_OUT = 0.1
"""Little: on much less data than the final fit has, other settings are best (decision 18)."""
_MOST_USERS = 5000
"""Users on whom a trial is judged; more would tell no better."""
_APART = 1_000_003
"""Between the seeds of one search's hold-outs, so that searches by near seeds share none."""


class HoldOut(NamedTuple):
    """What is learned from, and what some of the users took besides."""

    past: Events | Interactions
    users: npt.NDArray[Any]
    pairs: pd.DataFrame

    @classmethod
    def of(cls, past: Events | Interactions, pairs: pd.DataFrame, seed: int) -> HoldOut:
        """Judged by the pairs of users that are drawn by the seed."""
        users = drawn_users(pairs[USER_ID].unique(), _MOST_USERS, seed)
        return cls(past, users, pairs[pairs[USER_ID].isin(users)])

    def ndcg(self, candidate: Candidate[AnyRecommender], k: int) -> float:
        """Mean nDCG of the lists of a candidate that learned from the past alone."""
        lists = candidate.fit(self.past).recommend(self.users, k)
        report = evaluate_ranking(lists, self.pairs, k=k, n_boot=1)
        return report.intervals[f"ndcg@{k}"].value


# By chance -----------------------------------------------------------------------------


def by_chance(
    interactions: Interactions, of_features: Sequence[IdMap], *, k: int, n: int, seed: int
) -> list[HoldOut]:
    """Hold-outs of a tenth of every user's items, at least one and never all."""
    n_items = len(interactions.items.union(*of_features, what="item"))
    n_out = numbers_held_out(interactions, n_items, k)
    seeds = [seed + _APART * i for i in range(n)]
    return [HoldOut.of(*held_out(interactions, n_out, one), one) for one in seeds]


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
    few = _with_few_left(n_out > 0, n_items - n_seen + n_out, n_items, k)
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


# By time -------------------------------------------------------------------------------


def by_time(
    events: Events, given: Evidence, of_features: Sequence[IdMap], *, k: int, n: int, seed: int
) -> list[HoldOut]:
    """Hold-outs of the newest tenth of the events, of the newest tenth before it, and so on.

    Fewer than ``n`` where the log is too short for them, which is logged.

    Raises
    ------
    InputError
        There is not one.
    """
    moments = events.numbers(TIMESTAMP)
    if moments.min() == moments.max():
        raise InputError(
            f"all {len(events):,} events are of one moment: nothing can be held out by time; pass "
            "build_interactions(events), of which pairs are held out at random"
        )
    holdouts: list[HoldOut] = []
    past = events
    try:
        for _ in range(n):
            past, future = split_by_time(past, _HELD_OUT)
            holdouts.append(HoldOut.of(past, _taken(past, future, given, of_features, k), seed))
    except InputError as error:
        if not holdouts:
            raise
        logger.info("%d of %d hold-outs by time: %s", len(holdouts), n, error)
    return holdouts


def _taken(
    past: Events, future: Events, given: Evidence, of_features: Sequence[IdMap], k: int
) -> pd.DataFrame:
    """What users with a history went on to take, whatever weights and half-life a trial has.

    By the weights that are given it has positive evidence, and it was not touched before.
    """
    history, then = (
        build_interactions(part, event_weights=given.event_weights) for part in (past, future)
    )
    pairs = new_pairs(history, then)
    rows = history.users.find(as_id_array(pairs[USER_ID], "users"))
    judged = np.isin(np.arange(history.n_users), rows)
    if not judged.any():
        raise InputError(
            f"none of the {pairs[USER_ID].nunique()} users with new items after the cut is among "
            f"the {history.n_users} before it: nothing can be held out by time; pass "
            "build_interactions(events), of which pairs are held out at random"
        )
    n_items = len(history.items.union(*of_features, what="item"))
    n_seen = np.diff(history.matrix.indptr)
    few = _with_few_left(judged, n_items - n_seen, n_items, k)
    return pairs[(rows >= 0) & ~few[rows]]


def _with_few_left(judged: Mask, n_left: IntArray, n_items: int, k: int) -> Mask:
    """Which of the users that would be judged have too few items left for lists of k.

    Raises
    ------
    InputError
        All of them have.
    """
    if n_left[judged].max() < k:
        raise InputError(
            f"k = {k}: no user has so many of the {n_items} items left to recommend, the most is "
            f"{n_left[judged].max()}; pass a smaller k"
        )
    few = judged & (n_left < k)
    if few.any():
        logger.info(
            "of %d users with something to hold out, %d have fewer than k = %d items left to "
            "recommend: nothing of theirs is held out",
            judged.sum(), few.sum(), k,
        )  # fmt: skip
    return few
