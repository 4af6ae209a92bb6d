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


def rounded_up(evidence):
    """Number of pairs that say something, as a power of two."""
    return 2.0 ** np.ceil(np.log2(max(1, np.count_nonzero(evidence))))


def lambdas(rows, known, regularization=2.0, scaling=0.5):
    """λ of each row, as the docstring of ALS has it; ``known`` are the rows of the fit."""
    typical = np.mean([rounded_up(row) for row in known if row.any()])
    return regularization * (np.array([rounded_up(row) for row in rows]) / typical) ** scaling


def closed_form(fixed, evidence, known, alpha=3.0):
    """The minimum over one vector, everything that is held fixed written out."""
    x, confidence = fixed.astype(float), 1 + alpha * np.abs(evidence)
    normal = x.T @ (confidence[:, None] * x) + lambdas([evidence], known) * np.eye(x.shape[1])
    return np.linalg.solve(normal, x.T @ (confidence * (evidence > 0)))


def objective(dense, users, items, regularization=2.0, alpha=3.0, scaling=0.5):
    """What a factorization minimizes."""
    r = dense.astype(float)
    error = (1 + alpha * np.abs(r)) * ((r > 0) - users.astype(float) @ items.T) ** 2
    of_users = lambdas(r, r, regularization, scaling) @ (users**2).sum(axis=1)
    of_items = lambdas(r.T, r.T, regularization, scaling) @ (items**2).sum(axis=1)
    return error.sum() + of_users + of_items
