"""The pairs that an image model learns from: a preference, and a photo of what was taken.

This module needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError
from prodgen_rec.imagery.attributes import PhotoAttributes
from prodgen_rec.imagery.condition import Vectors, finite_rows

if TYPE_CHECKING:
    from prodgen_rec.preferences import ALS

LearnedFrom = Literal["full", "leave_one_out", "subset", "item"]
"""Vectors that an image model can learn from; see `taken_pairs`."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Training pairs: a preference vector and the photo of an item its user took.

    Attributes
    ----------
    vectors
        float32 (n_vectors, d), finite.
    vector_rows
        int64 (n_pairs,), row of the preference in ``vectors``.
    photo_rows
        int64 (n_pairs,), row of the photo in the array of photos.
    weights
        float64 (n_pairs,), relative frequency with which a pair is drawn, at least 0.
    attributes
        What is known about the products on the photos besides, for models that can be asked
        for it.

    Raises
    ------
    InputError
        There are no pairs, the arrays do not fit together, or a value is out of range.
    """

    vectors: Vectors
    vector_rows: npt.NDArray[np.int64]
    photo_rows: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    attributes: PhotoAttributes | None = None

    def __post_init__(self) -> None:
        if not len(self.vector_rows) == len(self.photo_rows) == len(self.weights):
            raise InputError(
                "pairs need as many vector rows as photo rows and weights, got "
                f"{len(self.vector_rows)}, {len(self.photo_rows)} and {len(self.weights)}"
            )
        if len(self) == 0:
            raise InputError(
                "no training pairs: no user took an item that has a photo; "
                "check that the item ids of the log and of the photos match"
            )
        finite_rows(self.vectors, self.vectors.shape[-1], "the vectors of the pairs")
        if not ((self.weights >= 0) & np.isfinite(self.weights)).all() or not self.weights.any():
            raise InputError(
                "weights of pairs must be finite and at least 0, one of them above, "
                f"got {self.weights.min()} to {self.weights.max()}"
            )
        _check_rows(self.vector_rows, len(self.vectors), "vector")

    def __len__(self) -> int:
        return len(self.photo_rows)

    def vector_weights(self) -> npt.NDArray[np.float64]:
        """Total weight of the pairs of each vector, float64 (n_vectors,)."""
        totals = np.bincount(self.vector_rows, self.weights, minlength=len(self.vectors))
        return np.asarray(totals, np.float64)

    def arrays(self) -> list[npt.NDArray[Any]]:
        """All that they hold: the four arrays, and with attributes their codes and a text, uint8.

        Pairs are alike if these are.
        """
        arrays: list[npt.NDArray[Any]]
        arrays = [self.vectors, self.vector_rows, self.photo_rows, self.weights]
        if self.attributes is not None:
            values = repr(dict(self.attributes.vocabulary.values)).encode()
            arrays += [self.attributes.codes, np.frombuffer(values, np.uint8)]
        return arrays

    def check_photo_rows(self, n_photos: int) -> None:
        """Refuse pairs that point outside an array of photos.

        Raises
        ------
        InputError
            Names the first such pair, or how many photos the attributes are of.
        """
        _check_rows(self.photo_rows, n_photos, "photo")
        if self.attributes is not None and len(self.attributes.codes) != n_photos:
            raise InputError(
                f"attributes of {len(self.attributes.codes)} photos came with {n_photos} photos"
            )


def _check_rows(rows: npt.NDArray[np.int64], n: int, what: str) -> None:
    outside = np.flatnonzero((rows < 0) | (rows >= n))
    if len(outside):
        raise InputError(
            f"{len(outside)} of {len(rows)} pairs have no {what}: pair {outside[0]} has {what} "
            f"row {rows[outside[0]]}, {what}s are 0 to {n - 1}"
        )


def taken_pairs(
    recommender: ALS,
    photo_rows: npt.NDArray[np.int64],
    *,
    vectors: Sequence[LearnedFrom] = ("full",),
    attributes: PhotoAttributes | None = None,
) -> Pairs:
    """Pairs of every user of a fit with every item of positive evidence that has a photo.

    Parameters
    ----------
    recommender
        Fitted.
    photo_rows
        int64 (n_items,), row of the photo of each item of the fit, -1 where it has none.
    vectors
        Which vectors a photo is learned with, at least one; each as often as it is named.
        ``full``: that of the user's history. ``leave_one_out``: that of the history without the
        item in the picture, which does not hold its own answer, but comes of a shorter history
        than is served. ``subset``: that of a part of the history, every pair of it kept with a
        chance that is drawn for the user, at least one. ``item``: that of a history of nothing
        but the item.
    attributes
        See `Pairs`.

    Raises
    ------
    InputError
        There are no such pairs.
    """
    history = recommender.interactions_
    pairs = history.matrix.tocoo()
    taken = np.flatnonzero((pairs.data > 0) & (photo_rows[pairs.col] >= 0))
    weights = user_balanced_weights(pairs.row[taken], pairs.data[taken])
    users, items = pairs.row[taken].astype(np.int64), pairs.col[taken].astype(np.int64)
    by_kind: dict[LearnedFrom, Callable[[], tuple[Vectors, npt.NDArray[np.int64]]]] = {
        "full": lambda: (recommender.user_vectors_, users),
        "leave_one_out": lambda: (recommender.leave_one_out(history)[taken], np.arange(len(taken))),
        "subset": lambda: (recommender.fold_in(history.thinned(recommender.seed)), users),
        "item": lambda: (recommender.fold_in(history.of_single_items()), items),
    }
    parts = [by_kind[kind]() for kind in vectors]
    starts = np.cumsum([0, *(len(rows) for rows, _ in parts)])
    return Pairs(
        np.concatenate([rows for rows, _ in parts]),
        np.concatenate([start + of for start, (_, of) in zip(starts, parts, strict=False)]),
        np.tile(photo_rows[items], len(parts)),
        np.tile(weights, len(parts)),
        attributes,
    )


def user_balanced_weights(
    user_index: npt.NDArray[np.integer[Any]], evidence: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Weight of each pair so that a user's pairs together weigh √(number of pairs).

    That is half-way (geometrically) between one vote per user and one per pair: heavy users
    do not own the model, and a user with one pair does not weigh as much as one with fifty.
    Within a user, a pair weighs in proportion to its evidence.

    Parameters
    ----------
    user_index
        int (n_pairs,), dense index of the pair's user.
    evidence
        float (n_pairs,), net evidence of the pair, above 0.
    """
    counts = np.bincount(user_index)
    totals = np.bincount(user_index, weights=evidence)
    return np.asarray(evidence * (np.sqrt(counts) / np.maximum(totals, 1e-300))[user_index])
