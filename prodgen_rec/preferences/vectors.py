"""Recommenders with preference vectors: a score is the inner product of a user's and an item's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from prodgen_rec.columns import ITEM_ID, RANK, SIMILARITY, USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences.base import Recommender
from prodgen_rec.preferences.filters import Filters, checked_count
from prodgen_rec.preferences.topk import ItemIndex, top_n

Vectors = npt.NDArray[np.float32]


class VectorRecommender(Recommender):
    """Learns item vectors, and knows how to find the vector of any history.

    A subclass implements `_learn_items` and `_vectors_of`.

    Attributes
    ----------
    user_vectors_ : numpy.ndarray
        float32, shape (n_users, d), in the order of ``users_``.
    item_vectors_ : numpy.ndarray
        float32, shape (n_items, d), in the order of ``items_``.
    """

    user_vectors_: Vectors
    item_vectors_: Vectors
    _index: _KeptIndex | None = None  # one for all copies

    @abstractmethod
    def _learn_items(self, evidence: csr_array, features: csr_array) -> Vectors:
        """Item vectors, shape (n_items, d); see `Recommender._learn`."""

    @abstractmethod
    def _vectors_of(self, histories: csr_array) -> Vectors:
        """Vectors of users with these histories, item vectors held fixed.

        Shape (n_users, n_items) of net evidence in, (n_users, d) out. What comes out for one
        user depends on that user's row alone, to the last bit.
        """

    def fold_in(self, history: Interactions) -> Vectors:
        """Vectors of users from their histories, as the fit would have found them.

        Parameters
        ----------
        history
            Users need not be known; items that are not known are ignored.

        Returns
        -------
        float32, shape (history.n_users, d), in the order of ``history.users``.
        """
        return self._vectors_of(self._record(history).matrix)

    def with_users(self, history: Interactions, vectors: Vectors) -> Self:
        """The same items for other users, whose vectors come from elsewhere.

        Parameters
        ----------
        history
            What the users have seen.
        vectors
            float32 (history.n_users, d), in the order of ``history.users``: of `NewcomerTaste`, for
            example.

        Raises
        ------
        InputError
            There are more or fewer vectors than users, or they are of another dimension.
        """
        expected = history.n_users, self._fitted().item_vectors_.shape[1]
        if vectors.shape != expected:
            raise InputError(
                f"vectors of shape {vectors.shape} came with {history.n_users} users; expected "
                f"{expected}"
            )
        self._index = self._index or _KeptIndex()
        other = copy(self)
        other.interactions_, other.user_vectors_ = self._record(history), vectors
        return other

    def similar_items(self, item_ids: Iterable[Any], n: int) -> pd.DataFrame:
        """The n items that are most like each of some, by the cosine of their vectors.

        Returns
        -------
        n rows per item, in the order given: ``item_id``, ``rank`` (int32 from 1), ``similar_id``,
        ``similarity`` (float32, -1 to 1). An item is not among its own; equals come by id.

        Raises
        ------
        UnknownIdError
            An item is not known.
        InputError
            There are not so many others.
        """
        rows = self.items_.index(as_id_array(item_ids, "items"), "item")
        return _similar(self.items_, self.item_vectors_, rows, n, "items", ITEM_ID)

    def similar_users(self, user_ids: Iterable[Any], n: int) -> pd.DataFrame:
        """The n users of the fit who are most like each of some; see `similar_items`."""
        rows = self.users_.index(as_id_array(user_ids, "users"), "user")
        return _similar(self.users_, self.user_vectors_, rows, n, "users", USER_ID)

    def _learn(self, evidence: csr_array, features: csr_array) -> None:
        self.item_vectors_ = self._learn_items(evidence, features)
        self.user_vectors_ = self._vectors_of(evidence)

    def _best(
        self,
        rows: npt.NDArray[np.int64] | None,
        histories: csr_array,
        n: int,
        filters: Filters,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        vectors = self._vectors_of(histories) if rows is None else self.user_vectors_[rows]
        return self._index_of(filters.allowed).best(vectors, n, excluded=filters.excluded)

    def _index_of(self, allowed: npt.NDArray[np.bool_]) -> ItemIndex:
        """Items that are allowed, to be searched; kept, because users come a few at a time."""
        self._index = self._index or _KeptIndex()
        return self._index.of(self.item_vectors_, allowed)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"user_vectors": self.user_vectors_, "item_vectors": self.item_vectors_}

    def _set_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.user_vectors_ = _of_length(len(self.users_), arrays["user_vectors"])
        self.item_vectors_ = _of_length(len(self.items_), arrays["item_vectors"])


@dataclass(eq=False)
class _KeptIndex:
    """The index that was needed last, and what it is of."""

    _last: tuple[Vectors, npt.NDArray[np.bool_], ItemIndex] | None = None

    def of(self, vectors: Vectors, allowed: npt.NDArray[np.bool_]) -> ItemIndex:
        """Index of the items that are allowed."""
        last = self._last  # another thread may put its own there meanwhile
        if last is None or last[0] is not vectors or (last[1] != allowed).any():
            last = self._last = vectors, allowed.copy(), ItemIndex(vectors, allowed)
        return last[2]


def _similar(
    ids: IdMap, vectors: Vectors, rows: npt.NDArray[np.int64], n: int, what: str, column: str
) -> pd.DataFrame:
    n = checked_count(n, what)
    if n >= len(ids):
        raise InputError(f"n = {n}, but there are {len(ids) - 1} other {what}; ask for fewer")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    itself = csr_array(
        (np.ones(len(rows), bool), (np.arange(len(rows)), rows)), shape=(len(rows), len(ids))
    )
    index, similarity = top_n(units[rows], units, n, excluded=itself)
    return pd.DataFrame(
        {
            column: ids.take(np.repeat(rows, n)),
            RANK: np.tile(np.arange(1, n + 1, dtype=np.int32), len(rows)),
            "similar_id": ids.take(index),
            SIMILARITY: similarity.astype(np.float32).ravel(),
        }
    )


def _of_length(n: int, vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if vectors.ndim != 2 or len(vectors) != n:
        raise ValueError(f"vectors of shape {vectors.shape} for {n} ids")
    return vectors
