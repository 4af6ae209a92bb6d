"""Whether the pictures made for a user match what that user went on to take.

Pictures are compared as a judge sees them: its features, standardized over the photos of the
catalogue (so that what all products share, and features that vary much, do not decide) and
reduced to their direction. A user's pictures and held-out items are each averaged to one
direction, the profile; nearness is the cosine between profiles.

    match AUC of a user = share of the other users whose held-out profile is less near to the
                          user's pictures than the user's own; equally near ones count half

1 is a perfect match. Pictures that do not depend on the user give ½, whatever they show: they
prefer the same users' purchases for everybody, and so are right about each pair of users once
and wrong once. What real pictures reach is the scale to read a figure on, see `brackets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from prodgen_rec import columns
from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.evaluation.bootstrap import Interval, mean_interval
from prodgen_rec.evaluation.judged_items import Floats, JudgedItems, check_finite, unit
from prodgen_rec.hashing import hash_ids, hash_pairs
from prodgen_rec.ids import IdMap, as_id_array

Doubles = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BLOCK = 512
"""Users that are worked on at a time; bounds the memory beside the inputs and the profiles."""


@dataclass(frozen=True, eq=False)
class MatchAUC:
    """How well pictures match their users.

    Parameters
    ----------
    per_user
        Match AUC of each user, float64, 0 to 1, indexed by ``user_id`` in ascending order.
    mean
        Mean over users with a 95 % bootstrap interval.
    permuted_mean
        The mean when every user gets the pictures of a random user: ½ but for chance.
    p_value
        One-sided: how often permuted pictures match as well as the user's own; at least
        1 / (n_permutations + 1).
    judge
        Name of the judge.
    """

    per_user: pd.Series[float]
    mean: Interval
    permuted_mean: float
    p_value: float
    judge: str

    def __str__(self) -> str:
        return f"match AUC {self.mean}, p = {self.p_value:.3f}, {self.mean.n:,} users, {self.judge}"


def match_auc(
    user_ids: Iterable[Any],
    image_features: Floats,
    holdout: pd.DataFrame,
    items: JudgedItems,
    *,
    n_permutations: int = 199,
    n_boot: int = 1000,
    seed: int = 0,
) -> MatchAUC:
    """Match AUC of pictures made for users.

    All users with a picture and a held-out photo are judged, each against all the others.
    Time grows with the square of their number: 10,000 users take seconds, and for more than
    that a sample of them says as much.

    Parameters
    ----------
    user_ids
        Raw id of each picture's user, shape (n_images,).
    image_features
        The judge's features of the pictures, float, shape (n_images, d).
    holdout
        Columns ``user_id, item_id``; a repeated pair counts once, items without a judged photo
        do not count.
    items
        The catalogue under the same judge.
    n_permutations
        Random permutations of users for the test against chance.
    n_boot, seed
        Resamples of the users for the interval, and seed of both.

    Raises
    ------
    InputError
        Fewer than two users have both a picture and a held-out photo, or the features do not
        fit the ids or the items.
    """
    owners = as_id_array(user_ids, "user")
    if len(owners) != len(image_features):
        raise InputError(f"there are {len(owners)} user ids for {len(image_features)} pictures")
    check_finite(image_features, "pictures")
    users, directions = IdMap.of(owners), items.directions_of(image_features)
    shown = _Shown(users, users.find(owners), np.arange(len(owners)), directions)
    return _judged(shown, holdout, items, n_permutations, n_boot, seed)


def brackets(
    items: JudgedItems,
    holdout: pd.DataFrame,
    history: pd.DataFrame,
    recommendations: pd.DataFrame,
    *,
    depths: Sequence[int] = (1, 4, 10),
    n_popular: int = 100,
    n_permutations: int = 199,
    n_boot: int = 1000,
    seed: int = 0,
) -> dict[str, MatchAUC]:
    """Match AUC of real pictures: the scale on which made ones are to be read.

    ================  ==================================================================
    popular           four of the most popular items, drawn for each user: no preference
    recommended@n     the user's first n recommendations: as good as pictures can be that
                      show them faithfully
    history           all that the user took before: what is known of the user
    ================  ==================================================================

    All are about the same users: those in all three tables. To judge made pictures on the same
    footing, pass the recommendations of the users who got pictures.

    Parameters
    ----------
    items
        The catalogue under a judge. Items without a judged photo do not count.
    holdout, history
        Columns ``user_id, item_id``.
    recommendations
        Columns ``user_id, rank, item_id``, rank 1 being the best.
    depths
        The n of the recommendations.
    n_popular
        How many items are the most popular ones, by their users in the history.
    n_permutations, n_boot, seed
        As in `match_auc`.

    Returns
    -------
    dict
        Name of the bracket to its figures, worst to best as a rule; `match_table` shows them.
    """
    held_out, taken = (_known_pairs(table, items) for table in (holdout, history))
    listed = _known_pairs(recommendations, items, columns.RANK)
    users = _common_users([held_out, taken, listed])
    shown = {"popular": _popular(taken, users, n_popular, seed)}
    for n in depths:
        shown[f"recommended@{n}"] = listed[listed[columns.RANK] <= n]
    shown["history"] = taken
    of_users = _rows_of(held_out, users)
    return {
        name: _judged(
            _shown_items(_rows_of(table, users), items),
            of_users,
            items,
            n_permutations,
            n_boot,
            seed,
        )
        for name, table in shown.items()
    }


def match_table(figures: Mapping[str, MatchAUC]) -> pd.DataFrame:
    """One row per figure: ``pictures, value, low, high, p_value, n_users, judge``."""
    rows = [
        (name, one.mean.value, one.mean.low, one.mean.high, one.p_value, one.mean.n, one.judge)
        for name, one in figures.items()
    ]
    names = ["pictures", "value", "low", "high", "p_value", "n_users", "judge"]
    return pd.DataFrame(rows, columns=names)


@dataclass(frozen=True, eq=False)
class _Shown:
    """Pictures of users: row i is of user ``users[user[i]]`` and has direction ``row[i]``."""

    users: IdMap
    user: IntArray
    row: IntArray
    directions: Floats

    def profiles(self, wanted: IntArray) -> Doubles:
        """Profiles of users by their index, float64 (len(wanted), d); all have pictures."""
        place = np.full(len(self.users), -1)
        place[wanted] = np.arange(len(wanted))
        at = place[self.user]
        order = np.argsort(at, kind="stable")
        starts = np.searchsorted(at[order], np.arange(len(wanted) + 1))
        sums = np.empty((len(wanted), self.directions.shape[1]))
        for first in range(0, len(wanted), _BLOCK):
            edges = starts[first : first + _BLOCK + 1]
            rows = self.directions[self.row[order[edges[0] : edges[-1]]]]
            np.add.reduceat(
                rows, edges[:-1] - edges[0], dtype=np.float64, out=sums[first : first + _BLOCK]
            )
        return unit(sums).astype(np.float64)


def _shown_items(pairs: pd.DataFrame, items: JudgedItems) -> _Shown:
    """The photos of items as pictures of the users they stand beside."""
    users = IdMap.of(pairs[columns.USER_ID].to_numpy(), "user")
    user = users.find(pairs[columns.USER_ID].to_numpy())
    row = items.items.find(pairs[columns.ITEM_ID].to_numpy())
    return _Shown(users, user, row, items.directions)


def _judged(
    shown: _Shown,
    holdout: pd.DataFrame,
    items: JudgedItems,
    n_permutations: int,
    n_boot: int,
    seed: int,
) -> MatchAUC:
    if n_permutations < 1:
        raise ConfigError(f"n_permutations is {n_permutations}; it must be at least 1")
    taken = _shown_items(_known_pairs(holdout, items), items)
    in_pictures = shown.users.find(taken.users.arrow)
    with_pictures = np.flatnonzero(in_pictures >= 0)
    n_users = len(with_pictures)
    if n_users < 2:
        raise InputError(
            f"{n_users} user(s) have both pictures and held-out items with a photo, of "
            f"{len(shown.users)} with pictures and {len(taken.users)} in the hold-out; at least 2 "
            "are needed: check that the ids of the tables are written the same way"
        )
    rng = np.random.default_rng(seed)
    permutations = [rng.permutation(n_users) for _ in range(n_permutations)]
    owners = np.stack([np.arange(n_users), *permutations], axis=1)
    aucs = _aucs(shown.profiles(in_pictures[with_pictures]), taken.profiles(with_pictures), owners)
    means = aucs.mean(axis=0)
    return MatchAUC(
        pd.Series(
            aucs[:, 0], pd.Index(taken.users.take(with_pictures), name=columns.USER_ID), name="auc"
        ),
        mean_interval(aucs[:, 0], n_boot=n_boot, seed=seed),
        float(means[1:].mean()),
        float((1 + (means[1:] >= means[0]).sum()) / (1 + n_permutations)),
        items.judge,
    )


def _aucs(pictures: Doubles, holdouts: Doubles, owners: IntArray) -> Doubles:
    """Match AUC of each user's pictures if they were made for some user, shape (n, m).

    Parameters
    ----------
    pictures, holdouts
        Profiles, shape (n, d).
    owners
        Index of the user for whom pictures are taken to be, shape (n, m).
    """
    aucs = np.empty(owners.shape)
    for start in range(0, len(pictures), _BLOCK):
        nearness = pictures[start : start + _BLOCK] @ holdouts.T
        ordered = np.sort(nearness, axis=1)
        for i, row in enumerate(ordered, start=start):
            own = nearness[i - start, owners[i]]
            less = np.searchsorted(row, own, side="left")
            # The owner stands among the equally near ones, and is no other user.
            equal = np.searchsorted(row, own, side="right") - less - 1
            aucs[i] = less + equal / 2
    return aucs / (len(pictures) - 1)


def _known_pairs(table: pd.DataFrame, items: JudgedItems, *more: str) -> pd.DataFrame:
    """Distinct pairs of a table whose items have a judged photo."""
    missing = [name for name in (columns.USER_ID, columns.ITEM_ID, *more) if name not in table]
    if missing:
        raise InputError(
            f"no column {', '.join(missing)} in the table; it has "
            f"{', '.join(map(str, table.columns))}; rename with DataFrame.rename(columns=…)"
        )
    known = items.items.find(table[columns.ITEM_ID].to_numpy()) >= 0
    return table[known].drop_duplicates([columns.USER_ID, columns.ITEM_ID])


def _common_users(tables: Sequence[pd.DataFrame]) -> IdMap:
    first, *others = (as_id_array(table[columns.USER_ID].to_numpy(), "user") for table in tables)
    users = IdMap.of(first)
    for ids in others:
        users = IdMap(users.arrow.filter(pa.array(IdMap.of(ids).find(users.arrow) >= 0)))
    return users


def _rows_of(table: pd.DataFrame, users: IdMap) -> pd.DataFrame:
    return table[users.find(table[columns.USER_ID].to_numpy()) >= 0]


def _popular(history: pd.DataFrame, users: IdMap, n_popular: int, seed: int) -> pd.DataFrame:
    """Four pictures of popular items for each user; a user's draw depends on (seed, id) alone."""
    counts = history[columns.ITEM_ID].value_counts()
    # Equally popular items in the order of their ids: that of the rows is chance.
    popular = counts.sort_index().sort_values(ascending=False, kind="stable").index[:n_popular]
    hashes = np.repeat(hash_ids(users.arrow, seed), 4)
    nth = np.arange(len(hashes), dtype=np.uint64) % np.uint64(4)
    drawn = hash_pairs(hashes, nth) % np.uint64(max(1, len(popular)))
    return pd.DataFrame(
        {
            columns.USER_ID: np.repeat(users.ids, 4),
            columns.ITEM_ID: popular.to_numpy()[drawn.astype(np.int64)],
        }
    )
