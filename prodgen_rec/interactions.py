"""Events as evidence: one number per user and item.

The evidence of a pair is the sum over its events of

    weight · sqrt(quantity) · 2^(-age / half-life)

so that ten pieces of one order count for about three orders, and old interest fades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from prodgen_rec.columns import EVENT, EVENT_WEIGHTS, ITEM_ID, QUANTITY, TIMESTAMP, USER_ID, VALUE
from prodgen_rec.errors import ConfigError, EventsError, InputError
from prodgen_rec.events import Events, read_events
from prodgen_rec.events.timestamps import microseconds
from prodgen_rec.events.weights import checked_weights
from prodgen_rec.hashing import hash_ids, hash_pairs, uniform_of
from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.matrices import check_matrix, first_not_finite

_MICROSECONDS_PER_DAY: Final = 86_400_000_000


@dataclass(frozen=True, eq=False)
class Interactions:
    """Users, items, and the evidence between them.

    Parameters
    ----------
    users, items
        Raw ids of the rows and columns. ``IdMap.of`` sorts ids; ``IdMap(as_id_array(ids))`` keeps
        the order in which a matrix of one's own has them.
    matrix
        Float32, shape (n_users, n_items), finite, canonical: each pair once, the columns of a row
        ascending. A stored entry says that the user has touched the item; its value, the net
        evidence, may be 0 or negative.

    Raises
    ------
    InputError
        An id has two places, or the matrix is another one, for instance items × users.
    """

    users: IdMap
    items: IdMap
    matrix: csr_array

    def __post_init__(self) -> None:
        what = "interactions, users × items"
        for name, ids in (("users", self.users), ("items", self.items)):
            if not isinstance(ids, IdMap):
                raise InputError(
                    f"{what}: expected an IdMap of {name}, got {type(ids).__name__}; "
                    "IdMap(as_id_array(ids)) makes one"
                )
            if ids.first_repeated is not None:
                raise InputError(
                    f"{what}: the IdMap of {name} holds {ids.first_repeated!r} more than once; "
                    "expected one place for each id: add up the rows or columns of equal ids"
                )
        check_matrix(self.matrix, (len(self.users), len(self.items)), what)
        bad = first_not_finite(self.matrix)
        if bad is not None:
            user, item = self.users.arrow[bad.row].as_py(), self.items.arrow[bad.column].as_py()
            raise InputError(
                f"{what}: the evidence of user {user!r} for item {item!r} is {bad.value}; "
                "expected finite numbers: leave such pairs out"
            )

    @property
    def n_users(self) -> int:
        """Number of rows."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of columns."""
        return len(self.items)

    @property
    def n_pairs(self) -> int:
        """Number of stored entries."""
        return int(self.matrix.nnz)

    def __repr__(self) -> str:
        return (
            f"Interactions({self.n_users:,} users × {self.n_items:,} items, {self.n_pairs:,} pairs)"
        )

    def for_items(self, items: IdMap) -> Interactions:
        """The same users on other items; what the new ones do not hold is dropped."""
        return Interactions(self.users, items, on_items(self.matrix, self.items, items))

    def for_users(self, user_ids: Iterable[Any], *, allow_unknown: bool = False) -> Interactions:
        """Only these users, in this order, on the same items.

        Parameters
        ----------
        user_ids
            Raw ids, each at most once.
        allow_unknown
            Give users that are not known an empty history instead of refusing them.

        Raises
        ------
        UnknownIdError
            A user is not known.
        InputError
            A user is named twice.
        """
        users = IdMap(as_id_array(user_ids, "users"))
        n_again = len(users) - len(users.arrow.unique())
        if n_again:
            raise InputError(f"{n_again} of the {len(users)} users are named more than once")
        if not allow_unknown:
            return Interactions(
                users, self.items, self.matrix[self.users.index(users.arrow, "user")]
            )
        rows = self.users.find(users.arrow)
        known = self.matrix[rows[rows >= 0]]
        indptr = known.indptr[np.append(0, np.cumsum(rows >= 0))]  # nothing for the unknown
        return Interactions(
            users, self.items, _csr(known.data, known.indices, indptr, self.n_items)
        )

    def of_single_items(self) -> Interactions:
        """For each item somebody who took that alone, with the mean of all positive evidence."""
        positive = self.matrix.data[self.matrix.data > 0]
        evidence = positive.mean(dtype=np.float64) if len(positive) else 0.0
        data = np.full(self.n_items, evidence, np.float32)
        every = np.arange(self.n_items + 1)
        return Interactions(self.items, self.items, _csr(data, every[:-1], every, self.n_items))

    def thinned(self, seed: int) -> Interactions:
        """Some pairs of each user, at least one of a history that is not empty.

        Every pair is kept with a chance that is drawn for its user. Chance follows from
        (seed, user, item) alone.
        """
        matrix = self.matrix
        user_hashes = hash_ids(self.users.arrow, seed)
        rows = np.repeat(np.arange(self.n_users), np.diff(matrix.indptr))
        item_hashes = hash_ids(self.items.arrow, seed)[matrix.indices]
        draws = uniform_of(hash_pairs(user_hashes[rows], item_hashes))
        least = np.full(self.n_users, np.inf)
        np.minimum.at(least, rows, draws)
        kept = draws <= np.maximum(uniform_of(user_hashes), least)[rows]
        return self.where(kept)

    def where(self, kept: npt.NDArray[np.bool_]) -> Interactions:
        """Some of the pairs, of the same users and items.

        Parameters
        ----------
        kept
            Shape (n_pairs,), in the order of ``matrix.data``.
        """
        indptr = np.append(0, np.cumsum(kept))[self.matrix.indptr]
        data, indices = self.matrix.data[kept], self.matrix.indices[kept]
        return Interactions(self.users, self.items, _csr(data, indices, indptr, self.n_items))

    def history(self, user_id: int | str) -> pd.DataFrame:
        """Items of a user, ``item_id`` and ``value``, the strongest first, equals by id.

        Raises
        ------
        UnknownIdError
            The user is not known.
        """
        (row,) = self.users.index([user_id], "user")
        entries = slice(self.matrix.indptr[row], self.matrix.indptr[row + 1])
        frame = pd.DataFrame(
            {
                ITEM_ID: self.items.take(self.matrix.indices[entries]),
                VALUE: self.matrix.data[entries],
            }
        )
        return frame.sort_values([VALUE, ITEM_ID], ascending=[False, True], ignore_index=True)


