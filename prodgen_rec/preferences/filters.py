"""Who may get which item, and why somebody is left with too few."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError
from prodgen_rec.ids import IdMap, as_id_array, like

Blocked = Iterable[Any] | Mapping[Any, Iterable[Any]]
"""Item ids that nobody gets, or for each user id the item ids that this user does not get."""


@dataclass(frozen=True)
class Quota:
    """At most so many items of one group in a list.

    Parameters
    ----------
    groups
        Raw item id to its group, any value that can be compared for equality, such as a column
        of a catalogue (``dict(zip(ids, column))``). Items without one, or whose group is empty, are
        not limited.
    most
        Items of one group in the list of a user, at least 1.

    Raises
    ------
    InputError
        ``groups`` is no mapping; or ``most`` is no whole number, or below 1.
    """

    groups: Mapping[Any, Any]
    most: int

    def __post_init__(self) -> None:
        groups: object = self.groups  # whatever came
        if not isinstance(groups, Mapping):
            raise InputError(
                f"groups: expected a mapping from item id to group, got {type(groups).__name__}; "
                "dict(zip(ids, column)) makes one"
            )
        checked_count(self.most, "items of a group")

    def codes(self, items: IdMap) -> npt.NDArray[np.int64]:
        """Group of each item by number, shape (n_items,), -1 where it is not limited."""
        codes, _ = pd.factorize(pd.Series(list(self.groups.values()), dtype=object))
        place = items.find(like(as_id_array(list(self.groups), "items of groups"), items.arrow))
        of_items = np.full(len(items), -1, np.int64)
        of_items[place[place >= 0]] = codes[place >= 0]
        return of_items


def checked_count(n: int, what: str) -> int:
    """A whole number of ``what`` per user.

    Raises
    ------
    InputError
        It is no whole number, or below 1.
    """
    try:
        count = operator.index(n)
    except TypeError:
        count = 0
    if count < 1:
        raise InputError(f"n = {n!r}: expected a whole number of {what} per user, at least 1")
    return count


@dataclass(frozen=True, eq=False)
class Filters:
    """What keeps an item from a user: it is seen, blocked, or not a candidate.

    Parameters
    ----------
    users
        Raw id of each row; a user may have several.
    candidates
        Shape (n_items,), items that may be recommended.
    blocked
        Shape (n_items,), items that nobody gets.
    seen
        Shape (n_users, n_items), bool: what is stored is seen.
    blocked_for_user
        Shape (n_users, n_items), bool: what is stored is blocked.
    """

    users: pa.Array
    candidates: npt.NDArray[np.bool_]
    blocked: npt.NDArray[np.bool_]
    seen: csr_array
    blocked_for_user: csr_array

    @classmethod
    def of(
        cls,
        users: pa.Array,
        items: IdMap,
        *,
        seen: csr_array | None,
        candidates: Iterable[Any] | None,
        blocked: Blocked | None,
    ) -> Filters:
        """Filters from raw ids; ids that the model does not know filter nothing.

        Parameters
        ----------
        users
            Raw id of each row.
        items
            The catalogue.
        seen
            Shape (n_users, n_items); what is stored is seen, whatever the value.
        candidates
            Raw ids of the items that may be recommended; None means all.
        blocked
            Raw ids of items that nobody gets, or such ids for each user id.
        """
        shape = (len(users), len(items))
        by_user = blocked if isinstance(blocked, Mapping) else {}
        for_all = blocked if blocked is not None and not isinstance(blocked, Mapping) else []
        return cls(
            users,
            np.ones(len(items), bool)
            if candidates is None
            else _mask(items, as_id_array(candidates, "candidates")),
            _mask(items, as_id_array(for_all, "blocked")),
            csr_array(shape, dtype=bool) if seen is None else _pattern(seen),
            _blocked_rows(users, items, by_user),
        )

    @cached_property
    def allowed(self) -> npt.NDArray[np.bool_]:
        """Items that anyone may get, shape (n_items,)."""
        return self.candidates & ~self.blocked

    @cached_property
    def excluded(self) -> csr_array:
        """Pairs that are seen or blocked for the user, bool, shape (n_users, n_items)."""
        return self.seen + self.blocked_for_user

    @cached_property
    def left(self) -> npt.NDArray[np.int64]:
        """How many items each user may get, shape (n_users,)."""
        return np.asarray(self.allowed.sum() - self.excluded @ self.allowed.astype(np.int64))

    def for_rows(self, rows: npt.NDArray[np.int64]) -> Filters:
        """The same for some of the users."""
        return Filters(
            self.users.take(pa.array(rows)),
            self.candidates,
            self.blocked,
            self.seen[rows],
            self.blocked_for_user[rows],
        )

    def check(self, n: int) -> None:
        """Refuse a request for more items than are left.

        Raises
        ------
        InputError
            Names the first user with fewer than n items left, and where the others went.
        """
        n_items, left = len(self.candidates), self.left
        if n > n_items:
            raise InputError(f"n = {n}, but the catalogue has {n_items} items; ask for fewer")
        if (left < n).any():
            row = int(np.argmax(left < n))
            raise InputError(
                f"user {self.users[row].as_py()!r}: {n} items asked for, {left[row]} remain "
                f"({self._account(row)}); the fewest that any user has left is {left.min()}: "
                "ask for no more, widen candidates or pass exclude_seen=False"
            )

    def _account(self, row: int) -> str:
        blocked = self.blocked.copy()
        blocked[self.blocked_for_user[[row]].indices] = True
        return (
            f"catalogue {len(self.candidates)}, seen {self.seen[[row]].nnz}, "
            f"blocked {blocked.sum()}, not candidates {(~self.candidates).sum()}"
        )


def _mask(items: IdMap, ids: pa.Array) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(items), bool)
    found = items.find(ids)
    mask[found[found >= 0]] = True
    return mask


def _pattern(matrix: csr_array) -> csr_array:
    """Where the matrix stores something, explicit zeros included."""
    stored = np.ones(matrix.nnz, bool)
    return csr_array((stored, matrix.indices, matrix.indptr), shape=matrix.shape)


def _blocked_rows(users: pa.Array, items: IdMap, blocked: Mapping[Any, Iterable[Any]]) -> csr_array:
    """The blocked items of each row, bool; users who were not asked for have none."""
    asked = IdMap.of(users)
    lists = [like(as_id_array(ids, "blocked"), items.arrow) for ids in blocked.values()]
    owner = np.repeat(asked.find(list(blocked)), [len(ids) for ids in lists])
    item = items.find(pa.chunked_array(lists, items.arrow.type))
    known = (owner >= 0) & (item >= 0)
    pairs = csr_array(
        (np.ones(known.sum(), bool), (owner[known], item[known])), shape=(len(asked), len(items))
    )
    return pairs[asked.find(users)]
