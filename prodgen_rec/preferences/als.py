"""Implicit-feedback matrix factorization by alternating least squares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, vstack

from prodgen_rec.errors import ConfigError, InputError, TrainingDivergedError
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions, on_items
from prodgen_rec.preferences.alternation import alternate, n_pairs, random_start
from prodgen_rec.preferences.base import check_input, on_items_of_both
from prodgen_rec.preferences.checks import check_whole_number, check_whole_numbers
from prodgen_rec.preferences.features import ItemFeatures
from prodgen_rec.preferences.solve import Regularization, UserSolver, power_of_two
from prodgen_rec.preferences.space import Range, Space
from prodgen_rec.preferences.unseen import unseen_items, vectors_by_features
from prodgen_rec.preferences.vectors import VectorRecommender, Vectors


@dataclass(eq=False)
class ALS(VectorRecommender):
    """Weighted matrix factorization of Hu, Koren & Volinsky (ICDM 2008).

    Minimizes, over user vectors x and item vectors y, with r the net evidence of a pair,

        sum over all users u and items i of  c (p - x_u·y_i)²  +  sum λ_u ‖x_u‖² + sum λ_i ‖y_i‖²,

    confidence c = 1 + α |r|, preference p = 1 where r > 0 and 0 elsewhere. So a pair without
    any record counts as a weak "no", and a net return as a strong one. Who has many pairs is
    regularized more, as Rendle, Krichene, Zhang & Koren (RecSys 2022) advise:

        λ_u = λ (n_u / mean of n over all users)^ν,

    with n the number of pairs that say something (r is not 0), rounded up to a power of two, the
    mean being of those who have any; and in the same way λ_i.

    A feature of items is one more user, who took its items; the weights of features are evidence.
    An item that nobody has taken is left out of that: all users would say "no" to what they may
    never have seen. Its vector is what ridge regression, with the same λ, makes of its features
    (see `prodgen_rec.preferences.unseen`). The item vectors come from `implicit`; the user
    vectors are one exact solve against them (see `prodgen_rec.preferences.solve`), which makes
    folding in agree with the fit. The vector of an item without positive evidence is zero, and so
    is that of a user without any.
    The same seed gives the same bits at any number of threads, on one kind of machine.

    Parameters
    ----------
    factors
        Dimension d of the vectors.
    regularization
        λ, above 0, of a user or item with as many pairs as the mean.
    alpha
        α, at least 0, confidence per unit of evidence. None fits it to the data: the confidence of
        a typical pair is 0.45 / √density, density being the share of all pairs that were taken.
        That was near the best value both where that share is large and where it is small.
    iterations
        Passes over items and users.
    seed
        Of the random start, at least 0.
    frequency_scaling
        ν, from 0, the same λ for all, to 1, a λ in proportion to the number of pairs.

    Raises
    ------
    ConfigError
        A hyper-parameter is out of range.

    Attributes
    ----------
    alpha_ : float
        α of the fit.
    typical_pairs_ : array
        float64 (2,), the means that λ is relative to: of users, and of items.
    """

    factors: int = 128
    regularization: float = 20.0
    alpha: float | None = None
    iterations: int = 15
    seed: int = 0
    frequency_scaling: float = 0.5

    def __post_init__(self) -> None:
        self._solver: UserSolver | None = None
        check_whole_numbers(self, factors=1, iterations=1, seed=0)
        if not 0 < self.regularization < math.inf:
            raise ConfigError(f"regularization = {self.regularization!r}: expected more than 0")
        if self.alpha is not None and not 0 <= self.alpha < math.inf:
            raise ConfigError(f"alpha = {self.alpha!r}: expected at least 0, and finite")
        if not 0 <= self.frequency_scaling <= 1:
            raise ConfigError(f"frequency_scaling = {self.frequency_scaling!r}: expected 0 to 1")

    @classmethod
    def search_space(cls, evidence: csr_array) -> Space:
        """Around the α that fits the data."""
        alpha = _fitting_alpha(evidence)
        return {
            "factors": Range(16, 256),
            "regularization": Range(1.0, 200.0),
            "alpha": Range(alpha / 10, alpha * 10),
            "frequency_scaling": Range(0.0, 1.0, log=False),
        }

    def leave_one_out(self, history: Interactions) -> Vectors:
        """For each pair of the histories, its user's vector had that pair not been recorded.

        Parameters
        ----------
        history
            On the items of the fit, in their order: ``history.for_items(model.items_)``.

        Returns
        -------
        float32, shape (history.n_pairs, d), in the order of ``history.matrix.data``.

        Raises
        ------
        InputError
            The history is on other items.
        """
        if history.items != self.items_:
            raise InputError(
                f"the history is on {history.n_items} items that are not, in this order, the "
                f"{len(self.items_)} of the fit; pass history.for_items(model.items_)"
            )
        return self._exact().leave_one_out(history.matrix)

    def partial_fit(self, interactions: Interactions, features: ItemFeatures | None = None) -> Self:
        """Give vectors to new items, leave all others as they are, and return self.

        Users are folded in on the items that have vectors, and features like them. Against these,
        held fixed, the vector of a new item is one exact solve: the item's half of a pass of `fit`.
        Then users are folded in again, on all items. The space does not turn, so that an image
        model of the fit goes on to understand the vectors. New is an item that is not in
        ``items_``, or whose vector is zero. ``alpha_`` stays that of the fit.

        An item that got a vector keeps it when more of it is sold. To have it follow, load the
        fit again and pass it the longer history; to have all items follow, `refit`, which turns the
        space a little, or `fit`, which turns it to anywhere (see `align`). What nobody took gets
        its vector from features, as in a fit.

        Parameters
        ----------
        interactions
            All that users took, not only what is new: it takes the place of ``interactions_``, and
            its users, new ones among them, that of ``users_``. Its items join ``items_``, sorted;
            an item that is no longer in it stays, with its vector.
        features
            As in `fit`. A feature has its vector from old items, so these must be among its own.

        Raises
        ------
        NotFittedError
            There was no `fit`.
        InputError
            Nobody has positive evidence for an item that has a vector, or ids are of another kind.
        """
        known = self.items_
        check_input(interactions, features)
        features = ItemFeatures.none(known) if features is None else features
        items = known.union(interactions.items, features.items, what="item")
        record = interactions.for_items(items)
        _, vectors = self._placed(record.matrix, features.for_items(items), items)
        self.interactions_, self.item_vectors_ = record, vectors
        self.user_vectors_ = self._vectors_of(record.matrix)
        return self

    def refit(
        self,
        interactions: Interactions,
        features: ItemFeatures | None = None,
        *,
        passes: int = 3,
    ) -> Self:
        """Fit again, from the vectors that there are, and return self.

        As `fit`, but for the start and the number of passes: users and items are those of the log,
        the minimum that is sought is that of the log, and folding in agrees with the result. What
        was learned is not thrown away, so that few passes do, and vectors stay much nearer to where
        they were than those of a new `fit`, even after `align`. The start of a new item is what
        `partial_fit` gives it. An item that is no longer in the log is no longer in the fit.

        Parameters
        ----------
        interactions
            All that users took, not only what is new.
        features
            As in `fit`.
        passes
            Over users and items, at least 1. More follow the log further, and lead further away.

        Raises
        ------
        NotFittedError
            There was no `fit`.
        ConfigError
            ``passes`` is no whole number, or below 1.
        InputError
            Nobody has positive evidence for an item that has a vector, ids are of another kind, or
            evidence is too large for any vector.
        TrainingDivergedError
            Evidence is too large for the regularization.
        """
        self._fitted()
        check_whole_number("passes", passes, 1)
        check_input(interactions, features)
        record, of_items = on_items_of_both(interactions, features)
        start = self._placed(record.matrix, of_items, record.items)
        alpha = self._alpha_for(record.matrix)
        vectors, typical = self._factorized(record.matrix, of_items, alpha, passes, start)
        return self.with_items(record, vectors, alpha, typical)

    def with_items(
        self,
        interactions: Interactions,
        item_vectors: Vectors,
        alpha: float,
        typical_pairs: npt.NDArray[np.float64],
    ) -> Self:
        """Take item vectors that were learned elsewhere, fold users in on them, and return self.

        Parameters
        ----------
        interactions
            Histories of the users, on the items of the vectors.
        item_vectors
            Float32, shape (n_items, d).
        alpha
            ``alpha_``.
        typical_pairs
            ``typical_pairs_``, float64, shape (2,).
        """
        self.interactions_, self.item_vectors_ = interactions, item_vectors
        self.alpha_, self.typical_pairs_ = alpha, typical_pairs
        self.user_vectors_ = self._vectors_of(interactions.matrix)
        return self

    def _placed(
        self, evidence: csr_array, features: csr_array, items: IdMap
    ) -> tuple[Vectors, Vectors]:
        """Rows folded in on the items of the fit, and items, new ones solved against these rows.

        Parameters
        ----------
        evidence, features
            Shapes (n_users, n_items) and (n_features, n_items).
        items
            Ids of the columns.

        Returns
        -------
        float32, (n_users + n_features, d) and (n_items, d).
        """
        known, n_users = self.items_, evidence.shape[0]
        taken = _stacked(evidence, features)
        fixed = self._vectors_of(on_items(taken, items, known))
        if not fixed[:n_users].any():
            raise InputError(
                f"none of {n_users} users has positive evidence for one of the {len(known)} "
                "items of the fit, which would place new ones; pass whole histories, or fit again"
            )
        place = known.find(items.arrow)[:, None]
        vectors = np.where(place >= 0, self.item_vectors_[place[:, 0]], np.float32(0))
        new = ~vectors.any(axis=1)
        unseen = new & unseen_items(evidence, features)
        solved = np.flatnonzero(new & ~unseen)
        growing = self._growing_from(self.typical_pairs_[1])
        solver = UserSolver(fixed, regularization=growing, alpha=self.alpha_)
        vectors[solved] = solver.solve(taken.T.tocsr()[solved])
        vectors[unseen] = vectors_by_features(
            vectors, evidence, features, unseen, self.regularization
        )
        return fixed, vectors

    def _learn_items(self, evidence: csr_array, features: csr_array) -> Vectors:
        self.alpha_ = self._alpha_for(evidence)
        vectors, self.typical_pairs_ = self._factorized(
            evidence, features, self.alpha_, self.iterations
        )
        return vectors

    def _alpha_for(self, evidence: csr_array) -> float:
        return _fitting_alpha(evidence) if self.alpha is None else float(self.alpha)

    def _factorized(
        self,
        evidence: csr_array,
        features: csr_array,
        alpha: float,
        passes: int,
        start: tuple[Vectors, Vectors] | None = None,
    ) -> tuple[Vectors, npt.NDArray[np.float64]]:
        """Item vectors: of those that somebody took by alternation, of the others by features.

        And the typical numbers of pairs; what has no vector of its own counts for nothing there.
        """
        unseen = unseen_items(evidence, features)
        if not unseen.any():
            return self._alternate(_stacked(evidence, features), alpha, passes, start)
        seen = np.flatnonzero(~unseen)
        taken = _stacked(evidence[:, seen], features[:, seen])
        vectors = np.empty((len(unseen), self.factors), np.float32)
        of_seen = None if start is None else (start[0], start[1][seen])
        vectors[seen], typical = self._alternate(taken, alpha, passes, of_seen)
        vectors[unseen] = vectors_by_features(
            vectors, evidence, features, unseen, self.regularization
        )
        return vectors, typical

    def _alternate(
        self,
        taken: csr_array,
        alpha: float,
        passes: int,
        start: tuple[Vectors, Vectors] | None = None,
    ) -> tuple[Vectors, npt.NDArray[np.float64]]:
        """Item vectors after some passes, from a random start or from vectors of rows and items.

        And the typical numbers of pairs.
        """
        typical = _typical_pairs(taken)
        rows, items = random_start(taken.shape, self.factors, self.seed) if start is None else start
        growing = self._growing_from(typical[0]), self._growing_from(typical[1])
        alternate(taken, rows, items, alpha=alpha, regularization=growing, passes=passes)
        if not np.isfinite(items).all():
            raise TrainingDivergedError(
                f"{self} diverged; raise regularization, or lower alpha or the evidence, which "
                f"goes up to {abs(taken.data).max():g}"
            )
        # Their exact solution is zero; the iterative solver only comes close.
        items[_without_positive_evidence(taken)] = 0.0
        return items, typical

    def _growing_from(self, typical: float) -> Regularization:
        return Regularization(self.regularization, self.frequency_scaling, float(typical))

    def _parts(self, history: csr_array, item: int) -> npt.NDArray[np.float64]:
        return self._exact().parts(history, item)

    def _vectors_of(self, histories: csr_array) -> Vectors:
        return self._exact().solve(histories)

    def _exact(self) -> UserSolver:
        """Solver for the current item vectors, which fit and load replace as a whole."""
        if self._solver is None or self._solver.item_vectors is not self.item_vectors_:
            self._solver = UserSolver(
                self.item_vectors_,
                regularization=self._growing_from(self.typical_pairs_[0]),
                alpha=self.alpha_,
            )
        return self._solver

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        own = {"alpha": np.array(self.alpha_), "typical_pairs": self.typical_pairs_}
        return super()._arrays() | own

    def _set_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._set_arrays(arrays)
        self.alpha_ = float(arrays["alpha"])
        self.typical_pairs_ = arrays["typical_pairs"].reshape(2)


def _stacked(evidence: csr_array, features: csr_array) -> csr_array:
    """Features as further users; without any, the evidence itself and no copy."""
    return vstack([evidence, features], format="csr") if features.shape[0] else evidence


def _typical_pairs(taken: csr_array) -> npt.NDArray[np.float64]:
    """Mean numbers of pairs, as `Regularization` rounds them, of rows and items that have any."""
    counts = n_pairs(taken, axis=1), n_pairs(taken, axis=0)
    return np.array([power_of_two(n[n > 0]).mean() for n in counts])


def _fitting_alpha(evidence: csr_array) -> float:
    positive = evidence.data[evidence.data > 0].astype(np.float64)
    density = len(positive) / math.prod(evidence.shape)
    return float(0.45 / math.sqrt(density) / positive.mean())


def _without_positive_evidence(matrix: csr_array) -> npt.NDArray[np.bool_]:
    liked = np.zeros(matrix.shape[1], bool)
    liked[matrix.indices[matrix.data > 0]] = True
    return ~liked
