"""Choosing a user's pictures among candidates: suitable ones, and not all alike.

This module needs no TensorFlow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError

Floats = npt.NDArray[np.float32]


def choose(
    scores: npt.NDArray[np.floating], latents: Floats, n: int, *, diversity: float
) -> npt.NDArray[np.int64]:
    """Pick n candidates of each user, one after the other.

    The next pick has the highest ``(1 - diversity) · score - diversity · likeness``: its score
    standardized over the user's candidates, and its greatest likeness, a cosine of latents, to
    what was picked before. That is maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998).

    Parameters
    ----------
    scores
        Suitability, (n_users, n_candidates).
    latents
        float32 (n_users, n_candidates, latent_size), centred on the mean of all products.
    n
        Picks per user, 1 to n_candidates.
    diversity
        0 takes the most suitable ones however alike they are, 1 the least alike ones.

    Returns
    -------
    int64 (n_users, n), candidates in the order of the picks. A user's picks depend on that
    user's rows alone; equals go to the earlier candidate.

    Raises
    ------
    InputError
        n or diversity is out of range.
    """
    n_users, n_candidates = scores.shape
    if not 1 <= n <= n_candidates:
        raise InputError(f"n = {n}: expected 1 to {n_candidates}, the number of candidates")
    if not 0 <= diversity <= 1:
        raise InputError(f"diversity = {diversity}: expected 0 to 1")
    rows = np.arange(n_users)
    lengths = np.sqrt(np.vecdot(latents, latents, dtype=np.float64))[..., None]
    directions = latents / np.maximum(lengths, np.finfo(np.float64).tiny)
    suitability = (1 - diversity) * _standardized(scores)
    likeness = np.zeros(scores.shape)
    picks = np.empty((n_users, n), np.int64)
    for k in range(n):
        value = suitability - diversity * likeness
        value[rows[:, None], picks[:, :k]] = -np.inf
        picks[:, k] = np.argmax(value, axis=1)
        nearer = np.vecdot(directions, directions[rows, picks[:, k]][:, None])
        likeness = nearer if k == 0 else np.maximum(likeness, nearer)
    return picks


def _standardized(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    centred = scores - scores.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = centred.std(axis=1, keepdims=True)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))
