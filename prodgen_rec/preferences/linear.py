"""Recommenders in which every item of a history adds a vector of its own to that of its user."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from prodgen_rec.preferences.liked import liked
from prodgen_rec.preferences.vectors import VectorRecommender, Vectors


class LinearRecommender(VectorRecommender):
    """The vector of a user is a sum over the items of positive net evidence, whatever its size.

    A subclass implements `_learn_items` and `_by_item`.
    """

    @property
    def weighs_evidence(self) -> bool:
        """It does not."""
        return False

    @abstractmethod
    def _by_item(self, items: slice | npt.NDArray[np.integer[Any]]) -> Vectors:
        """What items in a history add to the vector of its user, one row each."""

    def _vectors_of(self, histories: csr_array) -> Vectors:
        return np.asarray(liked(histories) @ self._by_item(slice(None)))

    def _parts(self, history: csr_array, item: int) -> npt.NDArray[np.float64]:
        each = self._by_item(history.indices).astype(np.float64)
        return np.where(history.data > 0, each @ self.item_vectors_[item], 0.0)
