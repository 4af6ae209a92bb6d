"""What the tests run in processes of their own, and how such processes are started."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
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
    process.join(600)
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


def train_on_devices(folder: Path, n_devices: int) -> None:
    """Train on some devices: two models in all their phases, and the begin of a task.

    Logs and checkpoints go into the folder. Last comes a batch that cannot be dealt evenly.
    """
    import tensorflow as tf
    from imagery_models import small_config
    from imagery_tasks import StoppedError, Task

    from prodgen_rec.datasets import make_shop
    from prodgen_rec.errors import ConfigError
    from prodgen_rec.imagery import Budget, ConditionalGAN, ConditionalVAE, GANConfig, Pairs
    from prodgen_rec.imagery.replicas import strategy

    (processor,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * n_devices
    tf.config.set_logical_device_configuration(processor, devices)

    with suppress(StoppedError), strategy().scope():
        Task(stop_at=45).run(folder)

    n = 24
    photos = make_shop(n_items=n, n_users=1, photo_size=32, seed=4).photos
    vectors = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    pairs = Pairs(vectors, np.arange(n), np.arange(n), np.ones(n))
    settings = {"size": 32, "mirror": True, "prior_share": 0.3, "sharpening_share": 0.3}
    for model in (
        ConditionalVAE(small_config("flow", **settings, batch_size=8), seed=5),
        ConditionalGAN(GANConfig(size=32, width=8, batch_size=8), seed=5),
    ):
        model.fit(photos, pairs, Budget(steps=12), checkpoint_folder=folder, progress=False)

    uneven = ConditionalVAE(small_config("flow", **settings, batch_size=7), seed=5)
    try:
        uneven.fit(photos, pairs, Budget(steps=3), progress=False)
    except ConfigError as error:
        (folder / "refused.txt").write_text(str(error))
