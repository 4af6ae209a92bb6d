"""Groups of users with like tastes, and the attributes that set them apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from prodgen_rec.catalog import Catalog
from prodgen_rec.columns import ATTRIBUTE, ITEM_ID, RANK, USER_ID
from prodgen_rec.errors import ConfigError
from prodgen_rec.preferences import VectorRecommender

_FEWEST = 0.5
"""Pairs that chance must give a value in a segment for it to be told there."""


@dataclass(frozen=True, eq=False)
class TasteSegments:
    """What `taste_segments` found.

    Attributes
    ----------
    users
        Columns ``user_id, segment`` (int64 from 0, the largest segment first), one row per user of
        the fit with a preference.
    description
        What sets segments apart, by segment and the most telling first: ``segment``,
        ``attribute``, ``value``, ``share`` (of what the segment took), ``share_of_all`` (of what
        everyone took), ``lift`` (their ratio) and ``z`` (by how many standard deviations of chance
        the segment took more of it).
    """

    users: pd.DataFrame
    description: pd.DataFrame


def taste_segments(
    recommender: VectorRecommender,
    catalog: Catalog,
    attributes: Iterable[str],
    *,
    n_segments: int = 8,
    seed: int = 0,
) -> TasteSegments:
    """Cluster users by the direction of their vectors (k-means), and describe the clusters.

    Parameters
    ----------
    recommender
        Fitted.
    catalog
        Holds the attributes of items; items that it does not know describe nothing.
    attributes
        Columns of the catalogue.
    n_segments
        Segments, from 1 to the number of users with a preference.
    seed
        Of the clustering.

    Raises
    ------
    ConfigError
        There is no such column, or the number of segments is out of range.
    """
    names = list(attributes)
    unknown = [name for name in names if name not in catalog.attributes]
    if unknown:
        known = list(catalog.attributes.columns)
        raise ConfigError(f"the catalogue has no attribute {unknown[0]!r}; it has {known}")
    lengths = np.linalg.norm(recommender.user_vectors_, axis=1)
    rows = np.flatnonzero(lengths > 0)
    if not 1 <= n_segments <= len(rows):
        raise ConfigError(
            f"n_segments = {n_segments}: expected 1 to {len(rows)}, the users with a preference"
        )
    directions = recommender.user_vectors_[rows] / lengths[rows, None]
    with threadpool_limits(1):  # sums in one order
        found = KMeans(n_segments, n_init=4, random_state=seed).fit_predict(directions)
    largest_first = np.argsort(-np.bincount(found, minlength=n_segments), kind="stable")
    segment = np.argsort(largest_first)[found].astype(np.int64)
    users = pd.DataFrame({USER_ID: recommender.users_.take(rows), "segment": segment})
    counts = _taken(recommender, rows, segment)
    place = catalog.items.find(recommender.items_.arrow)
    tables = [
        _described(counts[:, place >= 0], catalog.attributes[name].iloc[place[place >= 0]])
        for name in names
    ]
    description = pd.concat(tables) if tables else pd.DataFrame(columns=["segment", "z"])
    described = description.sort_values(["segment", "z"], ascending=[True, False], kind="stable")
    return TasteSegments(users, described.reset_index(drop=True))


def typical_items(
    recommender: VectorRecommender, users: pd.DataFrame, *, n: int = 8
) -> pd.DataFrame:
    """Items that segments took most beyond their share of what everyone took.

    Parameters
    ----------
    recommender
        Fitted.
    users
        Columns ``user_id, segment``, of `TasteSegments`.
    n
        Items of each segment at most.

    Returns
    -------
    ``segment``, ``rank``, ``item_id`` and ``n_users`` (of the segment who took it), the most
    typical first; only items that the segment took more often than by chance.
    """
    rows = recommender.users_.index(users[USER_ID].array)
    counts = _taken(recommender, rows, users["segment"].to_numpy())
    totals, of_all = counts.sum(axis=1, keepdims=True), counts.sum(axis=0)
    expected = totals * of_all / max(1.0, of_all.sum())
    beyond = (counts - expected) / np.sqrt(np.maximum(expected, _FEWEST))
    first = np.argsort(-beyond, axis=1, kind="stable")[:, :n]
    segment, rank = np.nonzero(np.take_along_axis(beyond, first, axis=1) > 0)
    items = first[segment, rank]
    return pd.DataFrame(
        {
            "segment": segment,
            RANK: rank + 1,
            ITEM_ID: recommender.items_.take(items),
            "n_users": counts[segment, items].astype(np.int64),
        }
    )


def _taken(
    recommender: VectorRecommender, rows: npt.NDArray[np.int64], segment: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """How many users of each segment took each item, (n_segments, n_items)."""
    taken = csr_array(recommender.interactions_.matrix[rows] > 0, dtype=np.float64)
    places = (segment, np.arange(len(rows)))
    return np.asarray((csr_array((np.ones(len(rows)), places)) @ taken).toarray(), np.float64)


def _described(counts: npt.NDArray[np.float64], column: pd.Series) -> pd.DataFrame:
    """How often segments took each value: counts are (n_segments, n_items)."""
    codes, values = pd.factorize(column, sort=True)
    said = codes >= 0
    by_value = np.zeros((len(counts), len(values)))
    np.add.at(by_value.T, codes[said], counts[:, said].T)
    totals = by_value.sum(axis=1, keepdims=True)
    of_all = by_value.sum(axis=0) / max(1.0, by_value.sum())
    share = by_value / np.maximum(totals, 1.0)
    expected = totals * of_all
    deviation = np.sqrt(np.maximum(expected * (1 - of_all), 1e-12))
    segment, value = np.nonzero(expected >= _FEWEST)
    places = (segment, value)
    return pd.DataFrame(
        {
            "segment": segment,
            ATTRIBUTE: column.name,
            "value": np.asarray(values)[value],
            "share": share[places],
            "share_of_all": of_all[value],
            "lift": share[places] / of_all[value],
            "z": (by_value - expected)[places] / deviation[places],
        }
    )
