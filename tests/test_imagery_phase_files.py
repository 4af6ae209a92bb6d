"""What a training writes: checkpoints that are whole or refused, curves, event files."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from imagery_tasks import TIME_COLUMNS, StoppedError, Task, unbroken, untimed
from PIL import Image

from prodgen_rec.errors import BundleCorruptError, ConfigError
from prodgen_rec.imagery import Budget, training
from prodgen_rec.storage import load_arrays, save_arrays

# A full disk


@contextmanager
def _files_up_to(n_bytes: int) -> Iterator[None]:
    """No file can grow beyond a size, which is how a full disk looks to a program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("seconds_between", [60, 0])
def test_a_full_disk_leaves_the_checkpoint_before(
    seconds_between: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is the last checkpoint or one on the way for which there is no room."""
    large = 20_000  # 1.6 MB in a checkpoint
    with pytest.raises(StoppedError):
        Task(stop_at=7, size=large).run(tmp_path, Budget(steps=20))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", seconds_between)
    text = r"File too large; this checkpoint was not written.*make room and run again.*task\.npz"
    with _files_up_to(1_000_000), pytest.raises(OSError, match=text):
        Task(size=large).run(tmp_path, Budget(steps=20))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    resumed, whole = Task(size=large), Task(size=large)
    resumed.run(tmp_path, Budget(steps=20))
    whole.run(None, Budget(steps=20))
    assert np.array_equal(resumed.value, whole.value)


# Checkpoints that cannot be used


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    with pytest.raises(StoppedError):
        Task(stop_at=3).run(folder)
    return folder


def test_a_checkpoint_of_other_data_is_refused(checkpoint: Path) -> None:
    text = r"task\.npz: this checkpoint was written for other data or settings; delete it and"
    with pytest.raises(ConfigError, match=text):
        Task().run(checkpoint, fingerprint="other data")


def test_a_checkpoint_of_another_number_of_steps_is_refused(checkpoint: Path) -> None:
    text = r"belongs to a phase of 130 steps, now 131 are asked for; delete it and .* budget"
    with pytest.raises(ConfigError, match=text):
        Task().run(checkpoint, Budget(steps=131))


def _with_about(arrays: dict[str, Any], **changes: Any) -> dict[str, Any]:
    about = json.loads(arrays["about"].tobytes()) | changes
    return arrays | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays: {k: v for k, v in arrays.items() if k != "about"},
        lambda arrays: {k: v for k, v in arrays.items() if k != "variable_1"},
        lambda arrays: arrays | {"variable_0": arrays["variable_0"][:2]},
        lambda arrays: arrays | {"about": np.frombuffer(b"{no json", np.uint8)},
        lambda arrays: arrays | {"about": np.frombuffer(b"[1]", np.uint8)},
        lambda arrays: _with_about(arrays, unknown=1),
    ],
)
def test_a_checkpoint_with_other_content_is_refused(
    damage: Any, checkpoint: Path, tmp_path: Path
) -> None:
    save_arrays(tmp_path / "task.npz", damage(load_arrays(checkpoint / "task.npz")))
    text = (
        r"(?s)task\.npz: this checkpoint cannot be used \(.*delete it to train the phase 'task' aga"
    )
    with pytest.raises(BundleCorruptError, match=text):
        Task().run(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_checkpoint_is_refused_or_harmless(
    checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = bytearray((checkpoint / "task.npz").read_bytes())
    place = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        damaged = damaged[:place]
    else:
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "task.npz").write_bytes(damaged)
    task = Task(stop_at=3)
    with pytest.raises((BundleCorruptError, StoppedError)) as outcome:
        task.run(folder)
    if outcome.type is StoppedError:  # restored, and stopped before the first step
        assert np.array_equal(task.value, load_arrays(checkpoint / "task.npz")["variable_0"])


# What people look at


def test_the_log_counts_examples(tmp_path: Path) -> None:
    log = Task().run(tmp_path)
    np.testing.assert_allclose(log["examples_per_second"], 8 * log["steps_per_second"], rtol=1e-2)
    assert (log["examples_per_second"] > 0).all()
    assert set(TIME_COLUMNS) <= set(pd.read_csv(tmp_path / "task.csv"))


def test_every_session_that_logged_a_step_draws_its_curves(tmp_path: Path) -> None:
    curves = tmp_path / "task.png"
    with pytest.raises(StoppedError):
        Task(stop_at=19).run(tmp_path)
    assert not curves.exists()
    with pytest.raises(StoppedError):
        Task(stop_at=45).run(tmp_path)
    first = np.asarray(Image.open(curves))
    assert first.std() > 0
    Task().run(tmp_path)
    assert not np.array_equal(np.asarray(Image.open(curves)), first)


@pytest.fixture
def tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of that name, which is all that is asked for."""
    package = tmp_path / "site" / "tensorboard"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)


def _events(folder: Path) -> pd.DataFrame:
    """One row per step, one column per curve."""
    files = [str(path) for path in (folder / "tensorboard" / "task").iterdir()]
    records = tf.data.TFRecordDataset(files).as_numpy_iterator()
    found = [
        (event.step, value.tag, value.simple_value)
        for event in map(tf.compat.v1.Event.FromString, records)
        for value in event.summary.value
    ]
    assert len({(step, tag) for step, tag, _ in found}) == len(found), "a step is there twice"
    table = pd.DataFrame(found, columns=["step", "tag", "value"])
    return table.pivot(index="step", columns="tag", values="value").reset_index()


def _assert_events(folder: Path, log: pd.DataFrame) -> None:
    drawn = untimed(_events(folder))[list(untimed(log))].rename_axis(columns=None)
    pd.testing.assert_frame_equal(drawn, untimed(log), rtol=1e-6, check_dtype=False)


@pytest.mark.usefixtures("tensorboard")
def test_an_event_file_holds_the_log_of_a_training_that_was_stopped(tmp_path: Path) -> None:
    log = unbroken()[1]
    for stop_at in (25, 45, 90):
        with pytest.raises(StoppedError):
            Task(stop_at=stop_at).run(tmp_path)
        _assert_events(tmp_path, log[log["step"] <= stop_at])
    Task().run(tmp_path)
    _assert_events(tmp_path, log)


@pytest.mark.usefixtures("tensorboard")
def test_an_event_file_goes_back_to_where_training_resumes(tmp_path: Path) -> None:
    """As after a kill between an event file and the checkpoint, or a checkpoint put back."""
    kept = tmp_path / "kept.npz"
    for stop_at in (45, 90):
        with pytest.raises(StoppedError):
            Task(stop_at=stop_at).run(tmp_path)
        if stop_at == 45:
            shutil.copy(tmp_path / "task.npz", kept)
    shutil.copy(kept, tmp_path / "task.npz")
    Task().run(tmp_path)
    _assert_events(tmp_path, unbroken()[1])


@pytest.mark.usefixtures("tensorboard")
def test_an_event_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").touch()
    with pytest.raises(OSError, match=r"this checkpoint was not written.*task\.npz"):
        Task().run(tmp_path)


def test_without_tensorboard_there_is_no_event_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    Task().run(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"task.npz", "task.csv", "task.png"}
