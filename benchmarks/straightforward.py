"""What one would write first to serve every user from a trained model, and how fast that is.

Batches of 32 users, one after the other: lists and fold-in by `implicit`, prior and decoder by
Keras, PNG by Pillow, a file per picture. Every library is used as its documentation shows.

python benchmarks/straightforward.py BUNDLE LOG [--users 1024]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `implicit` asks for
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from PIL import Image

import prodgen_rec as pg

N_USERS_AT_ONCE, N_PICTURES, N_ITEMS, SEED = 32, 4, 4, 0


def main() -> None:
    """Serve users by Keras' two ways to run a network, and print the rate of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--users", type=int, default=1024)
    asked = parser.parse_args()
    personalizer = pg.Personalizer.load(asked.bundle)
    recommender, model = personalizer.recommender_, personalizer.image_model_
    history = personalizer.interactions(asked.log).for_items(recommender.items_)
    matrix = sp.csr_matrix(history.matrix)[: asked.users]
    als = AlternatingLeastSquares(
        factors=recommender.item_vectors_.shape[1],
        regularization=recommender.regularization,
        alpha=recommender.alpha or 1.0,
    )
    als.item_factors, als.user_factors = recommender.item_vectors_, np.zeros((0, als.factors))
    ways: dict[str, Callable] = {
        "model.predict(batch_size=32)": lambda net, x: net.predict(x, batch_size=32, verbose=0),
        "model(x)": lambda net, x: np.asarray(net(x)),
    }
    for name, run in ways.items():
        serve(als, model, matrix[:N_USERS_AT_ONCE], run)  # compiles
        start = time.perf_counter()
        n_made = serve(als, model, matrix, run)
        seconds = time.perf_counter() - start
        print(f"{name:30} {n_made / seconds:8,.0f} pictures/s, {n_made} in {seconds:.1f} s")


def serve(
    als: AlternatingLeastSquares, model: pg.ConditionalVAE, matrix: sp.csr_matrix, run: Callable
) -> int:
    """Lists and picture files of users, and the number of pictures."""
    rng = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, matrix.shape[0], N_USERS_AT_ONCE):
            rows = matrix[start : start + N_USERS_AT_ONCE]
            users = np.arange(rows.shape[0])
            als.recommend(users, rows, N=N_ITEMS, recalculate_user=True)
            vectors = np.repeat(als.recalculate_user(users, rows), N_PICTURES, axis=0)
            for i, picture in enumerate(pictures(model, vectors, rng, run)):
                user, rank = divmod(i, N_PICTURES)
                Image.fromarray(picture).save(Path(folder, f"{start + user}-{rank}.png"))
        return len(os.listdir(folder))


def pictures(
    model: pg.ConditionalVAE, vectors: np.ndarray, rng: np.random.Generator, run: Callable
) -> np.ndarray:
    """Pictures uint8 (n, size, size, 3): guided Euler steps from noise, decoded."""
    config, prior = model.config, model.prior_
    flow, n = prior.prior, len(vectors)
    known = model.whitening_.conditions(vectors)
    conditions = np.zeros((n, flow.context.input_shape[1]), np.float32)
    anybody = run(flow.context, conditions)
    conditions[:, : known.shape[1]] = known
    context = anybody + config.guidance * (run(flow.context, conditions) - anybody)
    z = rng.standard_normal((n, config.latent_size), np.float32)
    for step in range(flow.n_steps):
        at = np.full((n, 1), step / flow.n_steps, np.float32)
        z += run(flow.velocity, [z, at, context]) / flow.n_steps
    side = config.latent_side
    latents = (z * prior.latent_scale + prior.latent_mean).reshape(n, side, side, -1)
    made = run(model.autoencoder_.decoder, latents)
    return np.round((np.clip(made, -1, 1) + 1) * 127.5).astype(np.uint8)


if __name__ == "__main__":
    main()
