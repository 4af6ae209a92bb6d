"""Item vectors that were learned from comparisons: what a user took, before what others took."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.recommender_base import ModelFitError
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_array, csr_matrix

from prodgen_rec.errors import ConfigError, TrainingDivergedError
from prodgen_rec.preferences.checks import check_whole_numbers
from prodgen_rec.preferences.liked import liked_rows
from prodgen_rec.preferences.linear import LinearRecommender
from prodgen_rec.preferences.parallel import one_blas_thread
from prodgen_rec.preferences.space import Range, Space
from prodgen_rec.preferences.vectors import Vectors

logger = logging.getLogger(__name__)

_RIDGE: Final = 0.03
"""Of the sum of squares of all item vectors; near the best at any dimension and on either log."""


@dataclass(eq=False)
class BPR(LinearRecommender):
    """Items learned by Bayesian personalized ranking (Rendle et al., UAI 2009).

    Stochastic gradient ascent goes through pairs of a user u and an item i that u took, draws
    another item j that u did not take, and raises

        ln σ(x_u·y_i + b_i - x_u·y_j - b_j)  -  regularization / 2 · (‖x_u‖² + ‖y‖² + b²).

    `implicit` does that, in one thread, because several would race for the same vectors. It draws
    j in proportion to n_j, how often j was taken. So the scores it comes to are ln (p(i|u) / n_i),
    which would rank what is rare too high: ln n_i is added to b_i, and they are those of a uniform
    draw (the correction of Yi et al., RecSys 2019).

    The ascent's own x_u are thrown away, since no history leads back to them. The vector of a user
    is a ridge regression of what was taken, 1 or 0, on the item vectors, their bias being one more
    column: (YᵀY + λI)⁻¹ · sum of y_i over the history. That ranks as well as what the ascent found
    where histories are long, and better where they are short; and folding in is the fit. A linear
    map of all vectors that changes no score makes YᵀY + λI the identity, so that the vector of a
    user is simply the sum of those of the items taken.

    What counts of a pair is whether its net evidence is positive. A feature of items is one more
    user, drawn as often as its evidence says, in units of a typical pair. The vector of an item
    that neither a user took nor a feature names is zero, and so is that of a user without history.
    The same seed gives the same bits at any number of threads, on one kind of machine.

    Parameters
    ----------
    factors
        Dimension of y; vectors have one number more.
    learning_rate
        Step of the ascent, above 0.
    regularization
        At least 0.
    iterations
        Passes; one draws as many pairs as there are.
    seed
        Of the start and of what is drawn, at least 0.

    Raises
    ------
    ConfigError
        A hyper-parameter is out of range.
    """

    factors: int = 128
    learning_rate: float = 0.03
    regularization: float = 0.03
    iterations: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole_numbers(self, factors=1, iterations=1, seed=0)
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate = {self.learning_rate!r}: expected more than 0")
        if not 0 <= self.regularization < math.inf:
            raise ConfigError(f"regularization = {self.regularization!r}: expected at least 0")

    @classmethod
    def search_space(cls, evidence: csr_array) -> Space:
        """Slow and thorough to fast and coarse."""
        return {
            "factors": Range(16, 256),
            "learning_rate": Range(0.005, 0.2),
            "regularization": Range(0.001, 0.1),
        }

    def _learn_items(self, evidence: csr_array, features: csr_array) -> Vectors:
        rows = _as_often_as_weighed(liked_rows(evidence, features))
        vectors = self._ascend(rows).astype(np.float64)
        n_taken = np.bincount(rows.indices, minlength=rows.shape[1])
        vectors[:, -1] += np.log(np.maximum(n_taken, 1))
        return _with_unit_gram(vectors)

    def _by_item(self, items: slice | npt.NDArray[np.integer[Any]]) -> Vectors:
        return self.item_vectors_[items]

    def _ascend(self, rows: csr_matrix) -> Vectors:
        """Item vectors as `implicit` learns them, their bias in the last column."""
        model = BayesianPersonalizedRanking(
            factors=self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=self.iterations,
            num_threads=1,
            random_state=self.seed,
        )
        try:
            model.fit(rows, show_progress=False, callback=self._log)
        except ModelFitError as error:
            raise TrainingDivergedError(
                f"{self} diverged ({error}); lower learning_rate or regularization"
            ) from error
        vectors: Vectors = model.item_factors
        return vectors

    def _log(self, iteration: int, seconds: float, *_counts: int) -> None:
        logger.info("BPR iteration %d of %d: %.2f s", iteration + 1, self.iterations, seconds)


def _as_often_as_weighed(rows: csr_array) -> csr_matrix:
    """Every pair so many times as its weight says, which is how often it is drawn.

    What rounding takes from one pair it gives to the next, so sums over pairs are right.
    """
    total = np.floor(np.cumsum(rows.data, dtype=np.float64) + 0.5).astype(np.int64)
    indices = np.repeat(rows.indices, np.diff(total, prepend=0))
    indptr = np.append(0, total)[rows.indptr]
    return csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=rows.shape)


def _with_unit_gram(vectors: npt.NDArray[np.float64]) -> Vectors:
    """The same Y in coordinates in which YᵀY + λI is the identity."""
    with one_blas_thread():  # sums in one order
        gram = vectors.T @ vectors
        gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram)
        turned = solve_triangular(cholesky(gram, lower=True), vectors.T, lower=True)
    return np.ascontiguousarray(turned.T, np.float32)
