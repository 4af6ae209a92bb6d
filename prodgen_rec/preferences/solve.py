"""Exact user vectors for fixed item vectors, in closed form and float64.

Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM
2008, minimize over the vector x of a user

    sum over all items i of  c_i (p_i - x·y_i)²  +  λ ‖x‖²

with confidence c_i = 1 + α |r_i| and preference p_i = 1 where r_i > 0, else 0. With
B = YᵀY + λI, and Y_u, W = diag(c - 1) of the user's own items alone, equation (4) there is

    A x = Y_uᵀ (c p),    A = B + Y_uᵀ W Y_u.

λ depends on the length of the history (`Regularization`). All is computed in the basis in which
YᵀY is diagonal, so that B is, whatever λ. Two forms are used, chosen by the length of the
history. Long ones solve the d × d system above. Short ones solve one of the size of the
history, by the push-through identity:

    x = B⁻¹ Y_uᵀ t,    M t = c p,    M = I + W Y_u B⁻¹ Y_uᵀ.

A user's bits depend on that user's history alone. Histories are padded to one of a few widths
with items of no weight, and every matrix of a stack goes through BLAS and LAPACK by itself,
so it does not matter who else is in the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError
from prodgen_rec.preferences.parallel import one_blas_thread, run_in_threads

FloatArray = npt.NDArray[np.floating[Any]]

_BATCH_BYTES = 16 << 20
"""Working memory of one thread, about."""
_LEAST_LEFT = 1e-10
"""Of a system without a pair; with less, the vector would be wrong in its first five digits."""


class Regularization(NamedTuple):
    """λ of a user by the number n of pairs that say something: base · (⌈n⌉ / typical)^exponent.

    ⌈n⌉ is n rounded up to a power of two. A λ that grows with the number of pairs is one of the
    findings of Rendle, Krichene, Zhang & Koren, "Revisiting the performance of iALS on item
    recommendation benchmarks" (RecSys 2022), section 4.
    """

    base: float
    exponent: float = 0.0
    typical: float = 1.0

    def of(self, n_pairs: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
        """λ of histories of so many pairs; no pair counts as one."""
        powers = np.maximum(power_of_two(n_pairs), 1)
        values: npt.NDArray[np.float64] = self.base * (powers / self.typical) ** self.exponent
        return values


class _Batch(NamedTuple):
    """Users whose padded histories have one width."""

    pairs: npt.NDArray[np.int64]  # (b, w) positions among the stored pairs, 0 in the padding
    real: npt.NDArray[np.bool_]  # (b, w) False in the padding
    items: npt.NDArray[np.int64]  # (b, w)
    evidence: npt.NDArray[np.float64]  # (b, w) r, 0 in the padding
    weight: npt.NDArray[np.float64]  # (b, w) c - 1
    target: npt.NDArray[np.float64]  # (b, w) c p

    @property
    def n_pairs(self) -> npt.NDArray[np.int64]:
        """Pairs of each user that say something, shape (b,)."""
        counts: npt.NDArray[np.int64] = np.count_nonzero(self.evidence, axis=1)
        return counts


class UserSolver:
    """The least-squares solution for users, item vectors held fixed.

    Parameters
    ----------
    item_vectors
        Shape (n_items, d), finite.
    regularization
        λ of every user, above 0, or how it follows from the history.
    alpha
        Confidence per unit of evidence, at least 0.
    n_threads
        Threads to use, by default one per CPU; the results are the same bits for any number.

    Raises
    ------
    InputError
        An item vector is not finite.
    """

    def __init__(
        self,
        item_vectors: FloatArray,
        *,
        regularization: float | Regularization,
        alpha: float,
        n_threads: int | None = None,
    ) -> None:
        finite = np.isfinite(item_vectors).all(axis=1)
        if not finite.all():
            raise InputError(f"item vector {int(np.argmin(finite))} is not finite; fit again")
        if not isinstance(regularization, Regularization):
            regularization = Regularization(regularization)
        self.item_vectors = item_vectors
        self.regularization = regularization
        self.alpha = alpha
        self.n_threads = n_threads
        self.n_factors: int = item_vectors.shape[1]
        vectors = item_vectors.astype(np.float64)
        with one_blas_thread():
            self._strengths, self._basis = np.linalg.eigh(vectors.T @ vectors)  # (d,), (d, d)
            self._vectors = vectors @ self._basis  # Y: (n_items, d)

    def solve(self, matrix: csr_array, dtype: npt.DTypeLike = np.float32) -> FloatArray:
        """Vector of each user.

        Parameters
        ----------
        matrix
            Net evidence r, shape (n_users, n_items), canonical.
        dtype
            Of the result; the work is done in float64.

        Returns
        -------
        Shape (n_users, d). A user without any pair has the zero vector.

        Raises
        ------
        InputError
            Evidence is so large that there is no solution in float64.
        """
        vectors = np.zeros((matrix.shape[0], self.n_factors), dtype)

        def task(rows: npt.NDArray[np.int64]) -> None:
            batch = self._batch(matrix, rows)
            found = self._finite(self._solve_batch, batch, rows)
            vectors[rows] = (found[:, None] @ self._basis.T)[:, 0]

        run_in_threads(task, self._plan(matrix), self.n_threads)
        return vectors

    def leave_one_out(self, matrix: csr_array, dtype: npt.DTypeLike = np.float32) -> FloatArray:
        """For each pair, the vector its user would have without that pair.

        Taking a pair out changes A by a matrix of rank one, so Sherman & Morrison (1950) give
        the new solution from q = A⁻¹y: with w = c - 1,

            x - q (c p - w y·x) / (1 - w y·q).

        Parameters
        ----------
        matrix
            Net evidence r, shape (n_users, n_items), canonical.
        dtype
            Of the result; the work is done in float64.

        Returns
        -------
        Shape (number of stored pairs, d), in the order in which the matrix stores them.

        Raises
        ------
        InputError
            As in `solve`.
        """
        vectors = np.empty((matrix.nnz, self.n_factors), dtype)

        def task(rows: npt.NDArray[np.int64]) -> None:
            batch = self._batch(matrix, rows)
            left_out = self._finite(self._downdate, batch, rows) @ self._basis.T
            vectors[batch.pairs[batch.real]] = left_out[batch.real]

        run_in_threads(task, self._plan(matrix), self.n_threads)
        return vectors

    def parts(self, history: csr_array, item: int) -> npt.NDArray[np.float64]:
        """What each pair of one user's history adds to the score of an item.

        Since x = A⁻¹ Y_uᵀ (c p), the score is a sum over the history of y · A⁻¹ y_j · c_j p_j, as
        in section 5 of Hu, Koren & Volinsky.

        Parameters
        ----------
        history
            Net evidence r, shape (1, n_items), canonical.
        item
            Index of the item.

        Returns
        -------
        Shape (number of stored pairs,), in the order of ``history.data``.
        """
        own = self._vectors[history.indices]
        evidence = history.data.astype(np.float64)
        weight = self.alpha * np.abs(evidence)
        base = self._base(np.array([np.count_nonzero(evidence)]))[0]
        with one_blas_thread():
            normal = np.diag(base) + own.T @ (weight[:, None] * own)
            q = np.linalg.solve(normal, self._vectors[item])
        return np.where(evidence > 0, (1.0 + weight) * (own @ q), 0.0)

    def _base(self, n_pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The diagonal of B of histories of so many pairs, shape (b, d)."""
        base: npt.NDArray[np.float64] = self._strengths + self.regularization.of(n_pairs)[:, None]
        return base

    def _plan(self, matrix: csr_array) -> Iterator[npt.NDArray[np.int64]]:
        """Rows with a history, in groups of one padded width and bounded memory."""
        widths = _padded_width(np.diff(matrix.indptr))
        for width in np.unique(widths[widths > 0]).tolist():
            rows = np.flatnonzero(widths == width)
            side = width if self._is_short(width) else self.n_factors
            size = max(1, _BATCH_BYTES // (8 * (4 * width * self.n_factors + 3 * side * side)))
            yield from (rows[start : start + size] for start in range(0, len(rows), size))

    def _is_short(self, width: int) -> bool:
        return 4 * width <= 3 * self.n_factors  # about where both forms take as long

    def _batch(self, matrix: csr_array, rows: npt.NDArray[np.int64]) -> _Batch:
        counts = np.diff(matrix.indptr)[rows]
        place = np.arange(_padded_width(counts[:1])[0])
        real = place < counts[:, None]
        pairs = np.where(real, matrix.indptr[rows][:, None].astype(np.int64) + place, 0)
        evidence = np.where(real, matrix.data[pairs].astype(np.float64), 0.0)
        weight = self.alpha * np.abs(evidence)
        target = np.where(evidence > 0, 1.0 + weight, 0.0)
        items = np.where(real, matrix.indices[pairs], 0)
        return _Batch(pairs, real, items, evidence, weight, target)

    def _finite(
        self,
        solution: Callable[[_Batch], FloatArray],
        batch: _Batch,
        rows: npt.NDArray[np.int64],
    ) -> FloatArray:
        """A solution for the users of a batch, refused where it is none."""
        try:
            with np.errstate(all="ignore"):
                vectors = solution(batch)
        except np.linalg.LinAlgError:
            vectors = np.full((len(rows), 1), np.nan)
        finite = np.isfinite(vectors).reshape(len(rows), -1).all(axis=1)
        if not finite.all():
            weight = batch.weight.max(axis=1)
            row = int(np.argmax(np.where(finite, -np.inf, weight)))
            raise InputError(
                f"history {rows[row]}: its vector is not finite, the confidence of a pair is "
                f"{1 + weight[row]:g} beside a regularization of {self.regularization.base:g}; "
                "lower the evidence, where a quantity may be wrong, or alpha"
            )
        return vectors

    def _solve_batch(self, batch: _Batch) -> FloatArray:
        """Vectors of the users in the basis of this solver, shape (b, d)."""
        own = self._vectors.take(batch.items, axis=0)  # Y_u: (b, w, d)
        base = self._base(batch.n_pairs)
        if not self._is_short(own.shape[1]):
            right = batch.target[:, None, :] @ own
            return np.linalg.solve(_normal_matrix(own, base, batch), right.mT)[..., 0]
        projected = own / base[:, None]
        t = np.linalg.solve(_history_matrix(own, projected, batch), batch.target[..., None])
        vectors: FloatArray = (t.mT @ projected)[:, 0]
        return vectors

    def _downdate(self, batch: _Batch) -> FloatArray:
        """Vectors of the users without each of their pairs, shape (b, w, d), in that basis."""
        own = self._vectors.take(batch.items, axis=0)
        base = self._base(batch.n_pairs - 1)  # of the history that is left
        if self._is_short(own.shape[1]):
            projected = own / base[:, None]
            history = _history_matrix(own, projected, batch)
            q = np.linalg.solve(history.mT, projected)  # A⁻¹ Y_uᵀ, transposed: (b, w, d)
        else:
            q = np.linalg.solve(_normal_matrix(own, base, batch), own.mT).mT
        x = batch.target[:, None, :] @ q  # (b, 1, d)
        fitted = np.vecdot(own, x)
        leverage = np.vecdot(own, q)
        left = 1.0 - batch.weight * leverage
        left[left < _LEAST_LEFT] = np.nan  # mostly rounding
        step = (batch.target - batch.weight * fitted) / left
        vectors: FloatArray = x - step[..., None] * q
        nothing = batch.real & (batch.evidence == 0)  # is as if it had not been recorded
        if nothing.any():
            vectors = np.where(nothing[..., None], self._solve_batch(batch)[:, None], vectors)
        return vectors


def _normal_matrix(
    own: npt.NDArray[np.float64], base: npt.NDArray[np.float64], batch: _Batch
) -> npt.NDArray[np.float64]:
    """A, shape (b, d, d)."""
    matrix = own.mT @ (batch.weight[..., None] * own)
    diagonal = np.arange(matrix.shape[-1])
    matrix[:, diagonal, diagonal] += base
    return matrix


def _history_matrix(
    own: npt.NDArray[np.float64], projected: npt.NDArray[np.float64], batch: _Batch
) -> npt.NDArray[np.float64]:
    """M, shape (b, w, w)."""
    matrix = batch.weight[..., None] * (own @ projected.mT)
    matrix += np.eye(matrix.shape[-1])
    return matrix


def power_of_two(counts: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Smallest power of two that is at least the count; 0 for 0."""
    bits = np.frexp(np.maximum(counts - 1, 0))[1].astype(np.int64)
    return np.where(counts > 0, np.int64(1) << bits, 0)


def _padded_width(counts: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Smallest of 0 to 8, 10, 12, 14, 16, 20, … (four to each doubling) that is at least the count.

    The time of a solve grows with the cube of the width, so little may be wasted on padding.
    """
    bits = np.frexp(np.maximum(counts - 1, 0))[1].astype(np.int64)
    step = np.int64(1) << np.maximum(bits - 3, 0)
    widths: npt.NDArray[np.int64] = -(-counts // step) * step
    return widths
