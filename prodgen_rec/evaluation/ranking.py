"""How well recommended lists match what users went on to take.

Every figure is computed over the full catalogue (the lists are the recommender's own,
nothing is sampled), averaged over the users of the hold-out, and comes with a bootstrap
interval over those users.
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
from prodgen_rec.evaluation.bootstrap import (
    Difference,
    FloatArray,
    Interval,
    mean_intervals,
    paired_difference,
)
from prodgen_rec.ids import IdMap, as_id_array

IntArray = npt.NDArray[np.int64]

METRICS = ("recall", "precision", "ndcg", "map", "mrr", "hit_rate")
"""Metrics that have a value per user and cut-off, in the order of every table."""


@dataclass(frozen=True, eq=False, repr=False)
class RankingReport:
    """Ranking metrics of one recommender on one hold-out.

    Parameters
    ----------
    cutoffs
        The k at which lists were cut, ascending.
    per_user
        One row per user of the hold-out, indexed by ``user_id`` in ascending order; float64
        columns ``"recall@10"``, ``"ndcg@20"`` and so on, 0 to 1.
    intervals
        Mean over users and its 95 % interval, per column of ``per_user``.
    coverage
        Share of the catalogue that was recommended to anyone, per cut-off; empty when the size
        of the catalogue was not given.
    n_users_without_list
        Users of the hold-out who have no recommendations; their rows are 0.
    """

    cutoffs: tuple[int, ...]
    per_user: pd.DataFrame
    intervals: Mapping[str, Interval]
    coverage: Mapping[int, float]
    n_users_without_list: int

    @property
    def n_users(self) -> int:
        """Users of the hold-out, with and without recommendations."""
        return len(self.per_user)

    def table(self) -> pd.DataFrame:
        """One row per metric and cut-off: ``metric, k, value, low, high, n_users``.

        Coverage is one figure of all lists together: its ``low`` and ``high`` are NaN.
        """
        rows: list[tuple[str, int, float, float, float, int]] = []
        for name, interval in self.intervals.items():
            metric, k = name.split("@")
            rows.append((metric, int(k), interval.value, interval.low, interval.high, interval.n))
        for depth, share in self.coverage.items():
            rows.append(("coverage", depth, share, np.nan, np.nan, self.n_users))
        return pd.DataFrame(rows, columns=["metric", "k", "value", "low", "high", "n_users"])

    def by_segment(self, segments: pd.Series, *, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
        """For whom the lists are good: the metrics of each segment of users.

        Parameters
        ----------
        segments
            Segment of each user, indexed by ``user_id``: new and loyal ones, tastes, markets.
            Users of the hold-out without one, or an empty one, are left out.
        n_boot, seed
            As in `mean_interval`.

        Returns
        -------
        One row per segment, metric and cut-off, segments sorted: ``segment, metric, k, value, low,
        high, n_users``.

        Raises
        ------
        InputError
            A user is named twice, or no user of the hold-out has a segment.
        """
        if not segments.index.is_unique:
            again = segments.index[segments.index.duplicated()].tolist()[0]
            raise InputError(f"user {again!r} has more than one segment; expected one for each")
        of_users = segments.reindex(self.per_user.index).dropna()
        if of_users.empty:
            raise InputError(
                f"none of the {self.n_users} users of the hold-out is among the {len(segments)} "
                "with a segment; the index of segments must hold their ids, of the same kind"
            )
        rows = []
        for segment, values in self.per_user.loc[of_users.index].groupby(of_users.to_numpy()):
            found = mean_intervals(values.to_numpy(), n_boot=n_boot, seed=seed)
            for name, interval in zip(self.intervals, found, strict=True):
                metric, k = name.split("@")
                figures = (interval.value, interval.low, interval.high, interval.n)
                rows.append((segment, metric, int(k), *figures))
        columns = ["segment", "metric", "k", "value", "low", "high", "n_users"]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """All figures but the per-user ones, in JSON's own types."""
        return {
            "n_users": self.n_users,
            "n_users_without_list": self.n_users_without_list,
            "metrics": {
                name: {"value": interval.value, "low": interval.low, "high": interval.high}
                for name, interval in self.intervals.items()
            },
            "coverage": {str(k): share for k, share in self.coverage.items()},
        }

    def __repr__(self) -> str:
        figures = pd.DataFrame(
            {
                f"@{k}": [str(self.intervals[f"{metric}@{k}"]) for metric in METRICS]
                for k in self.cutoffs
            },
            index=list(METRICS),
        )
        if self.coverage:
            figures.loc["coverage"] = [f"{self.coverage[k]:.4f}" for k in self.cutoffs]
        return (
            f"RankingReport: {self.n_users:,} users, "
            f"{self.n_users_without_list:,} of them without recommendations (counted as 0)\n"
            f"{figures.to_string()}"
        )


