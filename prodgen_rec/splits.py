"""Splits of a log into a part to learn from and a part to be judged on.

Every split is complete and disjoint, and none depends on the order of rows. Where chance
decides, it depends on the seed and the raw ids alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from prodgen_rec.columns import ITEM_ID, TIMESTAMP, USER_ID
from prodgen_rec.errors import ConfigError, EventsError
from prodgen_rec.events import Events
from prodgen_rec.events.timestamps import microseconds
from prodgen_rec.hashing import Hashes, hash_ids, hash_pairs

Mask = npt.NDArray[np.bool_]


class Split(NamedTuple):
    """The two sides of a split."""

    train: Events
    test: Events


def split_by_time(events: Events, cutoff: datetime | float) -> Split:
    """Older events to train, newer ones to test.

    Parameters
    ----------
    events
        The log.
    cutoff
        First moment of test (a naive datetime is UTC); or the share of newest events for
        test, 0 to 1 exclusive. Events of one moment stay together, so that the share may be
        exceeded.

    Raises
    ------
    EventsError
        One side would be empty.
    """
    moments = events.numbers(TIMESTAMP)
    if isinstance(cutoff, datetime):
        first = microseconds(cutoff)
    else:
        n_test = int(_held_out(np.array(len(moments)), _checked_fraction(cutoff)))
        newest = np.sort(moments)[-n_test:]
        first = int(newest[0]) if len(newest) else 0
    return _split(events, moments >= first, f"cutoff {cutoff}")


def split_last_out(events: Events, n: int = 1) -> Split:
    """Of every user, the ``n`` items touched last to test.

    All events of a held-out pair go to test, the early ones too, so that nothing of it leaks.
    Items touched last at the same moment are taken by id, the largest first. Users with at most
    ``n`` items stay in train as a whole.

    Raises
    ------
    ConfigError
        ``n`` is below 1.
    EventsError
        No user has more than ``n`` items.
    """
    if n < 1:
        raise ConfigError(f"n is {n}; expected at least 1")
    pairs = _Pairs.of(events)
    last = np.full(len(pairs.users), np.iinfo(np.int64).min)
    np.maximum.at(last, pairs.by_row, events.numbers(TIMESTAMP))
    place, n_items = _places(pairs.users, (-pairs.items, -last))
    return _split(events, ((place < n) & (n_items > n))[pairs.by_row], f"n={n}")


def split_pairs(events: Events, fraction: float = 0.2, seed: int = 0) -> Split:
    """Of every user, a random share of the items to test, with all their events.

    The share is rounded up, and every user keeps at least one item in train.

    Raises
    ------
    ConfigError
        ``fraction`` is not between 0 and 1.
    EventsError
        No user has two items.
    """
    pairs = _Pairs.of(events)
    drawn = hash_pairs(
        _hashes(events, USER_ID, seed)[pairs.users], _hashes(events, ITEM_ID, seed)[pairs.items]
    )
    place, n_items = _places(pairs.users, (pairs.items, drawn))
    n_test = np.minimum(_held_out(n_items, _checked_fraction(fraction)), n_items - 1)
    return _split(events, (place < n_test)[pairs.by_row], f"fraction={fraction}")


def split_users(events: Events, fraction: float, seed: int = 0) -> Split:
    """A random share of the users to test, as a whole.

    Each user is drawn independently with that probability, so that users who join or leave
    the log move nobody else across.

    Raises
    ------
    ConfigError
        ``fraction`` is not between 0 and 1.
    EventsError
        One side would be empty.
    """
    bound = np.uint64(_checked_fraction(fraction) * 2.0**64)
    _, codes = events.codes(USER_ID)
    in_test = _hashes(events, USER_ID, seed) < bound
    return _split(events, in_test[codes], f"fraction={fraction}, seed={seed}")


class _Pairs(NamedTuple):
    """Distinct pairs of a log, sorted, by dictionary codes; and the pair of each row."""

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    by_row: npt.NDArray[np.int64]

    @classmethod
    def of(cls, events: Events) -> _Pairs:
        _, user_codes = events.codes(USER_ID)
        dictionary, item_codes = events.codes(ITEM_ID)
        keys = user_codes * np.int64(len(dictionary)) + item_codes
        distinct, by_row = np.unique(keys, return_inverse=True)
        users, items = np.divmod(distinct, len(dictionary))
        return cls(users, items, by_row)


def _places(
    users: npt.NDArray[np.int64], keys: tuple[npt.NDArray[Any], ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Place of each pair, from 0, among its user's by keys (the last is the first to count).

    The second array is the number of pairs of its user. ``users`` is sorted.
    """
    order = np.lexsort((*keys, users))
    _, starts, user_of, counts = np.unique(
        users, return_index=True, return_inverse=True, return_counts=True
    )
    place = np.empty(len(users), np.int64)
    place[order] = np.arange(len(users)) - starts[user_of]
    return place, counts[user_of]


def _hashes(events: Events, column: str, seed: int) -> Hashes:
    """Hash of each id of a column's dictionary."""
    dictionary, _ = events.codes(column)
    return hash_ids(dictionary, seed)


def _held_out(n: npt.NDArray[Any], fraction: float) -> npt.NDArray[np.int64]:
    """Share of counts, rounded up; 0.07 of 100 is 7 in spite of its binary fraction."""
    return np.maximum(np.ceil(np.round(n * fraction, 9)), 1).astype(np.int64)


def _checked_fraction(fraction: Any) -> float:
    if not isinstance(fraction, int | float) or not 0 < fraction < 1:
        raise ConfigError(f"fraction is {fraction!r}; expected a number between 0 and 1, exclusive")
    return float(fraction)


def _split(events: Events, in_test: Mask, setting: str) -> Split:
    n_test = int(in_test.sum())
    if not 0 < n_test < len(events):
        raise EventsError(
            f"the split by {setting} leaves {len(events) - n_test:,} events in train and "
            f"{n_test:,} in test; expected some in both; choose another setting for {events!r}"
        )
    return Split(events.where(~in_test), events.where(in_test))
