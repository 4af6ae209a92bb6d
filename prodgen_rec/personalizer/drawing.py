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

    def __post_init__(self) -> None:
        self.latents = self._drawn(np.arange(len(self.vectors)), 0)

    def chosen(self) -> Drawn:
        """Choose n of each user, and draw again what is a copy of a photo."""
        items, n = self.learned.items, self.wish.n
        everyone = np.arange(len(self.vectors))
        picks = self._picks(everyone)
        latents = self._picked(everyone, picks)
        item_ids, similarity = map(np.array, items.nearest(latents))
        n_rejected = 0
        for attempt in range(1, _MOST_ROUNDS + 2):
            copies = similarity > items.copy_similarity
            n_rejected += int(copies.sum())
            if not copies.any():
                break
            if attempt > _MOST_ROUNDS:
                latents[copies] = items.moved_away(latents[copies])
                item_ids[copies], similarity[copies] = items.nearest(latents[copies])
                break
            user, place = np.nonzero(copies.reshape(-1, n))
            rows, of_user = np.unique(user, return_inverse=True)
            slot = picks[user, place]
            self.latents[user, slot] = self._drawn(rows, attempt)[of_user, slot]
            picks[rows] = self._picks(rows)
            again = (rows[:, None] * n + np.arange(n)).ravel()
            latents[again] = self._picked(rows, picks[rows])
            item_ids[again], similarity[again] = items.nearest(latents[again])
        score = self._scores(item_ids)
        best_first = np.argsort(-score, axis=1, kind="stable")
        order = (best_first + np.arange(len(score))[:, None] * n).ravel()
        return Drawn(
            latents[order], item_ids[order], similarity[order], score.ravel()[order], n_rejected
        )

    def _drawn(self, rows: npt.NDArray[np.int64], attempt: int) -> Floats:
        """Candidates (n_rows, n · pool, latent_size), farther from photos at every attempt."""
        model, wish = self.learned.model, self.wish.of(rows)
        n = wish.n * wish.pool
        ids = self.user_ids.take(pa.array(rows))
        noise = user_noise(wish.seed, ids, (attempt + 1) * n, model.latent_size)[:, attempt * n :]
        exemplars = None
        if wish.exemplars is not None:
            index = wish.exemplars.draw(
                ids,
                self.vectors[rows],
                wish.taken,
                n,
                seed=wish.seed,
                guidance=wish.guidance,
            )
            exemplars = wish.exemplars.latents[index.ravel()]
        drawn = model.sample_latents(
            np.repeat(self.vectors[rows], n, axis=0),
            (np.float32(wish.temperature) * noise).reshape(-1, model.latent_size),
            guidance=wish.guidance,
            codes=np.repeat(wish.codes, n, axis=0),
            exemplars=exemplars,
            likeness=wish.likeness * (1 - attempt / (_MOST_ROUNDS + 1)),
        )
        return drawn.reshape(len(rows), n, model.latent_size)

    def _picks(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which candidates are chosen for some users, (n_rows, n)."""
        candidates, vectors = self.latents[rows], self.vectors[rows]
        tastes = self.learned.reader.vectors(candidates.reshape(-1, candidates.shape[2]))
        tastes = tastes.reshape(*candidates.shape[:2], vectors.shape[1])
        suitability = np.vecdot(tastes, vectors[:, None], dtype=np.float64)
        centred = candidates - self.learned.items.centre
        return choose(suitability, centred, self.wish.n, diversity=self.wish.diversity)

    def _picked(self, rows: npt.NDArray[np.int64], picks: npt.NDArray[np.int64]) -> Floats:
        """Latents (n_rows · n, latent_size) of what was chosen, (n_rows, n), for some users."""
        return self.latents[rows[:, None], picks].reshape(-1, self.latents.shape[2])

    def _scores(self, item_ids: IdArray) -> Floats:
        """Preference (n_users, n) of each user for one item per picture."""
        recommender = self.learned.recommender
        known = recommender.items_.find(item_ids)
        items = np.where((known >= 0)[:, None], recommender.item_vectors_[known], 0.0)
        vectors = self.vectors.astype(np.float64)
        scores = items.reshape(len(vectors), self.wish.n, vectors.shape[1]) * vectors[:, None]
        return np.asarray(scores.sum(axis=2), np.float32)
