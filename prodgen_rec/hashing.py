"""Stable hashes of raw ids, for random choices that depend on nothing else.

What is drawn for a user or item follows from (seed, id) alone, so that order, batches,
partitions and machines change nothing. An id is hashed by its text: the int 17 and the str
"17" hash alike, because one log may be read with and without types.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prodgen_rec.ids import as_id_array

Hashes = npt.NDArray[np.uint64]


def hash_ids(ids: Any, seed: int) -> Hashes:
    """Hash of each id, uniform on 0 … 2^64 - 1.

    Parameters
    ----------
    ids
        Raw ids, int or str, shape (n,): Arrow array (a dictionary array is fastest), numpy
        array or list.
    seed
        Any integer.

    Returns
    -------
    array of uint64, shape (n,)
        BLAKE2b (RFC 7693) of the id's UTF-8 text, keyed by the seed.

    Examples
    --------
    >>> bool((hash_ids([17, 4], seed=0) == hash_ids(["17", "4"], seed=0)).all())
    True
    """
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    if not isinstance(ids, pa.DictionaryArray):
        ids = as_id_array(ids).dictionary_encode()
    keyed = _keyed(seed, n_bytes=8)
    digests = bytearray()
    for text in as_id_array(ids.dictionary).cast(pa.string()).to_pylist():
        one = keyed.copy()
        one.update(text.encode())
        digests += one.digest()
    hashes: Hashes = np.frombuffer(bytes(digests), "<u8").astype(np.uint64)
    return np.asarray(hashes[ids.indices.to_numpy()])


def hash_pairs(first: Hashes, second: Hashes) -> Hashes:
    """Hash of each pair of hashes, shape (n,); the order within a pair matters.

    The finalizer is that of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    mixed = first * np.uint64(0x9E3779B97F4A7C15) + second
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)


def share_of(hashes: Hashes, n_shares: int) -> npt.NDArray[np.int64]:
    """Which of n equal ranges of the hashes each one lies in, 0 to ``n_shares`` - 1.

    The upper half of a hash is scaled without a division (Lemire, ACM TOMACS 2019).

    Parameters
    ----------
    hashes
        Shape (n,).
    n_shares
        1 to 2^32 - 1, so that 64 bits hold the product.
    """
    upper = hashes >> np.uint64(32)
    return np.asarray((upper * np.uint64(n_shares)) >> np.uint64(32), np.int64)


def uniform_of(hashes: Hashes) -> npt.NDArray[np.float64]:
    """Numbers between 0 and 1, neither of them included, one for each hash."""
    return np.asarray(((hashes >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def fingerprint(*parts: str | npt.NDArray[Any]) -> str:
    """SHA-256 of texts and of the values of arrays of any shape, hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
            continue
        for start in range(0, len(part), 1024):  # a memory map is never copied whole
            digest.update(np.ascontiguousarray(part[start : start + 1024]).data)
    return digest.hexdigest()


def user_seed(seed: int, user_id: int | str) -> int:
    """Seed of one user's random numbers, 0 to 2^128 - 1, for `numpy.random.default_rng`.

    Examples
    --------
    >>> user_seed(0, 17) == user_seed(0, "17") != user_seed(1, 17)
    True
    """
    digest = _keyed(seed, n_bytes=16)
    digest.update(str(user_id).encode())
    return int.from_bytes(digest.digest(), "little")


def _keyed(seed: int, n_bytes: int) -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=n_bytes, key=str(int(seed)).encode())
