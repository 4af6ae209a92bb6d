"""The same list for everyone: the baseline that every personal recommender must beat."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.preferences.vectors import VectorRecommender, Vectors


@dataclass(eq=False)
class Popularity(VectorRecommender):
    """Rank items by how many different users have positive net evidence for them.

    Users are counted, not events, so that one heavy buyer adds at most 1 to an item.
    Item vectors are these counts, shape (n_items, 1); every user's vector is 1, also that of a
    user without any history, which makes this the fallback for cold users. Features of items say
    nothing here.

    To follow trends, build the interactions with a half-life and set ``full_evidence``: whoever
    took an item long ago has little evidence left, and counts for little.

    Parameters
    ----------
    full_evidence
        Net evidence of a pair from which its user counts fully, above 0; with less, a user counts
        in proportion. That of one event, 5 for a purchase by default, is a good choice. None
        counts every user fully.

    Raises
    ------
    ConfigError
        ``full_evidence`` is out of range.
    """

    full_evidence: float | None = None

    def __post_init__(self) -> None:
        if self.full_evidence is not None and not 0 < self.full_evidence < math.inf:
            raise ConfigError(
                f"full_evidence = {self.full_evidence!r}: expected more than 0 and finite, or None "
                "to count every user fully"
            )

    @property
    def weighs_evidence(self) -> bool:
        """Only with ``full_evidence``."""
        return self.full_evidence is not None

    def _learn_items(self, evidence: csr_array, features: csr_array) -> Vectors:
        positive = np.maximum(evidence.data.astype(np.float64), 0.0)
        full = self.full_evidence
        shares = positive > 0 if full is None else np.minimum(positive / full, 1.0)
        counts = np.bincount(evidence.indices, weights=shares, minlength=evidence.shape[1])
        return counts.astype(np.float32)[:, None]

    def _vectors_of(self, histories: csr_array) -> Vectors:
        return np.ones((histories.shape[0], 1), np.float32)

    def _parts(self, history: csr_array, item: int) -> npt.NDArray[np.float64]:
        raise InputError(
            "popularity looks at nobody's history, which is no part of any score; "
            "explain a recommender that is personal"
        )
