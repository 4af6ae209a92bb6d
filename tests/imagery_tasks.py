"""A training that takes a second, with faults at chosen steps, for the tests of the loop."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from prodgen_rec.imagery import Budget
from prodgen_rec.imagery.runtime import batches
from prodgen_rec.imagery.training import Phase, Player, Trainer
from prodgen_rec.storage import load_arrays

N_STEPS = 130
BATCH_SIZE = 8
TIME_COLUMNS = ["seconds", "steps_per_second", "examples_per_second"]
DATA = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


class StoppedError(Exception):
    pass


class Task:
    """A few numbers that learn noisy data, with a fault at a chosen step.

    Attributes
    ----------
    nan_at
        The loss of this step is NaN.
    steep_at
        The loss of this step is finite, its gradient is not.
    stop_at
        An exception is raised when the batch of this step is asked for.
    interrupt_at
        The process gets a signal in the middle of this step.
    pictures
        See `Phase`.
    """

    def __init__(
        self,
        *,
        nan_at: int = -1,
        steep_at: int = -1,
        stop_at: int = -1,
        interrupt_at: int = -1,
        interrupt: signal.Signals = signal.SIGINT,
        size: int = 5,
        pictures: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.weights = keras.Variable(np.zeros((size, 5), np.float32))
        self.nan_at, self.steep_at, self.stop_at = nan_at, steep_at, stop_at
        self.interrupt_at, self.interrupt = interrupt_at, interrupt
        self.pictures = pictures

    def run(self, folder: Path | None, budget: Budget | None = None, **who: Any) -> pd.DataFrame:
        phase = Phase(
            "task",
            {"loss": Player([self.weights])},
            self._loss,
            self.batches,
            pictures=self.pictures,
        )
        who = {"seed": 7, "fingerprint": "this data"} | who
        return Trainer(folder=folder, progress=False, **who).run(
            phase, budget or Budget(steps=N_STEPS)
        )

    @property
    def value(self) -> np.ndarray:
        return self.weights.numpy()

    def _loss(self, batch: Any, seed: Any) -> dict[str, Any]:
        noise = tf.random.stateless_normal((5,), seed)
        weights = self.weights.value
        error = tf.reduce_mean(tf.square(weights - batch[0][:, None] - 0.1 * noise))
        fault = tf.where(tf.equal(seed[1], self.nan_at), np.float32(np.nan), np.float32(0))
        if self.steep_at >= 0:
            nought = tf.reduce_sum(weights - tf.stop_gradient(weights))
            fault += tf.cond(
                tf.equal(seed[1], self.steep_at), lambda: tf.sqrt(nought), lambda: tf.constant(0.0)
            )
        if self.interrupt_at >= 0:
            fault += tf.ensure_shape(tf.numpy_function(self._interrupt, [seed], tf.float32), ())
        return {"loss": error + fault, "error": error}

    def _interrupt(self, seed: np.ndarray) -> np.float32:
        if seed[1] == self.interrupt_at:
            os.kill(os.getpid(), self.interrupt)
        return np.float32(0)

    def batches(self, first_step: int) -> Iterator[Any]:
        drawn = batches(
            lambda i: (DATA[i],), np.ones(40), BATCH_SIZE, seed=1, first_step=first_step
        )
        for step, batch in enumerate(drawn, first_step):
            if step == self.stop_at:
                raise StoppedError
            yield batch


@lru_cache
def unbroken() -> tuple[np.ndarray, pd.DataFrame]:
    """What a task learns that nothing happens to, and its log."""
    task = Task()
    log = task.run(None)
    return task.value, log


def assert_as_unbroken(task: Task, log: pd.DataFrame) -> None:
    value, expected = unbroken()
    assert np.array_equal(task.value, value)
    pd.testing.assert_frame_equal(untimed(log), untimed(expected), check_exact=True)


def untimed(log: pd.DataFrame) -> pd.DataFrame:
    return log.drop(columns=TIME_COLUMNS)


def about(folder: Path) -> dict[str, Any]:
    """What the checkpoint says beside the variables."""
    return json.loads(load_arrays(folder / "task.npz")["about"].tobytes())
