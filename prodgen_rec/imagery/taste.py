"""Which taste a picture speaks to, read from its latent. This module needs no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV

Floats = npt.NDArray[np.float32]

_STRENGTHS = np.logspace(-1, 5, 13)
"""Ridge penalties to choose from, on standardized latents."""


@dataclass(frozen=True, eq=False)
class TasteReader:
    """A linear map from latents to item vectors.

    With it any picture has a place in the space of preferences, though no item looks like it,
    and the inner product with a user's vector says how well it suits the user.

    Attributes
    ----------
    mean, scale
        Of the latents of the items, float32 (latent_size,).
    matrix
        float32 (latent_size, d).
    offset
        float32 (d,).
    """

    mean: Floats
    scale: Floats
    matrix: Floats
    offset: Floats

    @classmethod
    def fit(cls, latents: Floats, item_vectors: Floats) -> Self:
        """Ridge regression; leave-one-out errors choose the penalty.

        Parameters
        ----------
        latents
            float32 (n, latent_size), of items with a vector and a photo.
        item_vectors
            float32 (n, d).
        """
        mean = latents.mean(axis=0, dtype=np.float64)
        scale = np.maximum(latents.std(axis=0, dtype=np.float64), 1e-6)
        ridge: Any = RidgeCV(_STRENGTHS).fit((latents - mean) / scale, item_vectors)
        parts = (mean, scale, ridge.coef_.T, ridge.intercept_)
        return cls(*(np.asarray(part, np.float32) for part in parts))

    def vectors(self, latents: Floats) -> Floats:
        """Vectors float32 (n, d) of the tastes that pictures speak to."""
        # One product per row: BLAS may round a row of a larger product by where it stands there.
        rows = ((latents - self.mean) / self.scale)[:, None] @ self.matrix
        return np.asarray(rows[:, 0] + self.offset, np.float32)
