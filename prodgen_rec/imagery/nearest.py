"""Which real item a picture looks most like.

This module needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from prodgen_rec.ids import IdArray, IdMap
from prodgen_rec.preferences.topk import ItemIndex, top_n

Floats = npt.NDArray[np.float32]

_HELD_OUT_COPIES = 0.01
"""Share of real photos that would count as copies of another one."""
_MOST_HELD_OUT = 2000


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
        index, cosine = self._index.best(self._directions_of(latents), 1)
        return self.items.take(index), np.clip(cosine[:, 0], -1, 1).astype(np.float32)

    @cached_property
    def copy_similarity(self) -> float:
        """Similarity to a photo above which a picture counts as a copy of it.

        A photo that is held out from the others is nearer to its nearest one in 1 % of cases.
        Photos that occur twice are counted once; without two different ones it is 1.
        """
        different = np.unique(self._directions, axis=0)
        if len(different) < 2:
            return 1.0
        held_out = different[:: max(1, len(different) // _MOST_HELD_OUT)]
        _, cosine = top_n(held_out, different, 2)  # the first of the two is the photo itself
        return min(1.0, float(np.quantile(cosine[:, 1], 1 - _HELD_OUT_COPIES)))

    def moved_away(self, latents: Floats) -> Floats:
        """Latents moved as little as makes them no copies of their nearest photo.

        Parameters
        ----------
        latents
            float32 (n, latent_size), that are copies.
        """
        index, _ = self._index.best(self._directions_of(latents), 1)
        photo = self._directions[index[:, 0]].astype(np.float64)
        centred = latents.astype(np.float64) - self.centre
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        across = centred - np.vecdot(centred, photo)[:, None] * photo
        # What is the very photo leaves it towards the axis that the photo has least to do with.
        axis = np.eye(photo.shape[1])[np.argmin(np.abs(photo), axis=1)]
        same = np.linalg.norm(across, axis=1, keepdims=True) < 1e-6 * length
        across = np.where(same, axis - np.vecdot(axis, photo)[:, None] * photo, across)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        cosine = self.copy_similarity - 1e-3
        direction = cosine * photo + np.sqrt(1 - cosine**2) * across
        return np.asarray(self.centre + length * direction, np.float32)

    @cached_property
    def centre(self) -> Floats:
        """Mean latent, float32 (latent_size,)."""
        return np.asarray(self.latents.mean(axis=0))

    @cached_property
    def _index(self) -> ItemIndex:
        return ItemIndex(self._directions)

    @cached_property
    def _directions(self) -> Floats:
        return self._directions_of(self.latents)

    def _directions_of(self, latents: Floats) -> Floats:
        centred = latents - self.centre
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray(centred / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
