"""Exact duplicates among millions of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_ROWS_AT_ONCE: Final = 1 << 16
"""Few enough to stay in the cache of a core."""


def repeated(columns: Sequence[npt.NDArray[np.integer[Any]]]) -> npt.NDArray[np.bool_]:
    """Mask of the rows that equal an earlier row in every one of some integer columns.

    A hash picks the few rows that may have a twin, and only those are sorted and compared in
    full: exact, and several times faster than sorting everything.
    """
    suspects = _may_repeat(columns)
    keys = [column[suspects] for column in columns]
    order = np.lexsort(keys)  # stable: of equal rows, the earlier one comes first
    equal = np.ones(max(len(order) - 1, 0), np.bool_)
    for key in keys:
        ordered = key[order]
        equal &= ordered[1:] == ordered[:-1]
    mask = np.zeros(len(columns[0]), np.bool_)
    mask[suspects[order[1:][equal]]] = True
    return mask


def _may_repeat(columns: Sequence[npt.NDArray[np.integer[Any]]]) -> npt.NDArray[np.int64]:
    """Rows whose hash occurs more than once, ascending."""
    hashed = _hashes(columns)
    ordered = np.sort(hashed)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    found = pc.is_in(pa.array(hashed), value_set=pa.array(twice))
    return np.flatnonzero(found.to_numpy(zero_copy_only=False))


def _hashes(columns: Sequence[npt.NDArray[np.integer[Any]]]) -> npt.NDArray[np.uint64]:
    """Hash of each row."""
    hashed = np.zeros(len(columns[0]), np.uint64)
    for start in range(0, len(hashed), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        part = hashed[rows]
        for column in columns:
            part ^= column[rows].astype(np.uint64)
            part *= np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads bits upwards
            part ^= part >> np.uint64(32)
    return hashed
