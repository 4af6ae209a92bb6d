"""The same list for everyone: the baseline that every personal recommender must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError
from prodgen_rec.preferences.vectors import VectorRecommender, Vectors


@dataclass(eq=False)
class Popularity(VectorRecommender):
    """Rank items by how many different users have positive net evidence for them.

    Users are counted, not events, so that one heavy buyer moves an item by one place at most.
    Item vectors are these counts, shape (n_items, 1); every user's vector is 1, also that of a
    user without any history, which makes this the fallback for cold users. Features of items say
    nothing here.
    """

    def _learn_items(self, evidence: csr_array, features: csr_array) -> Vectors:
        counts = np.bincount(evidence.indices[evidence.data > 0], minlength=evidence.shape[1])
        return counts.astype(np.float32)[:, None]

    def _vectors_of(self, histories: csr_array) -> Vectors:
        return np.ones((histories.shape[0], 1), np.float32)

    def _parts(self, history: csr_array, item: int) -> npt.NDArray[np.float64]:
        raise InputError(
            "popularity looks at nobody's history, which is no part of any score; "
            "explain a recommender that is personal"
        )
