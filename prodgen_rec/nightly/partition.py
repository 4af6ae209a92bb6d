"""Which part of a run a user belongs into."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError
from prodgen_rec.hashing import hash_ids
from prodgen_rec.ids import as_id_array

_MOST = 10**9
"""Parts that file names have room for; below 2^32, so that 64 bits hold the product below."""


def part_of(user_ids: Any, n_parts: int) -> npt.NDArray[np.int64]:
    """Part of each user, 0 to ``n_parts`` - 1, by a hash of the id alone.

    Part i of n is the range [i/n, (i + 1)/n) of the hashes: all parts are about as large, the
    same user lies in the same part every night, and twice as many parts halve each of them.
    The upper half of the hash is scaled without a division (Lemire, ACM TOMACS 2019).

    Parameters
    ----------
    user_ids
        Raw ids, int or str, shape (n,): Arrow array, numpy array or list. The int 17 and the str
        "17" belong into the same part.
    n_parts
        How many parts there are.

    Returns
    -------
    array of int64, shape (n,)

    Raises
    ------
    InputError
        There are no ids, or no such number of parts.

    Examples
    --------
    >>> part_of([7, 17, 9], n_parts=4).tolist()
    [2, 1, 2]
    """
    if not 1 <= n_parts <= _MOST:
        raise InputError(f"n_parts={n_parts}: expected 1 to {_MOST}; a part is a file")
    upper = hash_ids(user_ids, seed=0) >> np.uint64(32)
    return np.asarray((upper * np.uint64(n_parts)) >> np.uint64(32), np.int64)


def part_of_user(user_id: Any, n_parts: int) -> int:
    """The same for one user."""
    return int(part_of(as_id_array([user_id], "user id"), n_parts)[0])
