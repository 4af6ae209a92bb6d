"""What the tests run in processes of their own, and how such processes are started."""

from __future__ import annotations

import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

# The fork server imports TensorFlow once; every process is forked from it before the runtime
# starts, so that each may be killed, and has threads of its own.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["prodgen_rec.imagery.vae", "prodgen_rec.testing"])

N_STEPS = 300


def start(job: Any, *arguments: Any) -> BaseProcess:
    process = _processes.Process(target=job, args=arguments)
    process.start()
    return process


def finish(process: BaseProcess) -> int | None:
    """Its exit code."""
    process.join(120)
    return process.exitcode


def train(folder: Path, seconds_between_checkpoints: float) -> None:
    """Train with checkpoints in ``folder/run``, and save the model in ``folder``."""
    from imagery_models import small_config

    from prodgen_rec.imagery import Budget, ConditionalVAE, training
    from prodgen_rec.testing.images import planted_world

    training._CHECKPOINT_SECONDS = seconds_between_checkpoints
    photos, pairs = planted_world()
    model = ConditionalVAE(small_config("gaussian"), seed=5)
    model.fit(
        photos, pairs, Budget(steps=N_STEPS), checkpoint_folder=folder / "run", progress=False
    )
    model.save(folder)


def sample(folders: list[Path], n_threads: int) -> None:
    """Make pictures with each of some models, with a number of threads."""
    import tensorflow as tf
    from threadpoolctl import threadpool_limits

    from prodgen_rec.imagery import ConditionalVAE

    tf.config.threading.set_intra_op_parallelism_threads(n_threads)
    tf.config.threading.set_inter_op_parallelism_threads(n_threads)
    with threadpool_limits(n_threads):
        for folder in folders:
            np.savez(folder / f"{n_threads}.npz", **pictures(ConditionalVAE.load(folder)))


def pictures(model: Any, n: int = 100) -> dict[str, np.ndarray]:
    """Latents and pictures of users, with and without a preference."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(n, 4)).astype(np.float32)
    vectors[::7] = 0
    noise = rng.normal(size=(n, model.latent_size)).astype(np.float32)
    latents = model.sample_latents(vectors, noise, guidance=1.7)
    images = model.decode(latents)
    return {"latents": latents, "images": images, "encoded": model.encode(images)}