def build_interactions(
    events: Events,
    *,
    event_weights: Mapping[str, float] = EVENT_WEIGHTS,
    half_life_days: float | None = None,
    reference_time: datetime | None = None,
) -> Interactions:
    """Sum the evidence of every pair of user and item.

    Parameters
    ----------
    events
        Good rows of a log; their order does not matter, to the last bit.
    event_weights
        Evidence of one event by name. Every event that occurs needs a weight; 0 counts for
        nothing and still marks the item as seen.
    half_life_days
        Days after which an event counts half; None for no decay.
    reference_time
        Moment from which ages count; later events have age 0. Default: the newest event. A
        naive datetime is UTC.

    Returns
    -------
    Interactions
        Users and items that occur, sorted by id.

    Raises
    ------
    ConfigError
        A weight is not finite, is missing for an event of the log, or names an event that the
        log was not read with; or the half-life is not positive.
    EventsError
        There are no events.
    """
    if len(events) == 0:
        raise EventsError(f"there are no events in {events!r}; expected at least one")
    users, user_index = events.indexed(USER_ID)
    items, item_index = events.indexed(ITEM_ID)
    values = _weights_by_row(events, event_weights) * np.sqrt(events.numbers(QUANTITY))
    if half_life_days is not None:
        values *= _decay(events, half_life_days, reference_time)
    pairs, sums = _sums_by_pair(user_index, item_index, len(items), values)
    rows, columns = np.divmod(pairs, len(items))
    indptr = np.searchsorted(rows, np.arange(len(users) + 1))
    matrix = _csr(sums.astype(np.float32), columns, indptr, len(items))
    return Interactions(users, items, matrix)


