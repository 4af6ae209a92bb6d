"""How fast users are served, beside what the machine can do: ratios of one run.

python benchmarks/bench_serving.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from prodgen_rec import ALS, Interactions
from prodgen_rec.ids import IdMap
from prodgen_rec.imagery import Budget, ConditionalVAE, ImageryConfig, Pairs
from prodgen_rec.preferences.solve import UserSolver
from prodgen_rec.preferences.topk import top_n

N_USERS, N_ITEMS, DIMENSION, N_PICTURES = 20_000, 20_000, 64, 2_048
MANY_ITEMS = 100_000
N_SEEN = 20


def main() -> None:
    """Print one line per stage."""
    best = matrix_product_gflops()
    print(f"best float32 matrix product        {best:8.0f} GFLOP/s")
    rng = np.random.default_rng(0)
    users = rng.standard_normal((N_USERS, DIMENSION), np.float32)
    items = rng.standard_normal((N_ITEMS, DIMENSION), np.float32)
    history = seen_by(users, N_ITEMS)

    folded = seconds(lambda: UserSolver(items, regularization=10.0, alpha=4.0).solve(history))
    print(f"fold-in                            {N_USERS / folded:8,.0f} users/s")
    lists("random", users, items, history, best)
    many = rng.standard_normal((MANY_ITEMS, DIMENSION), np.float32)
    lists("random", users, many, seen_by(users, MANY_ITEMS), best)
    lists("learned", *learned(), best)

    model = small_image_model()
    vectors = rng.standard_normal((N_PICTURES, DIMENSION), np.float32)
    noise = rng.standard_normal((N_PICTURES, model.latent_size), np.float32)
    latents = model.sample_latents(vectors, noise)
    work = {
        "prior": lambda: model.sample_latents(vectors, noise, exemplars=latents),
        "decoder": lambda: model.decode(latents),
    }
    for part, flops in model.flops().items():
        rate = N_PICTURES / seconds(work[part])
        what = f"{part}, {flops / 1e6:.0f} MFLOP at 64 px"
        print(f"{what:34} {rate:8,.0f} pictures/s  {flops * rate / 1e9 / best:.2f} of the product")


def seen_by(users: np.ndarray, n_items: int) -> sp.csr_array:
    """Some items that each user has seen."""
    rng = np.random.default_rng(1)
    shape = (len(users), n_items)
    return sp.random_array(shape, density=N_SEEN / n_items, rng=rng, dtype=np.float32).tocsr()


def learned() -> tuple[np.ndarray, np.ndarray, sp.csr_array]:
    """Vectors that ALS learns of users with 16 kinds of taste, and their histories.

    Popularity is a power of the rank, as in shops, and a few items have most of the length.
    """
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 16, (2, N_USERS))
    weights = np.arange(1, N_ITEMS + 1) ** -0.8
    taken = []
    for user in range(N_USERS):
        drawn = rng.choice(N_ITEMS, 4 * N_SEEN, p=weights / weights.sum())
        fits = np.isin(drawn % 16, kind[:, user])
        taken.append(np.unique(np.concatenate([drawn[fits], drawn[:5]])))
    rows = np.repeat(np.arange(N_USERS), [len(one) for one in taken])
    history = sp.csr_array(
        (np.ones(len(rows), np.float32), (rows, np.concatenate(taken))), shape=(N_USERS, N_ITEMS)
    )
    ids = [IdMap(pa.array(np.arange(n))) for n in (N_USERS, N_ITEMS)]
    als = ALS(DIMENSION, iterations=5).fit(Interactions(*ids, history))
    return als.user_vectors_, als.item_vectors_, history


def lists(
    what: str, users: np.ndarray, items: np.ndarray, history: sp.csr_array, best: float
) -> None:
    """Print how fast the best 20 are found, beside the matrix product and `implicit`."""
    ours = seconds(lambda: top_n(users, items, 20, excluded=history.astype(bool)))
    theirs = seconds(lambda: implicit_top(users, items, history))
    gflops = 2 * len(users) * len(items) * DIMENSION / ours / 1e9
    print(
        f"top 20 of {len(items):<7,} {what:17}{len(users) / ours:8,.0f} users/s  "
        f"{gflops / best:.2f} of the matrix product, {theirs / ours:.1f} × implicit"
    )


def seconds(work: Callable[[], object], n_runs: int = 3) -> float:
    """Best time of a few runs, after one to warm up."""
    work()
    times = []
    for _ in range(n_runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def matrix_product_gflops(n: int = 3_000) -> float:
    """What numpy's matrix product reaches."""
    a = np.random.default_rng(0).standard_normal((n, n), np.float32)
    return 2 * n**3 / seconds(lambda: a @ a) / 1e9


def implicit_top(users: np.ndarray, items: np.ndarray, history: sp.csr_array) -> None:
    """The same lists by `implicit`."""
    model = AlternatingLeastSquares(factors=DIMENSION)
    model.user_factors, model.item_factors = users, items
    with threadpool_limits(1, user_api="blas"):
        model.recommend(np.arange(len(users)), sp.csr_matrix(history), N=20)


def small_image_model() -> ConditionalVAE:
    """An image model of the default architecture, hardly trained: only its speed matters."""
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (64, 64, 64, 3), np.uint8)
    vectors = rng.standard_normal((64, DIMENSION)).astype(np.float32)
    pairs = Pairs(vectors, np.arange(64), np.arange(64), np.ones(64))
    return ConditionalVAE(ImageryConfig()).fit(photos, pairs, Budget(steps=4), progress=False)


if __name__ == "__main__":
    main()
