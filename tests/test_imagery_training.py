from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from imagery_tasks import (
    N_STEPS,
    TIME_COLUMNS,
    StoppedError,
    Task,
    about,
    assert_as_unbroken,
    unbroken,
    untimed,
)

from prodgen_rec.errors import ConfigError, TrainingDivergedError
from prodgen_rec.imagery import Budget
from prodgen_rec.imagery.training import Phase, Player, Trainer, learning_rate
from prodgen_rec.storage import load_arrays

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


def test_the_log_has_a_row_per_twenty_steps_and_one_at_the_end() -> None:
    log = unbroken()[1]
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
        n_steps.append(about(tmp_path)["n_steps"])
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
        def batches(self, first_step: int) -> Iterator[Any]:
            for batch in super().batches(first_step):
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
def test_a_run_that_was_stopped_ends_as_an_unbroken_one(step: int, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        Task(stop_at=step).run(tmp_path)
    task = Task()
    assert_as_unbroken(task, task.run(tmp_path))
    again = Task()  # a finished phase is only read
    assert_as_unbroken(again, again.run(tmp_path))
    written = pd.read_csv(tmp_path / "task.csv")
    pd.testing.assert_frame_equal(untimed(written), untimed(unbroken()[1]), rtol=1e-12)


@pytest.mark.parametrize("step", [0, 45])
@pytest.mark.parametrize(("fault", "loss"), [("nan_at", "nan"), ("steep_at", r"\d\S*")])
def test_divergence_keeps_the_last_good_state(
    fault: str, loss: str, step: int, tmp_path: Path
) -> None:
    """Of the loss, or of its gradient alone."""
    diverged, stopped = Task(**{fault: step}), Task(stop_at=step)
    text = f"task: the loss or its gradient is not finite at step {step} "
    with pytest.raises(TrainingDivergedError, match=rf"{text}\(loss={loss}, error=\d"):
        diverged.run(tmp_path / "diverged")
    with pytest.raises(StoppedError):
        stopped.run(tmp_path / "stopped")
    assert np.isfinite(diverged.value).all()
    assert np.array_equal(diverged.value, stopped.value)
    one, other = (load_arrays(tmp_path / name / "task.npz") for name in ("diverged", "stopped"))
    for name in one.keys() - {"about"}:
        if one[name].dtype != np.float32 or one[name].ndim:  # not the rate of the failed step
            assert np.array_equal(one[name], other[name]), name


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
        phase = Phase("game", players, self._losses, self.batches, [self.count])
        return Trainer(folder=folder, progress=False, seed=1).run(phase, Budget(steps=400))

    def values(self) -> list[float]:
        return [float(v.numpy()[0]) for v in (self.leader, self.follower, self.count)]

    def _losses(self, batch: Any, seed: Any) -> dict[str, Any]:
        self.count.assign_add([1.0])
        return {
            "first": tf.reduce_mean(tf.square(self.leader.value - 1 - 0.1 * batch[0])),
            "second": tf.reduce_mean(tf.square(self.follower.value - self.leader.value)),
        }

    batches = Task.batches


def test_players_do_not_move_for_each_other() -> None:
    both, alone = Game(), Game()
    log = both.run(None)
    alone.run(None, alone=True)
    assert both.values()[0] == alone.values()[0] == pytest.approx(1, abs=0.05)
    assert both.values()[1] == pytest.approx(1, abs=0.05)
    assert both.values()[2] == 400
    assert {"first", "second"} <= set(log.columns)


def test_a_game_that_was_stopped_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    whole, stopped, resumed = Game(), Game(stop_at=77), Game()
    whole.run(None)
    with pytest.raises(StoppedError):
        stopped.run(tmp_path)
    resumed.run(tmp_path)
    assert resumed.values() == whole.values()
