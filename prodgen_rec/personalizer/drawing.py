"""Drawing the latents of a user's pictures: suitable, unlike each other, no copies of photos."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError
from prodgen_rec.ids import IdArray
from prodgen_rec.imagery.exemplars import Exemplars
from prodgen_rec.imagery.noise import user_noise
from prodgen_rec.imagery.selection import choose
from prodgen_rec.personalizer.fitted import Fitted
from prodgen_rec.vocabulary import Codes

Floats = npt.NDArray[np.float32]

_USERS_AT_ONCE = 1024
"""Users whose candidates are drawn at a time; bounds the memory."""
_MOST_ROUNDS = 8
"""Rounds in which copies are drawn again before they are moved away from their photo."""


@dataclass(frozen=True, eq=False)
class Wish:
    """What pictures are asked for; see `Personalizer.imagine`.

    Attributes
    ----------
    n
        Pictures per user.
    pool
        Candidates per picture.
    seed, guidance, temperature, diversity, likeness
        As there.
    codes
        int32 (n_users, n_attributes), attributes that the products shall have.
    exemplars
        Items from whose photos pictures start; None draws them from noise alone.
    taken
        Shape (n_users, n_exemplars), above 0 where a user took an item; wherever there are
        exemplars.
    """

    n: int
    pool: int
    seed: int
    guidance: float
    temperature: float
    diversity: float
    likeness: float
    codes: Codes
    exemplars: Exemplars | None = None
    taken: csr_array | None = None

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise InputError(f"temperature = {self.temperature}: expected a number above 0")

    def of(self, rows: npt.NDArray[np.int64]) -> Wish:
        """The wishes for some of the users."""
        taken = None if self.taken is None else self.taken[rows]
        return Wish(**vars(self) | {"codes": self.codes[rows], "taken": taken})


class Drawn(NamedTuple):
    """Latents of pictures, n of them for each user in turn, the best first.

    Attributes
    ----------
    latents
        float32 (n_pictures, latent_size).
    item_ids
        Raw ids (n_pictures,) of the real items that they look most like.
    similarity
        float32 (n_pictures,), how much, as a cosine.
    score
        float32 (n_pictures,), the user's preference for that item, 0 if the fit does not know it.
    n_rejected
        Copies of photos that were drawn and thrown away.
    """

    latents: Floats
    item_ids: IdArray
    similarity: Floats
    score: Floats
    n_rejected: int


def draw(learned: Fitted, user_ids: pa.Array, vectors: Floats, wish: Wish) -> Drawn:
    """Draw the latents of users' pictures.

    Parameters
    ----------
    learned
        What the personalizer has learned.
    user_ids
        Raw ids, of which noise comes.
    vectors
        float32 (n_users, d), their preferences.
    wish
        What is asked for.
    """
    starts = range(0, max(len(vectors), 1), _USERS_AT_ONCE)
    rows = [np.arange(start, min(start + _USERS_AT_ONCE, len(vectors))) for start in starts]
    parts = [
        _Candidates(learned, user_ids.take(pa.array(some)), vectors[some], wish.of(some)).chosen()
        for some in rows
    ]
    *arrays, n_rejected = zip(*parts, strict=True)
    latents, item_ids, similarity, score = (np.concatenate(one) for one in arrays)
    return Drawn(latents, item_ids, similarity, score, sum(n_rejected))


@dataclass(eq=False)
class _Candidates:
    """Latents among which the pictures of some users are chosen."""

    learned: Fitted
    user_ids: pa.Array
    vectors: Floats
    wish: Wish
    latents: Floats = field(init=False)
    _start: npt.NDArray[np.int64] = field(init=False)
    """Index of the exemplar of each candidate, wherever there are exemplars."""
    _like: npt.NDArray[np.int64] = field(init=False)
    """Index of the real item that each candidate is most like, once that is known."""
    _similarity: Floats = field(init=False)
    """To that item; NaN as long as it is not known."""

    def __post_init__(self) -> None:
        wish = self.wish
        shape = len(self.vectors), wish.n * wish.pool
        if wish.exemplars is not None:
            self._start = wish.exemplars.draw(
                self.user_ids,
                self.vectors,
                wish.taken,
                shape[1],
                seed=wish.seed,
                guidance=wish.guidance,
            )
        self.latents = np.empty((*shape, self.learned.model.latent_size), np.float32)
        self._like = np.empty(shape, np.int64)
        self._similarity = np.empty(shape, np.float32)
        user, slot = map(np.ravel, np.indices(shape))
        self._replace(user, slot, self._drawn(user, slot, 0))

    def chosen(self) -> Drawn:
        """Choose n of each user, and draw again what is a copy of a photo."""
        items = self.learned.items
        everyone = np.arange(len(self.vectors))
        picks = self._picks(everyone)
        n_rejected = 0
        for attempt in range(1, _MOST_ROUNDS + 2):
            user, slot = self._copies(picks)
            n_rejected += len(user)
            if not len(user):
                break
            if attempt > _MOST_ROUNDS:
                self._replace(user, slot, items.moved_away(self.latents[user, slot]))
                self._compare(picks)
                break
            self._replace(user, slot, self._drawn(user, slot, attempt))
            rows = np.unique(user)
            picks[rows] = self._picks(rows)
        score = self._scores(picks)
        order = np.argsort(-score, axis=1, kind="stable")
        user, slot = everyone[:, None], np.take_along_axis(picks, order, axis=1)
        return Drawn(
            self.latents[user, slot].reshape(-1, self.latents.shape[2]),
            items.items.take(self._like[user, slot].ravel()),
            self._similarity[user, slot].ravel(),
            np.take_along_axis(score, order, axis=1).ravel(),
            n_rejected,
        )

    def _replace(
        self, user: npt.NDArray[np.int64], slot: npt.NDArray[np.int64], latents: Floats
    ) -> None:
        """Put latents (n, latent_size) in the place of candidates."""
        self.latents[user, slot] = latents
        self._similarity[user, slot] = np.nan

    def _drawn(
        self, user: npt.NDArray[np.int64], slot: npt.NDArray[np.int64], attempt: int
    ) -> Floats:
        """New latents (n, latent_size) for candidates, farther from photos at every attempt."""
        model, wish = self.learned.model, self.wish
        rows, place = np.unique(user, return_inverse=True)
        n = wish.n * wish.pool
        ids = self.user_ids.take(pa.array(rows))
        noise = user_noise(wish.seed, ids, (attempt + 1) * n, model.latent_size)
        exemplars = None
        if wish.exemplars is not None:
            exemplars = wish.exemplars.latents[self._start[user, slot]]
        return model.sample_latents(
            self.vectors[user],
            np.float32(wish.temperature) * noise[place, attempt * n + slot],
            guidance=wish.guidance,
            codes=wish.codes[user],
            exemplars=exemplars,
            likeness=wish.likeness * (1 - attempt / (_MOST_ROUNDS + 1)),
        )

    def _picks(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which candidates are chosen for some users, (n_rows, n)."""
        if self.wish.pool == 1:
            return np.tile(np.arange(self.wish.n), (len(rows), 1))
        candidates, vectors = self.latents[rows], self.vectors[rows]
        tastes = self.learned.reader.vectors(candidates.reshape(-1, candidates.shape[2]))
        tastes = tastes.reshape(*candidates.shape[:2], vectors.shape[1])
        suitability = np.vecdot(tastes, vectors[:, None], dtype=np.float64)
        centred = candidates - self.learned.items.centre
        return choose(suitability, centred, self.wish.n, diversity=self.wish.diversity)

    def _copies(
        self, picks: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """User and slot of the picked candidates that are copies of a photo."""
        self._compare(picks)
        similarity = np.take_along_axis(self._similarity, picks, axis=1)
        user, place = np.nonzero(similarity > self.learned.items.copy_similarity)
        return user, picks[user, place]

    def _compare(self, picks: npt.NDArray[np.int64]) -> None:
        """Find what the picked candidates are like, of which that is not known yet."""
        user, place = np.nonzero(np.isnan(np.take_along_axis(self._similarity, picks, axis=1)))
        new = user, picks[user, place]
        self._like[new], self._similarity[new] = self.learned.items.nearest(self.latents[new])

    def _scores(self, picks: npt.NDArray[np.int64]) -> Floats:
        """Preference (n_users, n) of each user for the item that a picture is like."""
        vectors = self.learned.vectors_of_photos[np.take_along_axis(self._like, picks, axis=1)]
        products = vectors * self.vectors[:, None].astype(np.float64)
        return np.asarray(products.sum(axis=2), np.float32)
