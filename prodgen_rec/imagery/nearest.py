"""Which real item a picture looks most like.

This module needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from prodgen_rec.ids import IdArray, IdMap
from prodgen_rec.preferences.topk import top_n

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ItemLatents:
    """Real items as the encoder sees their photos.

    Latents are compared by the cosine of their differences from the mean of the items: what
    all product photos share says nothing about which of them a picture is like.

    Parameters
    ----------
    items
        The items, at least one.
    latents
        float32 (n_items, latent_size), in the order of ``items``.
    """

    items: IdMap
    latents: Floats

    def nearest(self, latents: Floats) -> tuple[IdArray, Floats]:
        """The nearest item of each picture.

        Parameters
        ----------
        latents
            float32 (n, latent_size).

        Returns
        -------
        item_ids
            Raw ids, shape (n,).
        similarity
            float32 (n,), cosines, -1 to 1.
        """
        index, cosine = top_n(self._directions_of(latents), self._directions, 1)
        return self.items.take(index), np.clip(cosine[:, 0], -1, 1).astype(np.float32)

    @cached_property
    def centre(self) -> Floats:
        """Mean latent, float32 (latent_size,)."""
        return np.asarray(self.latents.mean(axis=0))

    @cached_property
    def _directions(self) -> Floats:
        return self._directions_of(self.latents)

    def _directions_of(self, latents: Floats) -> Floats:
        centred = latents - self.centre
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray(centred / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
