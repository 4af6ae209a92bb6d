"""One training loop for every image model: budget, schedule, checkpoints, resume.

A phase trains some variables with one optimizer for a number of steps. Everything a
step does depends on (seed, step) alone, so a run that was killed and resumed ends
where an unbroken one does.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from prodgen_rec.errors import BundleCorruptError, ConfigError, TrainingDivergedError
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.runtime import compiled, uninterrupted
from prodgen_rec.storage import atomic_file, load_arrays, save_arrays

LossFunction = Callable[[Any, Any], Mapping[str, Any]]
"""(batch, seed of its noise) to scalar losses; the one named ``loss`` is minimized."""

_WARM_UP_STEPS = 100
_LOG_EVERY = 20
_CHECKPOINT_SECONDS = 60.0
# The first steps of a session compile the graph; those after them show the speed.
_COMPILE_STEPS = 5
_FEWEST_TIMED_STEPS, _MOST_TIMED_STEPS = 20, 400
_TIMED_SHARE = 0.05
"""Share of a budget in minutes after which its number of steps is settled."""


@dataclass(frozen=True)
class Phase:
    """Some variables and how they are trained.

    Attributes
    ----------
    name
        Name of the phase in progress, logs and checkpoints.
    variables
        What is trained.
    loss
        Losses of a batch.
    batches
        ``batches(step)`` gives the batches from that step on, without end.
    peak_rate
        Learning rate at its highest.
    """

    name: str
    variables: list[keras.Variable]
    loss: LossFunction
    batches: Callable[[int], tf.data.Dataset]
    peak_rate: float = 1e-3


@dataclass
class _State:
    """What a checkpoint holds beside the variables."""

    n_steps: int | None
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def learning_rate(step: int, peak: float, n_steps: int | None) -> float:
    """Linear warm-up over 100 steps, then a cosine to zero (Loshchilov & Hutter 2017)."""
    if n_steps is None or step < _WARM_UP_STEPS:
        return peak * min(1.0, (step + 1) / _WARM_UP_STEPS)
    share = (step - _WARM_UP_STEPS) / max(1, n_steps - _WARM_UP_STEPS)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def _averaged_steps(budget: Budget) -> float:
    # The average of a short training must not reach back to where it was still untrained.
    return 200.0 if budget.steps is None else min(200.0, max(1.0, budget.steps / 10))


class Trainer:
    """Runs phases and keeps their state on disk.

    Parameters
    ----------
    seed
        Seed of the noise in the losses.
    folder
        Where checkpoints and logs go; None keeps nothing.
    fingerprint
        Says what is trained on what; a checkpoint with another one is refused.
    progress
        Show a progress bar where standard error is a terminal.
    """

    def __init__(
        self, *, seed: int, folder: Path | None = None, fingerprint: str = "", progress: bool = True
    ) -> None:
        self.seed = seed
        self.folder = folder
        self.fingerprint = fingerprint
        self.progress = progress

    def run(self, phase: Phase, budget: Budget) -> pd.DataFrame:
        """Train a phase to the end of its budget and return its log.

        The log has a row per 20 steps: ``step``, ``seconds``, ``steps_per_second``,
        ``learning_rate`` and each loss. The variables end as an exponential moving
        average of their values over about the last 200 steps, or the last tenth of a budget
        of fewer than 2000.

        Raises
        ------
        TrainingDivergedError
            A loss or gradient became NaN or infinite; the variables hold the last good state.
        ConfigError
            The checkpoint in the folder belongs to other data, settings or number of steps.
        BundleCorruptError
            The checkpoint in the folder cannot be read.
        OSError
            A checkpoint cannot be written, on a full disk for instance; the one before is whole.
        KeyboardInterrupt
            After the state was written, so that the same call resumes.
        """
        optimizer = keras.optimizers.AdamW(
            phase.peak_rate,
            weight_decay=1e-4,
            global_clipnorm=1.0,
            use_ema=True,
            ema_momentum=1 - 1 / _averaged_steps(budget),
        )
        optimizer.build(phase.variables)
        state = self._restore(phase, optimizer, budget) or _State(budget.steps)
        try:
            self._loop(phase, budget, optimizer, state)
        finally:
            self._save(phase, optimizer, state)
        optimizer.finalize_variable_values(phase.variables)
        return pd.DataFrame(state.history)

    def _loop(
        self, phase: Phase, budget: Budget, optimizer: keras.Optimizer, state: _State
    ) -> None:
        step = steps_done(optimizer)
        if step == state.n_steps:
            return
        update = _update_function(phase, optimizer)
        clock = _Clock(state.seconds)
        with _progress_bar(self.progress) as bar:
            task = bar.add_task(phase.name, total=state.n_steps, completed=step, losses="")
            for batch in phase.batches(step):
                with uninterrupted():  # no step without its row in the log
                    rate = learning_rate(step, phase.peak_rate, state.n_steps)
                    optimizer.learning_rate.assign(rate)
                    losses = update(batch, tf.constant([self.seed, step], tf.int64))
                    if steps_done(optimizer) == step:
                        raise TrainingDivergedError(_divergence(phase, step, losses))
                    step += 1
                    state.seconds = clock.tick()
                    if state.n_steps is None:
                        steps_left = clock.steps_left((budget.minutes or 0) * 60)
                        state.n_steps = None if steps_left is None else step + steps_left
                    if step % _LOG_EVERY == 0 or step == state.n_steps:
                        row = _row(step, clock, optimizer, losses)
                        state.history.append(row)
                        bar.update(task, total=state.n_steps, completed=step, losses=_brief(row))
                if step == state.n_steps:
                    return
                if clock.since_save() > _CHECKPOINT_SECONDS:
                    self._save(phase, optimizer, state)
                    clock.saved()

    def _path(self, phase: Phase) -> Path | None:
        return None if self.folder is None else self.folder / f"{phase.name}.npz"

    def _save(self, phase: Phase, optimizer: keras.Optimizer, state: _State) -> None:
        path = self._path(phase)
        if path is None:
            return
        about = {"fingerprint": self.fingerprint, **vars(state)}
        arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(_all(phase, optimizer))}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        try:
            save_arrays(path, arrays)
            with atomic_file(path.with_suffix(".csv")) as temporary:
                pd.DataFrame(state.history).to_csv(temporary, index=False)
        except OSError as error:
            reason = (
                f"{error.strerror}; this checkpoint was not written, the one before is whole: "
                "make room and run again"
            )
            raise OSError(error.errno, reason, str(path)) from error

    def _restore(self, phase: Phase, optimizer: keras.Optimizer, budget: Budget) -> _State | None:
        path = self._path(phase)
        if path is None or not path.exists():
            return None
        try:
            arrays = load_arrays(path)
            about = json.loads(arrays["about"].tobytes())
            fingerprint = about.pop("fingerprint")
            state = _State(**about)
            self._check_belongs(path, fingerprint, state, budget)
            for i, variable in enumerate(_all(phase, optimizer)):
                variable.assign(arrays[f"variable_{i}"])
        except ConfigError:
            raise
        except (BundleCorruptError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleCorruptError(
                f"{path}: this checkpoint cannot be used ({error}); "
                f"delete it to train the phase {phase.name!r} again"
            ) from error
        return state

    def _check_belongs(self, path: Path, fingerprint: str, state: _State, budget: Budget) -> None:
        advice = f"delete the folder {path.parent} to start again, or restore the old"
        if fingerprint != self.fingerprint:
            raise ConfigError(
                f"{path}: this checkpoint was written for other data or settings; {advice} settings"
            )
        if budget.steps not in (None, state.n_steps):
            raise ConfigError(
                f"{path}: this checkpoint belongs to a phase of {state.n_steps} steps, "
                f"now {budget.steps} are asked for; {advice} budget"
            )


class _Clock:
    """Time spent on steps, over all the sessions of a resumed run."""

    def __init__(self, seconds_before: float) -> None:
        self._start = self._saved = self._timed_from = time.monotonic()
        self._before = seconds_before
        self._n_ticks = self._n_untimed = 0
        self.seconds = seconds_before
        self.rate = 0.0

    def tick(self) -> float:
        now = time.monotonic()
        self.seconds = self._before + now - self._start
        self._n_ticks += 1
        if self._n_ticks in (1, _COMPILE_STEPS):
            self._n_untimed, self._timed_from = self._n_ticks, now
        else:
            self.rate = (self._n_ticks - self._n_untimed) / (now - self._timed_from)
        return self.seconds

    def steps_left(self, budget: float) -> int | None:
        """Steps that fit into the rest of a budget in seconds; None while the speed is unknown."""
        n_timed = self._n_ticks - _COMPILE_STEPS
        early = self.seconds < _TIMED_SHARE * budget and n_timed < _MOST_TIMED_STEPS
        if n_timed < _FEWEST_TIMED_STEPS or early:
            return None
        return max(1, int((budget - self.seconds) * self.rate))

    def since_save(self) -> float:
        return time.monotonic() - self._saved

    def saved(self) -> None:
        self._saved = time.monotonic()


def steps_done(optimizer: keras.Optimizer) -> int:
    """Updates made so far; an update that would have been NaN is not made."""
    return int(optimizer.iterations.numpy())


def _all(phase: Phase, optimizer: keras.Optimizer) -> list[keras.Variable]:
    return [*phase.variables, *optimizer.variables]


def _update_function(
    phase: Phase, optimizer: keras.Optimizer
) -> Callable[[Any, Any], Mapping[str, Any]]:
    def update(batch: Any, seed: Any) -> Mapping[str, Any]:
        with tf.GradientTape() as tape:
            losses = phase.loss(batch, seed)
        variables = [v.value for v in phase.variables]
        gradients = tape.gradient(losses["loss"], variables)
        finite = tf.math.is_finite(tf.linalg.global_norm(gradients) + losses["loss"])

        def apply() -> Any:
            optimizer.apply(gradients, phase.variables)
            return tf.constant(True)

        tf.cond(finite, apply, lambda: tf.constant(False))
        return losses

    return compiled(update)


def _row(
    step: int, clock: _Clock, optimizer: keras.Optimizer, losses: Mapping[str, Any]
) -> dict[str, float]:
    return {
        "step": step,
        "seconds": round(clock.seconds, 2),
        "steps_per_second": round(clock.rate, 3),
        "learning_rate": float(optimizer.learning_rate.numpy()),
        **{name: float(value) for name, value in losses.items()},
    }


def _brief(row: Mapping[str, float]) -> str:
    shown = [f"{name} {row[name]:.4g}" for name in list(row)[4:]]
    return f"{row['steps_per_second']:.1f} steps/s  " + "  ".join(shown)


def _divergence(phase: Phase, step: int, losses: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name}={float(value):.4g}" for name, value in losses.items())
    return (
        f"{phase.name}: the loss or its gradient is not finite at step {step} ({values}); "
        "the last good state was kept; lower the learning rate or check the photos and vectors"
    )


def _progress_bar(wanted: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
        console=console,
        disable=not (wanted and console.is_terminal),
    )
