"""What a behaviour log says before any model is fitted: tables of one question each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.spatial.distance import jensenshannon

from prodgen_rec.catalog import Catalog
from prodgen_rec.columns import EVENT, EVENT_WEIGHTS, ITEM_ID, TIMESTAMP, USER_ID
from prodgen_rec.errors import ConfigError
from prodgen_rec.events import Events

_PURCHASE = "purchase"
_SHORTEST_DAYS, _LONGEST_DAYS = 0.001, 36_500
_LONGEST_GAP = 1_000_000


def funnel(events: Events) -> pd.DataFrame:
    """How far interest goes, from views to purchases and returns.

    Returns
    -------
    One row per event that occurs, known ones by their default weight and before the others:
    ``event``, ``n_events``, ``n_users``, ``n_items``, ``n_pairs`` (distinct users and items),
    ``of_previous``, the share of the pairs of the row before that are among these, too (NaN in the
    first row), and ``purchased``, the share of these pairs that were purchased, before or after
    (NaN in a log without purchases).
    """
    table = events.to_pandas()
    known = [name for name in EVENT_WEIGHTS if name in set(table[EVENT])]
    names = known + sorted(set(table[EVENT]) - set(known))
    all_pairs = pd.MultiIndex.from_frame(table[[USER_ID, ITEM_ID]])
    bought = all_pairs[table[EVENT] == _PURCHASE].unique()
    rows, previous = [], None
    for name in names:
        part = table[table[EVENT] == name]
        pairs = all_pairs[table[EVENT] == name].unique()
        on = np.nan if previous is None else float(previous.isin(pairs).mean())
        counts = (len(part), part[USER_ID].nunique(), part[ITEM_ID].nunique(), len(pairs))
        rows.append((name, *counts, on, pairs.isin(bought).mean() if len(bought) else np.nan))
        previous = pairs
    columns = [EVENT, "n_events", "n_users", "n_items", "n_pairs", "of_previous", "purchased"]
    return pd.DataFrame(rows, columns=columns)


def sessions(events: Events, *, gap_minutes: float = 30.0) -> pd.DataFrame:
    """Visits: events of a user with no longer pause than ``gap_minutes``.

    A log that knows days alone has one session per user and day at most.

    Returns
    -------
    One row per session, by user and time: ``user_id``, ``start``, ``minutes``, ``n_events``,
    ``n_items``, ``purchased`` (bool).

    Raises
    ------
    ConfigError
        The gap is not above 0, or above 1,000,000.
    """
    if not 0 < gap_minutes <= _LONGEST_GAP:
        raise ConfigError(
            f"gap_minutes = {gap_minutes!r}: expected more than 0, at most {_LONGEST_GAP:,}"
        )
    table = events.to_pandas().sort_values([USER_ID, TIMESTAMP], kind="stable")
    pause = table.groupby(USER_ID)[TIMESTAMP].diff()
    number = (pause.isna() | (pause > pd.Timedelta(minutes=gap_minutes))).cumsum()
    by_session = table.assign(bought=table[EVENT] == _PURCHASE).groupby(number.to_numpy())
    start, end = by_session[TIMESTAMP].min(), by_session[TIMESTAMP].max()
    return pd.DataFrame(
        {
            USER_ID: by_session[USER_ID].first(),
            "start": start,
            "minutes": (end - start).dt.total_seconds() / 60,
            "n_events": by_session.size(),
            "n_items": by_session[ITEM_ID].nunique(),
            "purchased": by_session["bought"].any(),
        }
    ).reset_index(drop=True)


def recency_and_frequency(events: Events) -> pd.DataFrame:
    """When and how often users come.

    Returns
    -------
    One row per user: ``user_id``, ``recency_days`` (from the user's last event to the last of the
    log), ``n_days`` (with an event), ``n_events``, ``n_items`` (different ones), ``n_purchases``,
    ``n_repeated`` (items that were purchased on more than one day).
    """
    table = events.to_pandas()
    table["day"] = table[TIMESTAMP].dt.floor("D")
    by_user = table.groupby(USER_ID)
    bought = table[table[EVENT] == _PURCHASE]
    days = bought.groupby([USER_ID, ITEM_ID])["day"].nunique()
    found = pd.DataFrame(
        {
            "recency_days": (table[TIMESTAMP].max() - by_user[TIMESTAMP].max())
            / pd.Timedelta(days=1),
            "n_days": by_user["day"].nunique(),
            "n_events": by_user.size(),
            "n_items": by_user[ITEM_ID].nunique(),
            "n_purchases": bought.groupby(USER_ID).size(),
            "n_repeated": (days > 1).groupby(level=USER_ID).sum(),
        }
    )
    counts = ["n_purchases", "n_repeated"]
    found[counts] = found[counts].fillna(0).astype(np.int64)
    return found.reset_index()


def popularity(events: Events) -> pd.DataFrame:
    """How interest is spread over the items.

    Returns
    -------
    One row per item, the most popular first, equals by id: ``item_id``, ``n_users``, ``n_events``
    and ``share``, of all pairs of users and items those of this item and the ones before it.
    """
    by_item = events.to_pandas().groupby(ITEM_ID)
    found = pd.DataFrame({"n_users": by_item[USER_ID].nunique(), "n_events": by_item.size()})
    found = found.sort_values("n_users", ascending=False, kind="stable").reset_index()
    return found.assign(share=found["n_users"].cumsum() / found["n_users"].sum())


def gini(popularity: pd.DataFrame) -> float:
    """How unequal items are, from what `popularity` found.

    Returns
    -------
    0 where all items have as many users, 1 - 1 / n where one of n items has all; NaN for no items.
    """
    if popularity.empty:
        return np.nan
    # Twice the area between the curve of the shares and the straight line of equal ones.
    return float(2 * np.trapezoid([0, *popularity["share"]], dx=1 / len(popularity)) - 1)


def drift(events: Events, *, days: float = 7.0) -> pd.DataFrame:
    """How users and tastes change from one period to the next.

    Parameters
    ----------
    days
        Length of a period, 0.001 to 36,500; the first begins with the day (UTC) of the first event.

    Returns
    -------
    One row per period, in order: ``start``, ``n_events``, ``n_users``, ``new_users`` (share of
    users who were not there before), ``n_items``, ``new_items``, and ``distance``: the
    Jensen-Shannon distance, 0 to 1, of the events' items from those of the period before (NaN in
    the first period and beside an empty one).

    Raises
    ------
    ConfigError
        The length is out of range.
    """
    if not _SHORTEST_DAYS <= days <= _LONGEST_DAYS:
        raise ConfigError(f"days = {days!r}: expected {_SHORTEST_DAYS} to {_LONGEST_DAYS:,}")
    table, length = events.to_pandas(), pd.Timedelta(days=days)
    first = table[TIMESTAMP].min().floor("D")
    period = (table[TIMESTAMP] - first) // length
    numbers = pd.RangeIndex(int(period.max()) + 1 if len(table) else 0)
    n_events = period.value_counts().reindex(numbers, fill_value=0)
    found = pd.DataFrame({"start": first + numbers * length, "n_events": n_events})
    for name, what in ((USER_ID, "users"), (ITEM_ID, "items")):
        distinct = table.groupby(period)[name].nunique().reindex(numbers, fill_value=0)
        debuts = period.groupby(table[name]).min().value_counts().reindex(numbers, fill_value=0)
        found[f"n_{what}"], found[f"new_{what}"] = distinct, debuts / distinct
    item_ids, codes = events.indexed(ITEM_ID)
    places, shape = (period.to_numpy(), codes), (len(numbers), len(item_ids))
    counts = csr_array((np.ones(len(table)), places), shape=shape)
    pairs = (counts[[number - 1, number]] for number in numbers[1:])
    return found.assign(distance=[np.nan, *map(_distance, pairs)][: len(numbers)])


def _distance(counts: csr_array) -> float:
    """Between two rows; only the columns that they hold are ever dense."""
    one, other = counts[:, np.unique(counts.indices)].toarray()
    both = one.sum() > 0 and other.sum() > 0
    return float(jensenshannon(one, other, base=2)) if both else np.nan


def photo_coverage(events: Events, catalog: Catalog) -> pd.DataFrame:
    """How much of what happens a catalogue can show.

    Returns
    -------
    Rows ``items``, ``events``, ``users`` (of whom some item is shown): ``what``, ``n``,
    ``in_catalog`` and ``with_photo``, shares from 0 to 1.
    """
    table = events.to_pandas()
    item_ids, codes = events.indexed(ITEM_ID)
    place = catalog.items.find(item_ids.arrow)
    known = place >= 0
    shown = known & (catalog.photo_index[place] >= 0)
    rows = [("items", len(item_ids), known.mean(), shown.mean())]
    rows.append(("events", len(table), known[codes].mean(), shown[codes].mean()))
    by_user = [
        pd.Series(mask[codes]).groupby(table[USER_ID].to_numpy()).any() for mask in (known, shown)
    ]
    rows.append(("users", len(by_user[0]), by_user[0].mean(), by_user[1].mean()))
    return pd.DataFrame(rows, columns=["what", "n", "in_catalog", "with_photo"])
