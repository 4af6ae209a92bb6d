from __future__ import annotations

import json
import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from prodgen_rec.errors import BundleCorruptError, ConfigError, TrainingDivergedError
from prodgen_rec.imagery import Budget
from prodgen_rec.imagery.runtime import batches, uninterrupted
from prodgen_rec.imagery.training import Phase, Player, Trainer, learning_rate
from prodgen_rec.storage import load_arrays, save_arrays

N_STEPS = 130
TIME_COLUMNS = ["seconds", "steps_per_second"]
DATA = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


class StoppedError(Exception):
    pass


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Python's own handler, which a shell takes away from what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Task:
    """A few numbers that learn noisy data, with a fault at a chosen step.

    Attributes
    ----------
    nan_at
        The loss of this step is NaN.
    stop_at
        An exception is raised when the batch of this step is asked for.
    interrupt_at
        The process gets a SIGINT in the middle of this step.
    """

    def __init__(
        self,
        *,
        nan_at: int = -1,
        stop_at: int = -1,
        interrupt_at: int = -1,
        size: int = 5,
    ) -> None:
        self.weights = keras.Variable(np.zeros((size, 5), np.float32))
        self.nan_at, self.stop_at, self.interrupt_at = nan_at, stop_at, interrupt_at

    def run(self, folder: Path | None, budget: Budget | None = None, **who: Any) -> pd.DataFrame:
        phase = Phase("task", {"loss": Player([self.weights])}, self._loss, self._batches)
        who = {"seed": 7, "fingerprint": "this data"} | who
        return Trainer(folder=folder, progress=False, **who).run(
            phase, budget or Budget(steps=N_STEPS)
        )

    @property
    def value(self) -> np.ndarray:
        return self.weights.numpy()

    def _loss(self, batch: Any, seed: Any) -> dict[str, Any]:
        noise = tf.random.stateless_normal((5,), seed)
        error = tf.reduce_mean(tf.square(self.weights.value - batch[0][:, None] - 0.1 * noise))
        fault = tf.where(tf.equal(seed[1], self.nan_at), np.float32(np.nan), np.float32(0))
        if self.interrupt_at >= 0:
            fault += tf.ensure_shape(tf.numpy_function(self._interrupt, [seed], tf.float32), ())
        return {"loss": error + fault, "error": error}

    def _interrupt(self, seed: np.ndarray) -> np.float32:
        if seed[1] == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        return np.float32(0)

    def _batches(self, first_step: int) -> Iterator[Any]:
        drawn = batches(lambda i: (DATA[i],), np.ones(40), 8, seed=1, first_step=first_step)
        for step, batch in enumerate(drawn, first_step):
            if step == self.stop_at:
                raise StoppedError
            yield batch


@pytest.fixture(scope="module")
def unbroken() -> tuple[np.ndarray, pd.DataFrame]:
    task = Task()
    log = task.run(None)
    return task.value, log


def _assert_as_unbroken(
    task: Task, log: pd.DataFrame, unbroken: tuple[np.ndarray, pd.DataFrame]
) -> None:
    assert np.array_equal(task.value, unbroken[0])
    pd.testing.assert_frame_equal(
        log.drop(columns=TIME_COLUMNS), unbroken[1].drop(columns=TIME_COLUMNS), check_exact=True
    )


def _about(folder: Path) -> dict[str, Any]:
    return json.loads(load_arrays(folder / "task.npz")["about"].tobytes())


# Budgets and schedules


@pytest.mark.parametrize("wrong", [{}, {"steps": 3, "minutes": 1}])
def test_a_budget_is_one_of_two(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="either steps or minutes, and not both"):
        Budget(**wrong)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": -1}, {"minutes": 0}, {"minutes": -0.5}])
def test_a_budget_is_positive(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"must be positive, got steps=.*minutes="):
        Budget(**wrong)


def test_shares_of_a_budget() -> None:
    assert Budget(steps=10).share(0.3) == Budget(steps=3)
    assert Budget(steps=1).share(0.1) == Budget(steps=1)
    assert Budget(minutes=8).share(0.25) == Budget(minutes=2)


def test_the_learning_rate_warms_up_and_follows_a_half_cosine() -> None:
    rates = [learning_rate(step, 0.5, 1100) for step in range(1101)]
    np.testing.assert_allclose(rates[:100], 0.5 * np.arange(1, 101) / 100)
    np.testing.assert_allclose(rates[100:], 0.25 * (1 + np.cos(np.linspace(0, np.pi, 1001))))
    assert learning_rate(40, 0.5, None) == learning_rate(40, 0.5, 1100)
    assert learning_rate(5000, 0.5, None) == 0.5


