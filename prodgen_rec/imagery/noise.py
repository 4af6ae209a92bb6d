"""The noise that pictures are made from: one stream of random numbers per user.

This module needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prodgen_rec.errors import InputError
from prodgen_rec.hashing import user_seed
from prodgen_rec.ids import as_id_array

_LOW_64_BITS = (1 << 64) - 1


def user_noise(
    seed: int, user_ids: Iterable[Any] | pa.Array, n: int, latent_size: int
) -> npt.NDArray[np.float32]:
    """Standard normal noise of users.

    A user's noise follows from (seed, user_id) alone, so that order, batches and partitions
    change nobody's pictures; asking for more pictures keeps the first ones. It comes from
    Philox, a generator that any number can key (Salmon et al., SC 2011).

    Parameters
    ----------
    seed
        Any integer.
    user_ids
        Raw ids, all int or all str; 17 and ``"17"`` are the same user.
    n
        Pictures per user, at least 0.
    latent_size
        Numbers per picture, at least 0.

    Returns
    -------
    float32 (n_users, n, latent_size). A feature release of numpy may change the numbers
    (NEP 19).

    Raises
    ------
    InputError
        The ids mix int and str or hold a null, or a size is negative.

    Examples
    --------
    >>> bool((user_noise(0, [17, 4], 1, 8)[0] == user_noise(0, ["17"], 3, 8)[0, :1]).all())
    True
    """
    if n < 0 or latent_size < 0:
        raise InputError(
            f"n and latent_size must be at least 0, got n={n}, latent_size={latent_size}"
        )
    users = as_id_array(user_ids, "user_ids").to_pylist()
    noise = np.empty((len(users), n, latent_size), np.float32)
    philox = np.random.Philox(key=0)
    generator, start = np.random.Generator(philox), philox.state
    for user, row in zip(users, noise, strict=True):
        key = user_seed(seed, user)
        # Setting a key is four times faster than a new generator, which also asks for entropy.
        start["state"]["key"][:] = key & _LOW_64_BITS, key >> 64
        philox.state = start
        generator.standard_normal(out=row, dtype=np.float32)
    return noise
