"""One training loop for every image model: budget, schedule, checkpoints, resume.

A phase trains some variables for a number of steps. One player minimizes one loss; in an
adversarial phase two of them minimize a loss each, in the same steps. Everything a step does
depends on (seed, step) alone, so a run that was killed and resumed ends where an unbroken one
does.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from prodgen_rec.errors import BundleCorruptError, ConfigError, TrainingDivergedError
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.runtime import compiled, uninterrupted
from prodgen_rec.storage import atomic_file, load_arrays, save_arrays

LossFunction = Callable[[Any, Any], Mapping[str, Any]]
"""(batch, seed of its noise) to scalar losses; each player minimizes the one of its name."""

_WARM_UP_STEPS = 100
_LOG_EVERY = 20
_CHECKPOINT_SECONDS = 60.0
# The first steps of a session compile the graph; those after them show the speed.
_COMPILE_STEPS = 5
_FEWEST_TIMED_STEPS, _MOST_TIMED_STEPS = 20, 400
_TIMED_SHARE = 0.05
"""Share of a budget in minutes after which its number of steps is settled."""


@dataclass(frozen=True)
class Player:
    """Variables that minimize one loss, by AdamW (Loshchilov & Hutter 2019).

    Attributes
    ----------
    variables
        What is trained.
    peak_rate
        Learning rate at its highest.
    betas
        Decay of the averages of gradients and of their squares.
    averaged
        Whether the variables end as an exponential moving average of their last values.
    """

    variables: list[keras.Variable]
    peak_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    averaged: bool = True

    def optimizer(self, n_averaged: float) -> keras.Optimizer:
        """A new optimizer, whose average spans about so many steps."""
        optimizer = keras.optimizers.AdamW(
            self.peak_rate,
            beta_1=self.betas[0],
            beta_2=self.betas[1],
            weight_decay=1e-4,
            global_clipnorm=1.0,
            use_ema=self.averaged,
            ema_momentum=1 - 1 / n_averaged,
        )
        optimizer.build(self.variables)
        return optimizer


@dataclass(frozen=True)
class Phase:
    """Who is trained, on what.

    Attributes
    ----------
    name
        Name of the phase in progress, logs and checkpoints.
    players
        Who minimizes which loss, at least one.
    loss
        Losses of a batch.
    batches
        ``batches(step)`` gives the batches from that step on, without end.
    statistics
        What else a step changes, such as the moving averages of a batch normalization.
    pictures
        Pictures uint8 (n_rows, n_columns, size, size, 3) that show how far it is; they are
        written with every checkpoint.
    """

    name: str
    players: Mapping[str, Player]
    loss: LossFunction
    batches: Callable[[int], tf.data.Dataset]
    statistics: Sequence[keras.Variable] = ()
    pictures: Callable[[], npt.NDArray[np.uint8]] | None = None


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
        ``learning_rate`` of the first player, and each loss. Averages span about the last 200
        steps, or the last tenth of a budget of fewer than 2000.

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
        n_averaged = _averaged_steps(budget)
        game = _Game(phase, [p.optimizer(n_averaged) for p in phase.players.values()])
        state = self._restore(game, budget) or _State(budget.steps)
        try:
            self._loop(game, budget, state)
        finally:
            self._save(game, state)
        game.average()
        return pd.DataFrame(state.history)

    def _loop(self, game: _Game, budget: Budget, state: _State) -> None:
        phase, step = game.phase, game.steps_done()
        if step == state.n_steps:
            return
        update = compiled(game.update)
        clock = _Clock(state.seconds)
        with _progress_bar(self.progress) as bar:
            task = bar.add_task(phase.name, total=state.n_steps, completed=step, losses="")
            for batch in phase.batches(step):
                with uninterrupted():  # no step without its row in the log
                    game.set_rates(step, state.n_steps)
                    losses = update(batch, tf.constant([self.seed, step], tf.int64))
                    if game.steps_done() == step:
                        raise TrainingDivergedError(_divergence(phase, step, losses))
                    step += 1
                    state.seconds = clock.tick()
                    if state.n_steps is None:
                        steps_left = clock.steps_left((budget.minutes or 0) * 60)
                        state.n_steps = None if steps_left is None else step + steps_left
                    if step % _LOG_EVERY == 0 or step == state.n_steps:
                        row = _row(step, clock, game.optimizers[0], losses)
                        state.history.append(row)
                        bar.update(task, total=state.n_steps, completed=step, losses=_brief(row))
                if step == state.n_steps:
                    return
                if clock.since_save() > _CHECKPOINT_SECONDS:
                    self._save(game, state)
                    clock.saved()

    def _path(self, phase: Phase) -> Path | None:
        return None if self.folder is None else self.folder / f"{phase.name}.npz"

    def _save(self, game: _Game, state: _State) -> None:
        path = self._path(game.phase)
        if path is None:
            return
        about = {"fingerprint": self.fingerprint, **vars(state)}
        arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(game.variables())}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        try:
            save_arrays(path, arrays)
            with atomic_file(path.with_suffix(".csv")) as temporary:
                pd.DataFrame(state.history).to_csv(temporary, index=False)
            if game.phase.pictures:
                grid = path.with_name(f"{path.stem}-{game.steps_done():06d}.png")
                _write_grid(grid, game.phase.pictures())
        except OSError as error:
            reason = (
                f"{error.strerror}; this checkpoint was not written, the one before is whole: "
                "make room and run again"
            )
            raise OSError(error.errno, reason, str(path)) from error

    def _restore(self, game: _Game, budget: Budget) -> _State | None:
        path = self._path(game.phase)
        if path is None or not path.exists():
            return None
        try:
            arrays = load_arrays(path)
            about = json.loads(arrays["about"].tobytes())
            fingerprint = about.pop("fingerprint")
            state = _State(**about)
            self._check_belongs(path, fingerprint, state, budget)
            for i, variable in enumerate(game.variables()):
                variable.assign(arrays[f"variable_{i}"])
        except ConfigError:
            raise
        except (BundleCorruptError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleCorruptError(
                f"{path}: this checkpoint cannot be used ({error}); "
                f"delete it to train the phase {game.phase.name!r} again"
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


@dataclass(frozen=True)
class _Game:
    """The players of a phase with their optimizers."""

    phase: Phase
    optimizers: list[keras.Optimizer]

    def update(self, batch: Any, seed: Any) -> Mapping[str, Any]:
        """One step of every player from the same point; of none if a number is not finite."""
        players = self.phase.players
        with tf.GradientTape(persistent=True) as tape:
            losses = self.phase.loss(batch, seed)
        gradients = [
            tape.gradient(losses[name], [v.value for v in player.variables])
            for name, player in players.items()
        ]
        sizes = [tf.linalg.global_norm(one) for one in gradients]
        finite = tf.math.is_finite(tf.add_n([*sizes, *(losses[name] for name in players)]))

        def apply() -> Any:
            for optimizer, one, player in zip(
                self.optimizers, gradients, players.values(), strict=True
            ):
                optimizer.apply(one, player.variables)
            return tf.constant(True)

        tf.cond(finite, apply, lambda: tf.constant(False))
        return losses

    def steps_done(self) -> int:
        """Updates made so far; an update that would have been NaN is not made."""
        return int(self.optimizers[0].iterations.numpy())

    def set_rates(self, step: int, n_steps: int | None) -> None:
        for optimizer, player in zip(self.optimizers, self.phase.players.values(), strict=True):
            optimizer.learning_rate.assign(learning_rate(step, player.peak_rate, n_steps))

    def variables(self) -> list[keras.Variable]:
        """All that a checkpoint holds."""
        trained = [v for player in self.phase.players.values() for v in player.variables]
        trained += self.phase.statistics
        return [*trained, *(v for optimizer in self.optimizers for v in optimizer.variables)]

    def average(self) -> None:
        """Give averaged variables their averages."""
        for optimizer, player in zip(self.optimizers, self.phase.players.values(), strict=True):
            if player.averaged:
                optimizer.finalize_variable_values(player.variables)


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


def _write_grid(path: Path, pictures: npt.NDArray[np.uint8]) -> None:
    """Pictures (n_rows, n_columns, size, size, 3) side by side as one PNG file."""
    n_rows, n_columns, size = pictures.shape[:3]
    canvas = pictures.transpose(0, 2, 1, 3, 4).reshape(n_rows * size, n_columns * size, 3)
    with atomic_file(path) as temporary:
        Image.fromarray(canvas).save(temporary, format="PNG")


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
