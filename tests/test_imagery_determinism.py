from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import imagery_jobs as jobs
import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagery_models import Prior, small_config, trained
from imagery_tasks import untimed

from prodgen_rec.imagery import Budget, ConditionalVAE
from prodgen_rec.imagery.runtime import TILE, by_tiles, dtype_policy
from prodgen_rec.storage import load_arrays
from prodgen_rec.testing.images import planted_world

PRIORS: tuple[Prior, ...] = ("gaussian", "flow")


def test_pictures_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    models = {tmp_path / prior: trained(prior) for prior in PRIORS}
    for folder, model in models.items():
        folder.mkdir()
        model.save(folder)
    running = [jobs.start(jobs.sample, list(models), n_threads) for n_threads in (1, 2)]
    assert [jobs.finish(process) for process in running] == [0, 0]
    for folder, model in models.items():
        for name, expected in jobs.pictures(model).items():
            for n_threads in (1, 2):
                made = load_arrays(folder / f"{n_threads}.npz")[name]
                assert np.array_equal(made, expected), (folder.name, n_threads, name)


@pytest.mark.parametrize("prior", PRIORS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_pictures_do_not_depend_on_their_neighbours(prior: Prior, data: st.DataObject) -> None:
    model, n = trained(prior), 2 * TILE + 5
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, 4)).astype(np.float32)
    noise = rng.normal(size=(n, model.latent_size)).astype(np.float32)
    latents = model.sample_latents(vectors, noise, guidance=3)
    images = model.decode(latents)
    some = data.draw(st.integers(1, n))
    rows = np.random.default_rng(data.draw(st.integers(0, 999))).permutation(n)[:some]
    assert np.array_equal(
        model.sample_latents(vectors[rows], noise[rows], guidance=3), latents[rows]
    )
    assert np.array_equal(model.decode(latents[rows]), images[rows])
    assert np.array_equal(model.encode(images[rows]), model.encode(images)[rows])


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 3 * TILE))
def test_tiles_cover_every_row_once(n: int) -> None:
    rows, factors = np.arange(n, dtype=np.int64)[:, None], np.full(n, 3)
    shapes = []

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        shapes.append(len(a))
        return a * b[:, None]

    assert np.array_equal(by_tiles(product, rows, factors), 3 * rows)
    assert set(shapes) == {TILE}


def test_training_leaves_the_process_as_it_was() -> None:
    random.seed(8)
    np.random.seed(8)  # noqa: NPY002
    before = (random.getstate(), str(np.random.get_state()), keras.config.dtype_policy())  # noqa: NPY002
    photos, pairs = planted_world()
    config = small_config("gaussian", precision="mixed_bfloat16")
    model = ConditionalVAE(config, seed=3).fit(photos, pairs, Budget(steps=2), progress=False)
    after = (random.getstate(), str(np.random.get_state()), keras.config.dtype_policy())  # noqa: NPY002
    assert after == before
    assert all(w.dtype == np.float32 for w in model.autoencoder_.decoder.get_weights())
    assert model.autoencoder_.decoder.compute_dtype == "float32"


def test_pictures_are_made_in_float32_whatever_the_policy(tmp_path: Path) -> None:
    model = trained("gaussian")
    model.save(tmp_path)
    with dtype_policy("mixed_bfloat16"):
        loaded = ConditionalVAE.load(tmp_path)
        assert np.array_equal(jobs.pictures(loaded)["images"], jobs.pictures(model)["images"])


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert jobs.finish(jobs.start(jobs.train, folder, 1000)) == 0
    return folder


def test_a_training_that_was_killed_twice_ends_as_an_unbroken_one(
    unbroken: Path, tmp_path: Path
) -> None:
    for phase in ("autoencoder", "prior"):
        process = jobs.start(jobs.train, tmp_path, 0.05)
        _kill_in(process.pid, tmp_path / "run" / f"{phase}.csv")
        assert jobs.finish(process) == -signal.SIGKILL
        assert pd.read_csv(tmp_path / "run" / f"{phase}.csv")["step"].iloc[-1] < jobs.N_STEPS // 2
    assert jobs.finish(jobs.start(jobs.train, tmp_path, 0.05)) == 0
    for name in ("image_model.json", "image_model.npz"):
        assert (tmp_path / name).read_bytes() == (unbroken / name).read_bytes()
    for phase in ("autoencoder", "prior"):
        logs = [pd.read_csv(folder / "run" / f"{phase}.csv") for folder in (unbroken, tmp_path)]
        pd.testing.assert_frame_equal(*map(untimed, logs), check_exact=True)


def _kill_in(pid: int, log: Path) -> None:
    """Kill a process as soon as it has logged two rows."""
    for _ in _until(seconds=100):
        if log.exists() and len(log.read_text().splitlines()) > 2:
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"{log} has not grown to two rows")


def _until(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.005)
