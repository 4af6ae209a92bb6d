"""Real photos that the pictures of a user start from.

A preference knows which of the shop's items suit a user far better than a small flow can learn
to say it in latents. So the prior is a mixture over the photos of the catalogue: first an item is
drawn, as likely as the user's scores make it, then a latent near that of its photo. Mixtures over
encoded examples are the exemplar priors of Tomczak & Welling, "VAE with a VampPrior" (AISTATS
2018), and Norouzi, Fleet & Norouzi, "Exemplar VAE" (NeurIPS 2020); starting a flow on the way
between noise and an example is from Meng et al., "SDEdit" (ICLR 2022).

This module needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError
from prodgen_rec.hashing import Hashes, hash_ids, hash_pairs, uniform_of
from prodgen_rec.ids import IdMap
from prodgen_rec.preferences.parallel import one_blas_thread
from prodgen_rec.preferences.topk import ItemIndex

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_N_LISTED = 64
"""Best items of a user among which exemplars are drawn; what comes after hardly ever would be."""
_N_COMPARED = 256
"""Items that a user took among which representatives are found."""
_ITEM, _SLOT, _WHETHER = np.arange(1, 4, dtype=np.uint64)[:, None]
"""Streams of random numbers of a user, told apart."""


@dataclass(frozen=True, eq=False)
class Exemplars:
    """Items from whose photos pictures can start.

    Attributes
    ----------
    items
        At least one item, each with a photo.
    vectors
        float32 (n_items, d), their vectors.
    latents
        float32 (n_items, latent_size), of their photos.
    weights
        float64 (n_items,), at least 0 and not all 0: how often an item is the exemplar of a user
        whose preference is not known or not followed, for example how many took it.
    sharpness
        How much more often the items that suit a user best are drawn, above 0.
    familiarity
        By how much the standardized score of every item that a user took is above the user's
        best, at least 0.

    Raises
    ------
    InputError
        There are no items, or no weight is above 0.
    """

    items: IdMap
    vectors: Floats
    latents: Floats
    weights: Doubles
    sharpness: float
    familiarity: float

    def __post_init__(self) -> None:
        if not len(self.items) or not self.weights.sum() > 0:
            raise InputError(
                f"exemplars of {len(self.items)} items with a total weight of "
                f"{float(self.weights.sum()):g}: at least one item that was taken must have a photo"
            )

    def draw(
        self,
        user_ids: pa.Array,
        preferences: Floats,
        taken: csr_array,
        n: int,
        *,
        seed: int,
        guidance: float,
    ) -> npt.NDArray[np.int64]:
        """Draw n exemplars for each user.

        With guidance 1 one of the items that the user took, and of the best 64 for the user, is
        drawn with a probability in proportion to exp(sharpness · score). Scores are standardized
        over the 64 and 0 for the best of them; of what the user took they are ``familiarity``, and
        which of these is drawn is not left to chance: those that stand best for all, weighted by
        evidence, come first, see `representatives`.
        With more guidance, the sharpness is multiplied by it. With less, and for users without a
        preference, so many of the exemplars are drawn by ``weights`` instead. No item is drawn
        twice for a user while another of these is left (the Gumbel trick of Kool, van Hoof &
        Welling, ICML 2019).

        Parameters
        ----------
        user_ids
            Raw ids, of which chance comes: (seed, user, item) decides, not their order.
        preferences
            float32 (n_users, d); a row of zeros is no preference.
        taken
            float32 (n_users, n_items), evidence, above 0 where a user took an item.
        n
            Exemplars per user; the first ones stay when more are drawn.
        seed
            Another seed, other exemplars.
        guidance
            At least 0; see above.

        Returns
        -------
        int64 (n_users, n), index in ``items``.
        """
        users = hash_ids(user_ids, seed)[:, None]
        slots = hash_pairs(users, np.arange(n, dtype=np.uint64)[None])
        known = np.asarray(preferences.any(axis=1))[:, None]
        follows = known & (uniform_of(hash_pairs(slots, _WHETHER)) < guidance)
        drawn = self._popular(uniform_of(hash_pairs(slots, _SLOT)))
        rows = np.flatnonzero(follows.any(axis=1))
        if len(rows):
            row, item, score = self._suited(preferences[rows], taken[rows])
            keys = hash_pairs(hash_pairs(users[rows, 0], _ITEM)[row], self._item_hashes[item])
            chance = -np.log(-np.log(uniform_of(keys)))
            self._favor_representatives(chance, taken[rows], n)
            order = np.lexsort((-self.sharpness * max(guidance, 1.0) * score - chance, row))
            n_suited = np.bincount(row)[:, None]
            first = np.cumsum(n_suited, axis=0) - n_suited
            suited = item[order[first + np.arange(n) % n_suited]]
            drawn[rows] = np.where(follows[rows], suited, drawn[rows])
        return drawn

    def _popular(self, points: Doubles) -> npt.NDArray[np.int64]:
        edges = np.cumsum(self.weights)
        index = np.searchsorted(edges, points * edges[-1], side="right")
        return np.asarray(np.minimum(index, np.flatnonzero(self.weights)[-1]), np.int64)

    def _suited(
        self, preferences: Floats, taken: csr_array
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Doubles]:
        """User, item and score of what each user took, and of the best items besides."""
        best, score = self._index.best(preferences, min(_N_LISTED, len(self.items)))
        spread = score.std(axis=1, keepdims=True)
        standardized = (score - score[:, :1]) / np.where(spread > 0, spread, 1.0)
        own_row, own = (taken > 0).nonzero()
        row = np.repeat(np.arange(len(best)), best.shape[1])
        n_items = np.int64(len(self.items))
        besides = ~np.isin(row * n_items + best.ravel(), own_row * n_items + own)
        return (
            np.concatenate([own_row, row[besides]]),
            np.concatenate([own, best.ravel()[besides]]),
            np.concatenate([np.full(len(own), self.familiarity), standardized.ravel()[besides]]),
        )

    def _favor_representatives(self, chance: Doubles, taken: csr_array, n: int) -> None:
        """Give the best chances of a user's own items, which come first, to representative ones."""
        own_row, own = (taken > 0).nonzero()
        evidence = taken.data[taken.data > 0]
        edges = np.searchsorted(own_row, np.arange(taken.shape[0] + 1))
        with one_blas_thread():  # sums in one order
            for start, end in pairwise(edges):
                luckiest_first = start + np.argsort(-chance[start:end], kind="stable")
                some, others = np.split(luckiest_first, [_N_COMPARED])
                first = representatives(self._directions[own[some]], evidence[some], n)
                order = np.concatenate([some[first], np.delete(some, first), others])
                chance[order] = chance[luckiest_first]

    @cached_property
    def _index(self) -> ItemIndex:
        return ItemIndex(self.vectors)

    @cached_property
    def _directions(self) -> Floats:
        centred = self.latents - self.latents.mean(axis=0)
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray(centred / np.where(lengths > 0, lengths, 1.0), np.float32)

    @cached_property
    def _item_hashes(self) -> Hashes:
        return hash_ids(self.items.arrow, 0)


def representatives(directions: Floats, weights: Floats, n: int) -> npt.NDArray[np.int64]:
    """Items that stand for all, one after the other.

    The next one raises the weighted sum of all items' likeness to the nearest pick by most; this
    greedy pick of medoids is that of Nemhauser, Wolsey & Fisher (Mathematical Programming 1978).

    Parameters
    ----------
    directions
        Unit vectors (n_items, d); likeness is their inner product.
    weights
        Shape (n_items,), above 0: how much an item wants to be stood for.
    n
        Items, at most; of fewer, all.

    Returns
    -------
    int64 (min(n, n_items),), places in ``directions``; equals go to the earlier one.
    """
    likeness = directions @ directions.T
    nearest = np.full(len(likeness), -1.0, np.float32)
    picks: list[int] = []
    for _ in range(min(n, len(likeness))):
        sums = np.maximum(likeness, nearest) @ weights
        sums[picks] = -np.inf
        picks.append(int(np.argmax(sums)))
        nearest = np.maximum(nearest, likeness[picks[-1]])
    return np.array(picks, np.int64)