def evaluate_ranking(
    recommendations: pd.DataFrame,
    holdout: pd.DataFrame,
    *,
    k: int | Sequence[int] = (10, 20),
    n_items: int | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> RankingReport:
    """Judge recommended lists by what their users went on to take.

    With H the held-out items of a user and hits the recommended items in H among the first
    k ranks, and discounts 1 / log2(rank + 1):

    ==========  ==============================================================
    recall      hits / size of H
    precision   hits / k
    ndcg        sum of the hits' discounts / that of min(k, size of H) hits on top
    map         sum over hits of (hits up to it / its rank) / min(k, size of H)
    mrr         1 / rank of the first hit, 0 without one
    hit_rate    1 with a hit, 0 without one
    coverage    distinct items in the first k ranks of any list / ``n_items``
    ==========  ==============================================================

    All users of the hold-out count. One without recommendations was not served, which is a
    result, not a gap in the data: every metric is 0 there, and the report tells how many these
    are. Lists of users who are not in the hold-out count for coverage alone.

    Parameters
    ----------
    recommendations
        Columns ``user_id, rank, item_id``; others, such as ``score``, are not looked at. Rank 1
        is best. A rank that a user's list skips is a miss.
    holdout
        Columns ``user_id, item_id``; a repeated pair counts once.
    k
        Cut-off or cut-offs, none beyond the last rank of the longest list.
    n_items
        Size of the catalogue, for coverage.
    n_boot, seed
        Resamples of the users for the 95 % intervals, and their seed.

    Raises
    ------
    InputError
        A column is missing, a table is empty, a list holds an item or a rank twice, or the ids
        of the two tables have nothing in common.
    ConfigError
        ``k``, ``n_items`` or ``n_boot`` is out of range.

    Examples
    --------
    >>> lists = pd.DataFrame({"user_id": [1, 1, 2, 2], "rank": [1, 2, 1, 2], "item_id": [*"abab"]})
    >>> taken = pd.DataFrame({"user_id": [1, 2, 2], "item_id": [*"acb"]})
    >>> report = evaluate_ranking(lists, taken, k=2)
    >>> report.per_user["recall@2"].to_dict()
    {1: 1.0, 2: 0.5}

    References
    ----------
    Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (2002), for ndcg.
    """
    _check_tables(recommendations, holdout)
    cutoffs = _cutoffs(k, int(recommendations[columns.RANK].max()))
    coverage = {} if n_items is None else _coverage(recommendations, cutoffs, n_items)
    hits = _find_hits(recommendations, holdout)
    at = {depth: _metrics_at(depth, hits) for depth in cutoffs}
    per_user = pd.DataFrame(
        {f"{metric}@{depth}": at[depth][metric] for metric in METRICS for depth in cutoffs},
        index=pd.Index(hits.users.ids, name=columns.USER_ID),
    )
    intervals = mean_intervals(per_user.to_numpy(), n_boot=n_boot, seed=seed)
    return RankingReport(
        cutoffs,
        per_user,
        dict(zip(per_user.columns, intervals, strict=True)),
        coverage,
        hits.n_users_without_list,
    )


def compare(
    report_a: RankingReport,
    report_b: RankingReport,
    metric: str,
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> Difference:
    """Difference a - b of one metric, user by user, with interval and p-value.

    Parameters
    ----------
    report_a, report_b
        Reports on the same hold-out.
    metric
        A metric with its cut-off, for example ``"ndcg@10"``.
    n_boot, seed
        As in `paired_difference`.

    Raises
    ------
    InputError
        A report has no such metric, or the two are about different users.
    """
    for report in (report_a, report_b):
        if metric not in report.per_user:
            raise InputError(
                f"no metric {metric!r} in the report; it has {', '.join(report.per_user.columns)}"
            )
    users_a, users_b = report_a.per_user.index, report_b.per_user.index
    if not users_a.equals(users_b):
        raise InputError(
            f"the reports are about {len(users_a)} and {len(users_b)} users, of whom "
            f"{len(users_a.intersection(users_b))} are the same; evaluate both on one hold-out"
        )
    return paired_difference(
        report_a.per_user[metric].to_numpy(),
        report_b.per_user[metric].to_numpy(),
        n_boot=n_boot,
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class _Hits:
    """Recommended items that were held out, sorted by user, then by rank.

    ``user`` (dense index), ``rank`` and ``nth`` (1 for the first hit of its user) have one
    entry per hit, ``n_relevant`` (held-out items, at least 1) one per user.
    """

    users: IdMap
    user: IntArray
    rank: IntArray
    nth: IntArray
    n_relevant: IntArray
    n_users_without_list: int


def _find_hits(recommendations: pd.DataFrame, holdout: pd.DataFrame) -> _Hits:
    users, user, listed_user = _match_ids(recommendations, holdout, columns.USER_ID)
    items, item, listed_item = _match_ids(recommendations, holdout, columns.ITEM_ID)
    relevant = np.unique(user * len(items) + item)
    hit = (listed_user >= 0) & (listed_item >= 0)
    hit &= np.isin(listed_user * len(items) + listed_item, relevant)
    rank = recommendations[columns.RANK].to_numpy(dtype=np.int64)[hit]
    order = np.lexsort((rank, listed_user[hit]))
    hit_user, rank = listed_user[hit][order], rank[order]
    n_hits = np.bincount(hit_user, minlength=len(users))
    before = np.cumsum(n_hits) - n_hits
    n_served = len(np.unique(listed_user[listed_user >= 0]))
    return _Hits(
        users,
        hit_user,
        rank,
        nth=np.arange(1, len(rank) + 1) - before[hit_user],
        n_relevant=np.bincount(relevant // len(items), minlength=len(users)),
        n_users_without_list=len(users) - n_served,
    )


def _metrics_at(k: int, hits: _Hits) -> dict[str, FloatArray]:
    """Metrics of each user with lists cut at k, shape (n_users,) each."""
    within = hits.rank <= k
    user, rank, nth = hits.user[within], hits.rank[within], hits.nth[within]
    possible = np.minimum(hits.n_relevant, k)
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))[possible - 1]

    def per_user(weights: FloatArray) -> FloatArray:
        return np.bincount(user, weights, minlength=len(hits.users)).astype(np.float64)

    n_hits = per_user(np.ones(len(user)))
    return {
        "recall": n_hits / hits.n_relevant,
        "precision": n_hits / k,
        "ndcg": per_user(1 / np.log2(rank + 1)) / ideal,
        "map": per_user(nth / rank) / possible,
        "mrr": per_user((nth == 1) / rank),
        "hit_rate": np.minimum(n_hits, 1.0),
    }


def _match_ids(
    recommendations: pd.DataFrame, holdout: pd.DataFrame, column: str
) -> tuple[IdMap, IntArray, IntArray]:
    """Ids of the hold-out, and the dense index of both tables' rows (-1: not in the hold-out)."""
    held_out = as_id_array(holdout[column].to_numpy(), f"holdout, {column}")
    listed = as_id_array(recommendations[column].to_numpy(), f"recommendations, {column}")
    known = IdMap.of(held_out)
    found = known.find(listed)
    # A recommender may well miss every held-out item. Users, or ids of two kinds of which none
    # agree, are another matter: there the tables were written differently.
    expected = column == columns.USER_ID or listed.type != held_out.type
    if expected and not (found >= 0).any():
        raise InputError(
            f"recommendations and holdout have no {column} in common: {_examples(listed)} "
            f"against {_examples(held_out)}; pass tables of the same shop with ids written "
            "the same way (leading zeros, prefixes), and no columns swapped"
        )
    return known, known.find(held_out), found


def _examples(ids: pa.Array) -> str:
    shown = [repr(raw_id) for raw_id in ids.unique()[:3].to_pylist()]
    return ", ".join([*shown, "…"] if len(ids.unique()) > len(shown) else shown)


def _check_tables(recommendations: pd.DataFrame, holdout: pd.DataFrame) -> None:
    needed = (columns.USER_ID, columns.ITEM_ID)
    _check_columns(recommendations, "recommendations", (*needed, columns.RANK))
    _check_columns(holdout, "holdout", needed)
    rank = recommendations[columns.RANK]
    if not pd.api.types.is_integer_dtype(rank.dtype) or rank.hasnans or int(rank.min()) < 1:
        raise InputError(
            f"recommendations: rank is {rank.dtype} from {rank.min()} to {rank.max()}; "
            "expected integers from 1, 1 being the best"
        )
    for column in (columns.ITEM_ID, columns.RANK):
        repeated = recommendations.duplicated([columns.USER_ID, column])
        if repeated.any():
            first = recommendations.loc[repeated, [columns.USER_ID, column]].to_numpy()[0]
            raise InputError(
                f"recommendations: the list of user {first[0]!r} holds {column} {first[1]!r} "
                f"more than once ({int(repeated.sum())} such rows in all); each may occur once"
            )
    _check_not_swapped(recommendations)


def _check_not_swapped(recommendations: pd.DataFrame) -> None:
    """Refuse items that are numbered as ranks are, where the ranks are not.

    Ranks with gaps are allowed, so that a swap shows only by the two together.
    """
    items, ranks = recommendations[columns.ITEM_ID], recommendations[columns.RANK]
    if not pd.api.types.is_integer_dtype(items.dtype):
        return
    lengths = recommendations.groupby(columns.USER_ID, observed=True)
    longest = lengths[[columns.ITEM_ID, columns.RANK]].max()
    n = lengths.size()
    if int(items.min()) < 1 or not longest[columns.ITEM_ID].eq(n).all():
        return
    if not longest[columns.RANK].eq(n).all():
        raise InputError(
            "recommendations: item_id runs from 1 without a gap in every list, as ranks do, and "
            f"rank, from {ranks.min()} to {ranks.max()}, does not; the two seem to be swapped: "
            "rename the columns"
        )


def _check_columns(table: pd.DataFrame, what: str, needed: Sequence[str]) -> None:
    missing = [column for column in needed if column not in table]
    if missing:
        raise InputError(
            f"{what}: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}; "
            "rename with DataFrame.rename(columns=…)"
        )
    if table.empty:
        raise InputError(f"{what}: the table has no rows; there is nothing to evaluate")


def _cutoffs(k: int | Sequence[int], longest: int) -> tuple[int, ...]:
    wanted: set[Any] = set(k) if isinstance(k, Iterable) else {k}  # whatever came as k
    if not wanted or not all(isinstance(one, int | np.integer) and one >= 1 for one in wanted):
        raise ConfigError(f"k is {k!r}; expected one or more integers from 1")
    cutoffs = tuple(sorted(wanted))
    if cutoffs[-1] > longest:
        raise ConfigError(
            f"k is {cutoffs[-1]}, but no list goes beyond rank {longest}; "
            f"recommend {cutoffs[-1]} items per user, or pass k={longest} at most"
        )
    return cutoffs


def _coverage(
    recommendations: pd.DataFrame, cutoffs: Sequence[int], n_items: int
) -> dict[int, float]:
    by_item = recommendations.groupby(columns.ITEM_ID, observed=True)
    best_rank = by_item[columns.RANK].min().to_numpy()
    if len(best_rank) > n_items:
        raise ConfigError(
            f"n_items is {n_items}, but {len(best_rank)} distinct items are recommended; "
            "pass the size of the whole catalogue"
        )
    return {k: float((best_rank <= k).sum() / n_items) for k in cutoffs}
