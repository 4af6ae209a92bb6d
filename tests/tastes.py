"""A small log of three tastes, for the tests of what happens to a factorization later."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS

N_USERS, N_OLD, N_NEW = 150, 60, 12
OLD, NEW = np.arange(N_OLD), np.arange(N_OLD, N_OLD + N_NEW)


def interactions(dense, users=None):
    dense = np.asarray(dense, np.float32)
    users = range(dense.shape[0]) if users is None else users
    return Interactions(IdMap.of(users), IdMap.of(range(dense.shape[1])), csr_array(dense))


def log(seed=0):
    """Evidence of three tastes, old items before new ones; some pairs were returned."""
    rng = np.random.default_rng(seed)
    shape = N_USERS, N_OLD + N_NEW
    same = np.arange(N_USERS)[:, None] % 3 == np.arange(shape[1]) % 3
    touched = rng.random(shape) < np.where(same, 0.35, 0.02)
    return touched * rng.choice([1.0, 2.0, 4.0, -1.0], shape, p=[0.5, 0.2, 0.2, 0.1])


def fitted(dense):
    return ALS(6, regularization=2.0, alpha=3.0, iterations=10).fit(interactions(dense))


def closed_form(fixed, evidence, regularization=2.0, alpha=3.0):
    """The minimum over one vector, everything that is held fixed written out."""
    x, confidence = fixed.astype(float), 1 + alpha * np.abs(evidence)
    normal = x.T @ (confidence[:, None] * x) + regularization * np.eye(x.shape[1])
    return np.linalg.solve(normal, x.T @ (confidence * (evidence > 0)))


def objective(matrix, users, items, regularization, alpha):
    """What a factorization minimizes."""
    r = matrix.toarray().astype(float)
    error = (1 + alpha * np.abs(r)) * ((r > 0) - users.astype(float) @ items.T) ** 2
    return error.sum() + regularization * ((users**2).sum() + (items**2).sum())
