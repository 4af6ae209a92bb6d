"""What an image model is conditioned on, and the pairs it learns from.

A condition is a whitened preference vector with one more entry that says whether a
preference is known at all. The zero vector, which is what folding in an empty
history gives, means "no preference". This module needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Training pairs: a preference vector and the photo of an item its user took.

    Attributes
    ----------
    vectors
        float32 (n_pairs, d), finite.
    photo_rows
        int64 (n_pairs,), row of the photo in the array of photos.
    weights
        float64 (n_pairs,), relative frequency with which a pair is drawn, at least 0.
    """

    vectors: Vectors
    photo_rows: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.vectors) == len(self.photo_rows) == len(self.weights):
            raise InputError(
                f"pairs need as many vectors as photo rows and weights, got {len(self.vectors)}, "
                f"{len(self.photo_rows)} and {len(self.weights)}"
            )
        if len(self.vectors) == 0:
            raise InputError(
                "no training pairs: no user took an item that has a photo; "
                "check that the item ids of the log and of the photos match"
            )
        bad = np.flatnonzero(~np.isfinite(self.vectors).all(axis=1))
        if len(bad):
            raise InputError(
                f"{len(bad)} of {len(self.vectors)} preference vectors hold NaN or infinity, "
                f"the first is row {bad[0]}; fit the recommender on finite data"
            )


def user_balanced_weights(user_index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Weight of each pair so that a user's pairs together weigh √(number of pairs).

    Half-way (geometrically) between one vote per user and one per pair: heavy users do
    not own the model, and a user with one pair does not weigh as much as one with fifty.

    Parameters
    ----------
    user_index
        int64 (n_pairs,), dense index of the pair's user.
    """
    counts = np.bincount(user_index)
    return np.asarray(1.0 / np.sqrt(counts[user_index]), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Whitening:
    """The affine map that gives vectors zero mean and unit covariance.

    Attributes
    ----------
    mean
        float32 (d,).
    matrix
        float32 (d, d), symmetric (ZCA: of all whitenings it moves vectors least).
    """

    mean: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float32]

    @classmethod
    def identity(cls, size: int) -> Whitening:
        """The map that changes nothing."""
        return cls(np.zeros(size, np.float32), np.eye(size, dtype=np.float32))

    @classmethod
    def fit(cls, vectors: Vectors, weights: npt.NDArray[np.float64]) -> Whitening:
        """Statistics of weighted vectors, float32 (n, d).

        Directions with less than a thousandth of the mean variance are not blown up
        further than that, so a constant direction stays constant.
        """
        share = weights / weights.sum()
        mean = share @ vectors.astype(np.float64)
        centred = vectors - mean
        covariance = (centred * share[:, None]).T @ centred
        variances, directions = np.linalg.eigh(covariance)
        floor = max(1e-3 * float(variances.mean()), float(np.finfo(np.float32).tiny))
        scale = 1.0 / np.sqrt(np.maximum(variances, floor))
        matrix = (directions * scale) @ directions.T
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    def conditions(self, vectors: Vectors) -> Vectors:
        """Conditions float32 (n, d + 1) of preference vectors (n, d).

        The last entry is 1 where a preference is known; a zero vector gives a row of zeros.
        """
        known = vectors.any(axis=1, keepdims=True)
        whitened = (vectors - self.mean) @ self.matrix
        return np.concatenate([whitened * known, known], axis=1, dtype=np.float32)
