"""Which part of a run a user belongs into."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError
from prodgen_rec.events.shards import user_hashes
from prodgen_rec.hashing import share_of
from prodgen_rec.ids import as_id_array

_MOST = 10**9
"""Parts that file names have room for."""


def part_of(user_ids: Any, n_parts: int) -> npt.NDArray[np.int64]:
    """Part of each user, 0 to ``n_parts`` - 1, by a hash of the id alone.

    Part i of n is the range [i/n, (i + 1)/n) of the hashes: all parts are about as large, the
    same user lies in the same part every night, and twice as many parts halve each of them.

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
    return share_of(user_hashes(user_ids), n_parts)


def part_of_user(user_id: Any, n_parts: int) -> int:
    """The same for one user."""
    return int(part_of(as_id_array([user_id], "user id"), n_parts)[0])