def test_the_log_has_a_row_per_twenty_steps_and_one_at_the_end(
    unbroken: tuple[np.ndarray, pd.DataFrame],
) -> None:
    log = unbroken[1]
    assert log["step"].tolist() == [20, 40, 60, 80, 100, 120, 130]
    expected = [learning_rate(step - 1, 1e-3, N_STEPS) for step in log["step"]]
    np.testing.assert_allclose(log["learning_rate"], expected, rtol=1e-6)
    assert list(log) == ["step", *TIME_COLUMNS, "learning_rate", "loss", "error"]


def test_minutes_become_steps_once(tmp_path: Path) -> None:
    """Also when a run stops one step before its speed was to be known."""
    n_steps = []
    for stop_at, minutes in ((404, 60), (840, 60), (850, 1)):
        with pytest.raises(StoppedError):
            Task(stop_at=stop_at).run(tmp_path, Budget(minutes=minutes))
        n_steps.append(_about(tmp_path)["n_steps"])
    assert n_steps[0] is None
    assert n_steps[1] > 3600  # an hour at more than a step a second
    assert n_steps[2] == n_steps[1]


def test_minutes_that_are_over_when_the_speed_is_known_end_there() -> None:
    assert Task().run(None, Budget(minutes=1e-6))["step"].iloc[-1] == 26


@pytest.mark.parametrize(
    ("budget", "n_averaged"),
    [(Budget(steps=30), 3), (Budget(steps=5), 1), (Budget(minutes=1e-6), 200)],
)
def test_the_result_is_an_average_over_the_last_steps(
    budget: Budget, n_averaged: int, tmp_path: Path
) -> None:
    """The closed form of an exponential moving average, from the raw values of every step."""
    average, raw = None, []
    task = Task()

    class Recorded(Task):
        def _batches(self, first_step: int) -> Iterator[Any]:
            for batch in super()._batches(first_step):
                raw.append(self.value.copy())
                yield batch

    recorded = Recorded()
    recorded.run(tmp_path, budget)
    task.run(None, budget)
    raw.append(load_arrays(tmp_path / "task.npz")["variable_0"])
    for value in raw[1:]:
        average = value if average is None else average + (value - average) / n_averaged
    np.testing.assert_allclose(recorded.value, average, rtol=1e-5, atol=1e-7)
    assert np.array_equal(task.value, recorded.value)


# Faults


@pytest.mark.parametrize("step", [1, 20, 129])
def test_a_run_that_was_stopped_ends_as_an_unbroken_one(
    step: int, tmp_path: Path, unbroken: tuple[np.ndarray, pd.DataFrame]
) -> None:
    with pytest.raises(StoppedError):
        Task(stop_at=step).run(tmp_path)
    task = Task()
    _assert_as_unbroken(task, task.run(tmp_path), unbroken)
    again = Task()  # a finished phase is only read
    _assert_as_unbroken(again, again.run(tmp_path), unbroken)
    written = pd.read_csv(tmp_path / "task.csv").drop(columns=TIME_COLUMNS)
    pd.testing.assert_frame_equal(written, unbroken[1].drop(columns=TIME_COLUMNS), rtol=1e-12)


