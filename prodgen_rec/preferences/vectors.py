"""Recommenders with preference vectors: a score is the inner product of a user's and an item's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences.base import Recommender
from prodgen_rec.preferences.filters import Filters
from prodgen_rec.preferences.topk import top_n

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
        return self._vectors_of(history.for_items(self.items_).matrix)

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
        return top_n(
            vectors, self.item_vectors_, n, allowed=filters.allowed, excluded=filters.excluded
        )

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"user_vectors": self.user_vectors_, "item_vectors": self.item_vectors_}

    def _set_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.user_vectors_ = _of_length(len(self.users_), arrays["user_vectors"])
        self.item_vectors_ = _of_length(len(self.items_), arrays["item_vectors"])


def _of_length(n: int, vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if vectors.ndim != 2 or len(vectors) != n:
        raise ValueError(f"vectors of shape {vectors.shape} for {n} ids")
    return vectors
