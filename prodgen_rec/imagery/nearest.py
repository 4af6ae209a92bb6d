"""Which real item a picture looks most like.

This module needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from prodgen_rec.ids import IdMap
from prodgen_rec.preferences.parallel import one_blas_thread, run_in_threads
from prodgen_rec.preferences.topk import first_n, scores_of_pairs, top_n

Floats = npt.NDArray[np.float32]

_HELD_OUT_COPIES = 0.01
"""Share of real photos that would count as copies of another one."""
_MOST_HELD_OUT = 2000
_N_AXES = 96
"""Axes along which directions are compared first: most of what tells latents apart is there."""
_N_SEEN = 4096
"""Directions from which these axes are found, at least where there are more."""
_AT_ONCE = 256
"""Latents compared at a time, to bound memory."""


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

    def nearest(self, latents: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        """The nearest item of each picture.

        Parameters
        ----------
        latents
            float32 (n, latent_size).

        Returns
        -------
        index
            int64 (n,), in ``items``.
        similarity
            float32 (n,), cosines, -1 to 1.
        """
        index, cosine = self._index.nearest(self._directions_of(latents))
        return index, np.clip(cosine, -1, 1).astype(np.float32)

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
        index, _ = self._index.nearest(self._directions_of(latents))
        photo = self._directions[index].astype(np.float64)
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
    def _index(self) -> _Directions:
        return _Directions(self._directions)

    @cached_property
    def _directions(self) -> Floats:
        return self._directions_of(self.latents)

    def _directions_of(self, latents: Floats) -> Floats:
        centred = latents - self.centre
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray(centred / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


class _Directions:
    """Unit vectors, made ready to be searched for the nearest one, exactly.

    The inner product of two of them is that of what lies along a few axes and of what is left of
    each, which is at most the product of the lengths left. So one short product bounds all cosines
    from above, and the few pairs whose bound is not below a cosine that was found are compared in
    full. Axes along which directions differ most leave least (Li, Chan, Yiu & Mamoulis, "FEXIPRO:
    Fast and Exact Inner Product Retrieval in Recommender Systems", SIGMOD 2017).

    Parameters
    ----------
    directions
        float32 (n, d), of length 1 or 0.
    """

    def __init__(self, directions: Floats) -> None:
        seen = directions[:: max(1, len(directions) // _N_SEEN)].astype(np.float64)
        with one_blas_thread():  # sums in one order
            _, axes = np.linalg.eigh(seen.T @ seen)
        self._directions = directions
        self._axes = np.asarray(axes[:, -_N_AXES:], np.float32)
        # A coordinate, an inner product of d numbers, is off by at most d·u (see `topk`), so that
        # a product or square of k of them is by 2·√k·d·u, and sums by another d·u each.
        size, n_axes = self._axes.shape
        unit = float(np.finfo(np.float32).eps) / 2
        self._slack = np.float32(2 * (np.sqrt(n_axes) + 1) * (size + 2) * unit)
        self._coded = np.ascontiguousarray(self._code(directions).T)

    def nearest(self, queries: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Index and cosine, both (n,), of the direction nearest to each query, (n, d), of such."""
        index, cosine = np.empty(len(queries), np.int64), np.empty(len(queries))

        def task(start: int) -> None:
            rows = slice(start, start + _AT_ONCE)
            index[rows], cosine[rows] = self._nearest(queries[rows])

        run_in_threads(task, range(0, len(queries), _AT_ONCE))
        return index, cosine

    def _nearest(self, queries: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        bound = self._code(queries) @ self._coded
        found = np.vecdot(queries, self._directions[bound.argmax(axis=1)])
        may_be = np.flatnonzero(bound >= (found - self._slack)[:, None])
        row, item = np.divmod(may_be, len(self._directions))
        cosine = scores_of_pairs(queries, self._directions, row, item, np.float32)
        first = np.searchsorted(row, np.arange(len(queries)))
        close = cosine >= (np.maximum.reduceat(cosine, first) - self._slack)[row]
        row, item = row[close], item[close]
        exact = scores_of_pairs(queries, self._directions, row, item)
        best, score = first_n(row, item, exact, len(queries), 1)
        return best[:, 0], score[:, 0]

    def _code(self, directions: Floats) -> Floats:
        """Coordinates along the axes, and the length of what is left, (n, at most 97)."""
        along = directions @ self._axes
        lengths = np.vecdot(directions, directions), np.vecdot(along, along)
        left = np.sqrt(np.maximum(lengths[0] - lengths[1], 0.0) + self._slack)
        return np.concatenate([along, left[:, None]], axis=1)