@pytest.mark.parametrize("step", [3, 19, 129])
def test_an_interrupt_writes_a_checkpoint_after_a_whole_step(
    step: int, tmp_path: Path, unbroken: tuple[np.ndarray, pd.DataFrame]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        Task(interrupt_at=step).run(tmp_path)
    assert len(_about(tmp_path)["history"]) == (step + 1) // 20 + (step == 129)
    task = Task()
    _assert_as_unbroken(task, task.run(tmp_path), unbroken)


def test_an_interrupt_waits_for_the_end_of_its_step() -> None:
    reached = []

    def step(n_interrupts: int) -> None:
        with uninterrupted():
            for _ in range(n_interrupts):
                signal.raise_signal(signal.SIGINT)
            reached.append(n_interrupts)

    step(0)
    for n_interrupts in (1, 2):  # a second one does not wait
        with pytest.raises(KeyboardInterrupt):
            step(n_interrupts)
    assert reached == [0, 1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_handlers_of_interrupts_stay() -> None:
    received = []
    signal.signal(signal.SIGINT, lambda *_: received.append(1))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            assert received == [1]
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_training_in_another_thread(unbroken: tuple[np.ndarray, pd.DataFrame]) -> None:
    task, logs = Task(), []
    thread = threading.Thread(target=lambda: logs.append(task.run(None)))
    thread.start()
    thread.join()
    _assert_as_unbroken(task, logs[0], unbroken)


@pytest.mark.parametrize("step", [0, 45])
def test_divergence_keeps_the_last_good_state(step: int, tmp_path: Path) -> None:
    diverged, stopped = Task(nan_at=step), Task(stop_at=step)
    text = rf"task: the loss or its gradient is not finite at step {step} \(loss=nan, error=\d"
    with pytest.raises(TrainingDivergedError, match=text):
        diverged.run(tmp_path / "diverged")
    with pytest.raises(StoppedError):
        stopped.run(tmp_path / "stopped")
    assert np.isfinite(diverged.value).all()
    assert np.array_equal(diverged.value, stopped.value)
    one, other = (load_arrays(tmp_path / name / "task.npz") for name in ("diverged", "stopped"))
    for name in one.keys() - {"about"}:
        if one[name].dtype != np.float32 or one[name].ndim:  # not the rate of the failed step
            assert np.array_equal(one[name], other[name]), name


@contextmanager
def _files_up_to(n_bytes: int) -> Iterator[None]:
    """No file can grow beyond a size, which is how a full disk looks to a program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    large = 20_000  # 1.6 MB in a checkpoint
    with pytest.raises(StoppedError):
        Task(stop_at=7, size=large).run(tmp_path, Budget(steps=20))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    text = r"File too large; this checkpoint was not written.*make room and run again.*task\.npz"
    with _files_up_to(1_000_000), pytest.raises(OSError, match=text):
        Task(size=large).run(tmp_path, Budget(steps=20))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    resumed, whole = Task(size=large), Task(size=large)
    resumed.run(tmp_path, Budget(steps=20))
    whole.run(None, Budget(steps=20))
    assert np.array_equal(resumed.value, whole.value)


# Two players


class Game:
    """One number seeks 1, another seeks the first; a third counts the steps."""

    def __init__(self, stop_at: int = -1) -> None:
        self.leader, self.follower, self.count = (
            keras.Variable(np.zeros(1, np.float32)) for _ in range(3)
        )
        self.count.trainable = False
        self.stop_at = stop_at

    def run(self, folder: Path | None, *, alone: bool = False) -> pd.DataFrame:
        players = {"first": Player([self.leader], 0.05)}
        if not alone:
            players["second"] = Player([self.follower], 0.2, (0.5, 0.9), averaged=False)
        phase = Phase("game", players, self._losses, self._batches, [self.count])
        return Trainer(folder=folder, progress=False, seed=1).run(phase, Budget(steps=400))

    def values(self) -> list[float]:
        return [float(v.numpy()[0]) for v in (self.leader, self.follower, self.count)]

    def _losses(self, batch: Any, seed: Any) -> dict[str, Any]:
        self.count.assign_add([1.0])
        return {
            "first": tf.reduce_mean(tf.square(self.leader.value - 1 - 0.1 * batch[0])),
            "second": tf.reduce_mean(tf.square(self.follower.value - self.leader.value)),
        }

    _batches = Task._batches


def test_players_do_not_move_for_each_other() -> None:
    both, alone = Game(), Game()
    log = both.run(None)
    alone.run(None, alone=True)
    assert both.values()[0] == alone.values()[0] == pytest.approx(1, abs=0.05)
    assert both.values()[1] == pytest.approx(1, abs=0.05)
    assert both.values()[2] == 400
    assert {"first", "second"} <= set(log.columns)


def test_a_game_that_was_stopped_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    unbroken, stopped, resumed = Game(), Game(stop_at=77), Game()
    unbroken.run(None)
    with pytest.raises(StoppedError):
        stopped.run(tmp_path)
    resumed.run(tmp_path)
    assert resumed.values() == unbroken.values()


# Checkpoints that cannot be used


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    with pytest.raises(StoppedError):
        Task(stop_at=3).run(folder)
    return folder


def test_a_checkpoint_of_other_data_is_refused(checkpoint: Path) -> None:
    text = r"task\.npz: this checkpoint was written for other data or settings; delete the folder"
    with pytest.raises(ConfigError, match=text):
        Task().run(checkpoint, fingerprint="other data")


def test_a_checkpoint_of_another_number_of_steps_is_refused(checkpoint: Path) -> None:
    text = r"belongs to a phase of 130 steps, now 131 are asked for; delete the folder .* budget"
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
