"""Training on two devices, which are logical ones of the processor here."""

from __future__ import annotations

import shutil
from pathlib import Path

import imagery_jobs as jobs
import numpy as np
import pandas as pd
import pytest
from imagery_tasks import Task, unbroken, untimed

from prodgen_rec.storage import load_arrays

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What one device and two wrote."""
    folders = {n: tmp_path_factory.mktemp(f"devices-{n}") for n in (1, 2)}
    running = [jobs.start(jobs.train_on_devices, *one[::-1]) for one in folders.items()]
    assert [jobs.finish(process) for process in running] == [0, 0]
    return folders


@pytest.mark.parametrize("phase", ["task", "autoencoder", "prior", "sharpening", "adversarial"])
def test_two_devices_lose_what_one_does(phase: str, trained: dict[int, Path]) -> None:
    """And move the variables of every player, and what else a step changes, to the same place."""
    logs = [untimed(pd.read_csv(folder / f"{phase}.csv")) for folder in trained.values()]
    pd.testing.assert_frame_equal(*logs, rtol=1e-4)
    one, two = (_values(folder / f"{phase}.npz") for folder in trained.values())
    # AdamW moves a variable whose gradient is all rounding by as much as any other.
    assert np.mean(np.abs(one - two) > 1e-5 + 1e-3 * np.abs(one)) < 1e-3


def _values(checkpoint: Path) -> np.ndarray:
    arrays = load_arrays(checkpoint)
    del arrays["about"]
    return np.concatenate([arrays[name].astype(float).ravel() for name in sorted(arrays)])


def test_what_two_devices_began_one_goes_on_with(trained: dict[int, Path], tmp_path: Path) -> None:
    shutil.copy(trained[2] / "task.npz", tmp_path)
    task, (value, log) = Task(), unbroken()
    pd.testing.assert_frame_equal(untimed(task.run(tmp_path)), untimed(log), rtol=1e-5)
    np.testing.assert_allclose(task.value, value, rtol=1e-4, atol=1e-6)


def test_rows_that_cannot_be_dealt_evenly_are_refused(trained: dict[int, Path]) -> None:
    assert not (trained[1] / "refused.txt").exists()
    told = (trained[2] / "refused.txt").read_text()
    assert told.startswith("a batch of 7 cannot be dealt evenly to 2 devices; choose a batch size")