def interactions_of(
    log: Any, event_weights: Mapping[str, float], half_life_days: float | None
) -> Interactions:
    """Evidence in a log, ages counted from its newest event.

    Parameters
    ----------
    log
        `Events`, or whatever `read_events` takes; `Interactions` are returned unchanged.
    event_weights, half_life_days
        See `build_interactions`.
    """
    if isinstance(log, Interactions):
        return log
    events = read_events(log, event_weights=event_weights)
    return build_interactions(events, event_weights=event_weights, half_life_days=half_life_days)


def _sums_by_pair(
    user_index: npt.NDArray[np.int32],
    item_index: npt.NDArray[np.int32],
    n_items: int,
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """User · n_items + item of every pair that occurs, ascending, and its sum of values.

    A floating-point sum depends on the order of its terms, so they are sorted, too: NumPy sorts
    complex numbers by the real part, then by the imaginary one, and that in half the time that
    `numpy.lexsort` takes, and without the gathers after it. Pairs are exact below 2^53.
    """
    keys = np.empty(len(values), np.complex128)
    keys.real = user_index
    keys.real *= n_items
    keys.real += item_index
    keys.imag = values
    keys.sort()
    starts = np.flatnonzero(np.append(True, keys.real[1:] != keys.real[:-1]))
    return keys.real[starts].astype(np.int64), np.add.reduceat(keys.imag, starts)


def on_items(matrix: csr_array, before: IdMap, after: IdMap) -> csr_array:
    """A canonical matrix whose columns are items, on other items.

    Columns that the new ones do not hold are dropped; those that are new are empty.
    """
    columns = after.find(before.arrow)[matrix.indices]
    known = columns >= 0
    indptr = np.append(0, np.cumsum(known))[matrix.indptr]
    moved = _csr(matrix.data[known], columns[known], indptr, len(after))
    moved.sort_indices()
    return moved


def _csr(
    data: npt.NDArray[np.float32],
    columns: npt.NDArray[np.int64],
    indptr: npt.NDArray[np.int64],
    n_columns: int,
) -> csr_array:
    """Matrix with int32 indices wherever they fit: implicit reads no others."""
    fits = max(len(data), n_columns) <= np.iinfo(np.int32).max
    index = np.int32 if fits else np.int64
    parts = (data, columns.astype(index), indptr.astype(index))
    return csr_array(parts, shape=(len(indptr) - 1, n_columns))


def _weights_by_row(events: Events, event_weights: Mapping[str, float]) -> npt.NDArray[np.float64]:
    weights = checked_weights(event_weights)
    dictionary, codes = events.codes(EVENT)
    known = dictionary.to_pylist()
    unknown = sorted(weights.keys() - known)
    if unknown:
        raise ConfigError(
            f"event_weights names {', '.join(map(repr, unknown))}, which the log was not read "
            f"with; it was read with {', '.join(known)}; give read_events the same event_weights"
        )
    counts = np.bincount(codes, minlength=len(known))
    lacking = [
        name for name, count in zip(known, counts, strict=True) if count and name not in weights
    ]
    if lacking:
        raise ConfigError(
            f"event_weights has no weight for {', '.join(map(repr, lacking))}, which the log "
            "holds; a weight of 0 counts for nothing and still marks the item as seen"
        )
    return np.array([weights.get(name, 0.0) for name in known])[codes]


def _decay(
    events: Events, half_life_days: float, reference_time: datetime | None
) -> npt.NDArray[np.float64]:
    """Factor of each event, 0 to 1, 1 for age 0."""
    if not 0 < half_life_days < np.inf:
        raise ConfigError(
            f"half_life_days is {half_life_days}; expected a number above 0, or None for no decay"
        )
    moments = events.numbers(TIMESTAMP)
    reference = microseconds(reference_time) if reference_time else int(moments.max())
    ages = np.maximum(reference - moments, 0) / _MICROSECONDS_PER_DAY
    return np.asarray(np.exp2(-ages / half_life_days))
