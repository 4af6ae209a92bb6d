"""Recommenders with weights between items: what a user took says how much of each other item.

They know no vectors, and so cannot speak to an image model, but need no guess of a dimension.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from implicit.nearest_neighbours import all_pairs_knn, bm25_weight, tfidf_weight
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import coo_matrix, csr_array

from prodgen_rec.errors import ConfigError, TrainingDivergedError
from prodgen_rec.preferences.base import Recommender
from prodgen_rec.preferences.checks import check_whole_numbers
from prodgen_rec.preferences.filters import Filters
from prodgen_rec.preferences.liked import liked, liked_rows
from prodgen_rec.preferences.space import Choice, Range, Space
from prodgen_rec.preferences.topk import top_n_by_weights

Weights: TypeAlias = npt.NDArray[np.float32] | csr_array


class ItemRecommender(Recommender):
    """Learns weights between items; a user's score of an item is their sum over the history.

    Only whether the net evidence of a pair is positive counts. A subclass implements
    `_weights_between`.

    Attributes
    ----------
    item_weights_ : numpy.ndarray or scipy.sparse.csr_array
        float32, shape (n_items, n_items): what taking an item of the row says for that of the
        column. Zero on the diagonal.
    """

    item_weights_: Weights

    @property
    def weighs_evidence(self) -> bool:
        """It does not."""
        return False

    @abstractmethod
    def _weights_between(self, rows: csr_array) -> Weights:
        """Weights, from what `liked_rows` gives: users and features above each other."""

    def _learn(self, evidence: csr_array, features: csr_array) -> None:
        self.item_weights_ = self._weights_between(liked_rows(evidence, features))

    def _best(
        self,
        rows: npt.NDArray[np.int64] | None,
        histories: csr_array,
        n: int,
        filters: Filters,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        return top_n_by_weights(
            liked(histories),
            self.item_weights_,
            n,
            allowed=filters.allowed,
            excluded=filters.excluded,
        )

    def _parts(self, history: csr_array, item: int) -> npt.NDArray[np.float64]:
        weights = self.item_weights_[history.indices, item]
        dense = weights if isinstance(weights, np.ndarray) else weights.toarray()
        return np.where(history.data > 0, dense.ravel().astype(np.float64), 0.0)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        weights = self.item_weights_
        if isinstance(weights, np.ndarray):
            return {"weights": weights}
        return {
            "weights": weights.data,
            "weight_columns": weights.indices,
            "weight_starts": weights.indptr,
        }

    def _set_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        n, weights = len(self.items_), arrays["weights"]
        if weights.ndim == 1:
            parts = (weights, arrays["weight_columns"], arrays["weight_starts"])
            weights = csr_array(parts, shape=(n, n))
            weights.check_format(full_check=True)
        if weights.shape != (n, n):
            raise ValueError(f"weights of shape {weights.shape} for {n} items")
        self.item_weights_ = weights


@dataclass(eq=False)
class EASE(ItemRecommender):
    """The linear autoencoder of Steck, "Embarrassingly shallow autoencoders" (WWW 2019).

    Weights B minimize ‖X - X·B‖² + λ ‖B‖² with nothing on the diagonal, in closed form:
    B = I - P · diag(1 / diag P), P = (XᵀX + λ I)⁻¹. P is made in place, by a Cholesky
    factorization. A fit takes 12 bytes for each pair of items, 4 of which the weights keep, and
    time with the cube of the number of items: tens of thousands are the end.

    Parameters
    ----------
    regularization
        λ, above 0.

    Raises
    ------
    ConfigError
        λ is out of range.
    TrainingDivergedError
        By a fit: λ is so small that the inverse cannot be computed.
    """

    regularization: float = 100.0

    def __post_init__(self) -> None:
        if not 0 < self.regularization < math.inf:
            raise ConfigError(f"regularization = {self.regularization!r}: expected more than 0")

    @classmethod
    def search_space(cls, evidence: csr_array) -> Space:
        """Far to both sides."""
        return {"regularization": Range(3.0, 3000.0)}

    def _weights_between(self, rows: csr_array) -> Weights:
        roots = csr_array(rows.astype(np.float64).sqrt())  # evidence counts once in the squares
        inverse = _gram(roots)
        inverse[np.diag_indices_from(inverse)] += self.regularization
        if not _invert_in_place(inverse):
            raise TrainingDivergedError(
                f"EASE: regularization = {self.regularization!r} is lost in rounding beside the "
                "evidence of the items; raise it"
            )
        diagonal = -np.diag(inverse)
        weights = np.empty(inverse.shape, np.float32)
        np.divide(inverse, diagonal, out=weights, casting="same_kind")
        np.fill_diagonal(weights, 0.0)
        return weights


_AT_ONCE = 512
"""Items for which a part of a matrix of all pairs is made or moved at once."""


def _parts_of(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE))


def _gram(rows: csr_array) -> npt.NDArray[np.float64]:
    """XᵀX, dense, shape (n_items, n_items).

    In parts, because a sparse product of all items takes more memory than the dense one.
    """
    by_item = rows.T.tocsr()
    gram = np.empty((rows.shape[1], rows.shape[1]))
    for part in _parts_of(len(gram)):
        gram[part] = (by_item[part] @ rows).toarray()
    return gram


def _invert_in_place(matrix: npt.NDArray[np.float64]) -> bool:
    """Put the inverse in the place of a symmetric matrix, float64 (n, n).

    Returns
    -------
    False if the matrix is not positive definite; then it holds nothing of use.
    """
    columns = matrix.T  # LAPACK writes to no other order
    _, failed = dpotrf(columns, lower=True, clean=False, overwrite_a=True)
    if not failed:
        _, failed = dpotri(columns, lower=True, overwrite_c=True)
    if failed:
        return False
    for part in _parts_of(len(matrix)):  # only one half of it has been written
        block = matrix[part, part]
        block[:] = np.triu(block) + np.triu(block, 1).T
        matrix[part.stop :, part] = matrix[part, part.stop :].T
    return True


@dataclass(eq=False)
class ItemKNN(ItemRecommender):
    """Nearest neighbors among items, by whom they were taken (Deshpande & Karypis, TOIS 2004).

    Similarities come from `implicit`.

    Parameters
    ----------
    neighbors
        Similar items that are kept for each item, at least 1.
    weighting
        How users are weighted before similarities are taken: ``cosine``, ``tf-idf`` (a cosine,
        too) or ``bm25``.

    Raises
    ------
    ConfigError
        A hyper-parameter is out of range.
    """

    neighbors: int = 100
    weighting: Literal["cosine", "tf-idf", "bm25"] = "cosine"

    def __post_init__(self) -> None:
        if self.weighting not in _WEIGHTINGS:
            raise ConfigError(
                f"weighting = {self.weighting!r}: expected one of {list(_WEIGHTINGS)}"
            )
        check_whole_numbers(self, neighbors=1)

    @classmethod
    def search_space(cls, evidence: csr_array) -> Space:
        """Few to many neighbors, by each weighting."""
        return {"neighbors": Range(5, 500), "weighting": Choice(tuple(_WEIGHTINGS))}

    def _weights_between(self, rows: csr_array) -> Weights:
        by_item = _WEIGHTINGS[self.weighting](rows.T)
        # One more, since every item is the nearest to itself.
        similar = all_pairs_knn(by_item.T.tocsr(), self.neighbors + 1, show_progress=False)
        weights = csr_array(similar.tocsr().astype(np.float32))
        weights.setdiag(0.0)
        weights.eliminate_zeros()
        weights.sort_indices()
        return weights


def _of_unit_length(by_item: Any) -> coo_matrix:
    """Rows divided by their lengths, those of length 0 left as they are.

    By tf-idf, a user who took all items but one weighs nothing, so that an item of that user
    alone has no length; `implicit.nearest_neighbours.normalize` would make it NaN.
    """
    rows = coo_matrix(by_item)
    lengths = np.sqrt(np.bincount(rows.row, rows.data**2, minlength=rows.shape[0]))
    rows.data = rows.data / np.where(lengths > 0, lengths, 1.0)[rows.row]
    return rows


_WEIGHTINGS: Mapping[str, Callable[[Any], Any]] = {
    "cosine": _of_unit_length,
    "tf-idf": lambda by_item: _of_unit_length(tfidf_weight(by_item)),
    "bm25": lambda by_item: bm25_weight(by_item, K1=100, B=0.5),
}
