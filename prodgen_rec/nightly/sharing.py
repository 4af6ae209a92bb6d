"""Who shares pictures with whom: for whom pictures are made, and who gets them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.nightly.offer import Offer
from prodgen_rec.nightly.recipe import Recipe
from prodgen_rec.personalizer import Personalizer
from prodgen_rec.vocabulary import UNSAID, Codes

_MOST_ITEMS = 100
"""Items in the history of a persona."""


class Sitters(NamedTuple):
    """For whom pictures are made, and who gets them.

    Attributes
    ----------
    histories
        Of those who sit for the pictures; chance comes from their ids.
    known
        int32 (n_sitters, n_attributes), what is known of those who have no history; see `Offer`.
    place
        int64 (n_users,), whose pictures each user gets.
    """

    histories: Interactions
    known: Codes
    place: npt.NDArray[np.int64]


Sharing = Callable[[Interactions, Codes], Sitters]
"""From histories of users, on the items of the fit, and what is known of those who have none, int32
(n_users, n_attributes), to sitters."""


def sharing_of(recipe: Recipe, personalizer: Personalizer, offer: Offer) -> Sharing:
    """What a recipe says of sharing."""
    if recipe.share == "personas":
        return Personas.fit(personalizer, recipe.n_personas, recipe.seed, offer)
    return by_history if recipe.share == "history" else by_user


def by_user(histories: Interactions, known: Codes) -> Sitters:
    """Nobody shares."""
    return Sitters(histories, known, np.arange(histories.n_users))


def by_history(histories: Interactions, known: Codes) -> Sitters:
    """Users with the same history share; chance comes from the history.

    Of those who have none, these share of whom the same is known.
    """
    matrix = histories.matrix
    first: dict[str, int] = {}
    place = np.empty(histories.n_users, np.int64)
    sitters: list[int] = []
    for row in range(histories.n_users):
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        items = matrix.indices[entries].astype("<i8")
        evidence = matrix.data[entries].astype("<f4")
        digest = hashlib.sha256(items.tobytes() + evidence.tobytes())
        if (known[row] != UNSAID).any():
            digest.update(b"known" + known[row].astype("<i4").tobytes())
        key = digest.hexdigest()
        if key not in first:
            first[key] = len(sitters)
            sitters.append(row)
        place[row] = first[key]
    ids = IdMap(pa.array(list(first), pa.string()))
    return Sitters(Interactions(ids, histories.items, matrix[sitters]), known[sitters], place)


@dataclass(frozen=True, eq=False)
class Personas:
    """A number of tastes, each of which has its pictures made once.

    Users of the fit are clustered by the directions of their vectors. What its users took on
    average is the history of a persona, and a user belongs to the one whose vector has the
    smallest angle to the user's own. All of it follows from the bundle and the seed, so that it is
    the same in every part.

    Attributes
    ----------
    histories
        Of the personas, and in the last place that of a user without any.
    directions
        float32 (n_personas, d), of unit length.
    personalizer
        Folds users in.
    offer
        Says what is known of users without a history.
    """

    histories: Interactions
    directions: npt.NDArray[np.float32]
    personalizer: Personalizer
    offer: Offer

    @classmethod
    def fit(cls, personalizer: Personalizer, n: int, seed: int, offer: Offer) -> Self:
        """Find personas among the users of the fit, at most n."""
        recommender = personalizer.recommender_
        fitted = recommender.interactions_
        directions = _directions(recommender.user_vectors_)
        known = directions.any(axis=1)
        n = min(n, int(known.sum()))
        with threadpool_limits(1):  # sums in one order
            clusters = MiniBatchKMeans(n, random_state=seed % 2**32, n_init=1).fit_predict(
                directions[known]
            )
        members = np.bincount(clusters, minlength=n)
        belongs = csr_array(
            (1 / members[clusters], (clusters, np.flatnonzero(known))), (n, fitted.n_users)
        )
        means = _strongest(csr_array(belongs @ fitted.matrix.astype(np.float64)))
        matrix = csr_array(
            (means.data.astype(np.float32), means.indices, means.indptr), means.shape
        )
        matrix.sort_indices()
        matrix.resize(n + 1, fitted.n_items)
        ids = IdMap(pa.array([f"persona {i}" for i in range(n + 1)]))
        histories = Interactions(ids, fitted.items, matrix)
        vectors = personalizer.fold_in(histories).vectors[:n]
        return cls(histories, _directions(vectors), personalizer, offer)

    def __call__(self, histories: Interactions, known: Codes) -> Sitters:
        """The personas that users belong to."""
        table = self.offer.table(histories.users.arrow, known)
        directions = _directions(self.personalizer.fold_in(histories, cold=table).vectors)
        # A product for each user: BLAS may round a row of a larger one by where it stands there.
        nearest = (directions[:, None] @ self.directions.T)[:, 0].argmax(axis=1)
        personas = np.where(directions.any(axis=1), nearest, len(self.directions))
        used, place = np.unique(personas, return_inverse=True)
        sitters = self.histories.for_users(self.histories.users.arrow.take(pa.array(used)))
        return Sitters(sitters, np.full((len(used), known.shape[1]), UNSAID, np.int32), place)


def _directions(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float32)


def _strongest(means: csr_array) -> csr_array:
    """The strongest entries of each row, scaled to the sum of all of the row's positive ones."""
    rows = []
    for row in range(means.shape[0]):
        entries = slice(means.indptr[row], means.indptr[row + 1])
        data, items = means.data[entries], means.indices[entries]
        kept = np.sort(np.lexsort((items, -data))[:_MOST_ITEMS])
        kept = kept[data[kept] > 0]
        scale = data[data > 0].sum() / max(data[kept].sum(), np.finfo(float).tiny)
        rows.append((items[kept], data[kept] * scale))
    indptr = np.append(0, np.cumsum([len(items) for items, _ in rows]))
    items = np.concatenate([items for items, _ in rows])
    data = np.concatenate([data for _, data in rows])
    return csr_array((data, items, indptr), means.shape)
