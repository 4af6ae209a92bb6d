"""Passes of alternating least squares, by the conjugate gradients of `implicit`.

Takács, Pilászy & Tikk, "Applications of the conjugate gradient method for implicit feedback
collaborative filtering" (RecSys 2011): every vector takes three steps towards its minimum, from
where it stands, while those of the other side are held fixed. The solver of `implicit` takes one
λ; rows are passed to it group by group, all of one λ.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_array, csr_matrix

from prodgen_rec.preferences.parallel import one_blas_thread
from prodgen_rec.preferences.solve import Regularization

logger = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]


class _Group(NamedTuple):
    """Rows that have the same λ."""

    rows: npt.NDArray[np.int64] | slice
    confidence: csr_matrix
    regularization: float


def random_start(shape: tuple[int, int], factors: int, seed: int) -> tuple[Vectors, Vectors]:
    """Small vectors of rows and of columns, as `implicit` draws them."""
    rng = np.random.default_rng(seed)
    rows, columns = (rng.random((n, factors), dtype=np.float32) * np.float32(0.01) for n in shape)
    return rows, columns


def alternate(
    evidence: csr_array,
    rows: Vectors,
    columns: Vectors,
    *,
    alpha: float,
    regularization: tuple[Regularization, Regularization],
    passes: int,
) -> None:
    """Improve the vectors of rows and columns in place.

    Parameters
    ----------
    evidence
        Net evidence, shape (n_rows, n_columns), canonical.
    rows, columns
        Shapes (n_rows, d) and (n_columns, d), where to start. The first half of a pass solves rows.
        They are not finite in the end if the passes diverge.
    alpha
        Confidence per unit of evidence.
    regularization
        λ of rows, and of columns, by their numbers of pairs.
    passes
        Over rows and columns.
    """
    confidence = _signed_confidence(evidence, alpha)
    by_column = _groups(confidence.T.tocsr(), n_pairs(evidence, axis=0), regularization[1])
    by_row = _groups(confidence, n_pairs(evidence, axis=1), regularization[0])
    with one_blas_thread():  # faster, and sums in one order
        solver = AlternatingLeastSquares(rows.shape[1]).solver
        for i in range(passes):
            start = time.monotonic()
            _half_pass(solver, by_row, rows, columns)
            _half_pass(solver, by_column, columns, rows)
            logger.info("ALS pass %d of %d: %.2f s", i + 1, passes, time.monotonic() - start)


def n_pairs(evidence: csr_array, axis: int) -> npt.NDArray[np.int64]:
    """Pairs of each row (axis 1) or column (axis 0) that say something: evidence is not 0."""
    counts: npt.NDArray[np.int64] = evidence.count_nonzero(axis=axis)
    return counts


def _half_pass(
    solver: Callable[..., None], groups: list[_Group], vectors: Vectors, others: Vectors
) -> None:
    for group in groups:
        part = vectors[group.rows]
        solver(group.confidence, part, others, group.regularization)
        vectors[group.rows] = part


def _groups(
    confidence: csr_matrix, n_pairs: npt.NDArray[np.int64], regularization: Regularization
) -> list[_Group]:
    """All rows of a matrix, by their λ."""
    if not regularization.exponent:
        return [_Group(slice(None), confidence, regularization.base)]
    by_row = regularization.of(n_pairs)
    groups = [(np.flatnonzero(by_row == value), float(value)) for value in np.unique(by_row)]
    return [_Group(rows, confidence[rows], value) for rows, value in groups]


def _signed_confidence(matrix: csr_array, alpha: float) -> csr_matrix:
    """Confidences as `implicit` reads them: the size is c, the sign tells p = 1 from p = 0.

    A pair of no net evidence has c = 1 and p = 0, as if it had never been recorded; an
    explicit zero would be read as c = 0, so it is left out.
    """
    confidence = np.abs(matrix.data)
    confidence *= np.float32(alpha)
    confidence += 1
    np.copysign(confidence, matrix.data, out=confidence)
    signed = csr_matrix((confidence, matrix.indices, matrix.indptr), shape=matrix.shape)
    if not matrix.data.all():
        signed = signed.copy()  # the indices are the caller's
        signed.data[matrix.data == 0] = 0
        signed.eliminate_zeros()
    return signed
