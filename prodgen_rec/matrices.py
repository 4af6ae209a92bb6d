"""What a sparse matrix must be before anything reads it.

Some of what reads it is compiled code that checks nothing: it would crash on an index out of range,
and count a pair twice that is stored twice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError

_REMEDY = "make it with csr_array(matrix, dtype=np.float32), then .sum_duplicates()"


class Entry(NamedTuple):
    """A stored value and its place."""

    row: int
    column: int
    value: float


def check_matrix(matrix: Any, shape: tuple[int, int], what: str) -> None:
    """Refuse a matrix that is not canonical.

    Parameters
    ----------
    matrix
        Expected is a ``csr_array`` of float32, that stores each pair once, a row's columns
        ascending.
    shape
        Expected.
    what
        Name used in error messages, with what its rows and columns are.

    Raises
    ------
    InputError
        Says what is wrong, and what makes it right.
    """
    if not isinstance(matrix, csr_array):
        raise InputError(
            f"{what}: expected a scipy.sparse.csr_array, got {type(matrix).__name__}; {_REMEDY}"
        )
    if matrix.shape != shape:
        turned = "; it is the other way round: pass matrix.T.tocsr()"
        raise InputError(
            f"{what}: the matrix has shape {matrix.shape}, expected {shape}"
            f"{turned if matrix.shape == shape[::-1] else ''}"
        )
    if matrix.dtype != np.float32:
        raise InputError(f"{what}: the matrix is {matrix.dtype}, expected float32; {_REMEDY}")
    try:
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise InputError(f"{what}: the parts of the matrix do not fit together: {error}") from error
    if not matrix.has_canonical_format:
        raise InputError(
            f"{what}: the matrix stores a pair twice, or columns of a row out of order; "
            "sum and sort them with matrix.sum_duplicates()"
        )


def first_not_finite(matrix: csr_array) -> Entry | None:
    """The first stored value that is NaN or infinite."""
    finite = np.isfinite(matrix.data)
    if finite.all():
        return None
    place = int(np.argmin(finite))
    row = int(np.searchsorted(matrix.indptr, place, side="right")) - 1
    return Entry(row, int(matrix.indices[place]), float(matrix.data[place]))
