"""One training loop for every image model: budget, schedule, checkpoints, resume.

A phase trains some variables for a number of steps. One player minimizes one loss; in an
adversarial phase two of them minimize a loss each, in the same steps. Everything a step does
depends on (seed, step) alone, so a run that was killed and resumed ends where an unbroken one
does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from prodgen_rec.errors import TrainingDivergedError
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.interrupts import terminable, uninterrupted
from prodgen_rec.imagery.phase_files import PhaseFiles, State
from prodgen_rec.imagery.progress import Clock, in_words, log_row, progress_bar
from prodgen_rec.imagery.replicas import averaged, own_rows
from prodgen_rec.imagery.runtime import compiled

LossFunction = Callable[[Any, Any], Mapping[str, Any]]
"""(batch, seed of its noise) to scalar losses; each player minimizes the one of its name."""

_WARM_UP_STEPS = 100
_LOG_EVERY = 20
_CHECKPOINT_SECONDS = 60.0


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
        n_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        optimizer = keras.optimizers.AdamW(
            self.peak_rate,
            beta_1=self.betas[0],
            beta_2=self.betas[1],
            weight_decay=1e-4,
            # Each replica hands in its share of the gradient, see `_Game`.
            global_clipnorm=1.0 / n_replicas,
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
        Losses of a batch, means over its rows; its random numbers are drawn by `replicas`.
    batches
        ``batches(step)`` gives the batches from that step on, without end.
    statistics
        What else a step changes, such as the moving averages of a batch normalization.
    pictures
        Pictures uint8 (n_rows, n_columns, size, size, 3) that show how far it is; they are
        written with every checkpoint.
    examples
        What the rows of a batch are, for people.
    """

    name: str
    players: Mapping[str, Player]
    loss: LossFunction
    batches: Callable[[int], tf.data.Dataset]
    statistics: Sequence[keras.Variable] = ()
    pictures: Callable[[], npt.NDArray[np.uint8]] | None = None
    examples: str = "pictures"


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

    def on(self, fingerprint: str) -> Trainer:
        """The same, for a phase of another origin."""
        return Trainer(
            seed=self.seed, folder=self.folder, fingerprint=fingerprint, progress=self.progress
        )

    def run(self, phase: Phase, budget: Budget) -> pd.DataFrame:
        """Train a phase to the end of its budget and return its log.

        The log has a row per 20 steps: ``step``, ``seconds``, ``steps_per_second``,
        ``examples_per_second``, ``learning_rate`` of the first player, and each loss. Averages
        span about the last 200 steps, or the last tenth of a budget of fewer than 2000.

        Raises
        ------
        TrainingDivergedError
            A loss or gradient became NaN or infinite; the variables hold the last good state.
        ConfigError
            The checkpoint in the folder belongs to other data, settings or number of steps, or a
            batch cannot be dealt evenly to the devices.
        BundleCorruptError
            The checkpoint in the folder cannot be read.
        OSError
            A checkpoint cannot be written, on a full disk for instance; the one before is whole.
        KeyboardInterrupt
            On Ctrl-C or SIGTERM, after the state was written, so that the same call resumes.
        """
        n_averaged = _averaged_steps(budget)
        game = _Game(phase, [p.optimizer(n_averaged) for p in phase.players.values()])
        files = (
            None if self.folder is None else PhaseFiles(self.folder, phase.name, self.fingerprint)
        )
        state = files.restore(game.variables(), budget) if files else None
        state = state or State(budget.steps)

        def save() -> None:
            if files:
                files.save(state, game.variables())
                if phase.pictures:
                    files.show(phase.pictures(), game.steps_done())

        with terminable():
            try:
                self._loop(game, budget, state, save)
            finally:
                with uninterrupted():
                    save()
                    if files:
                        files.draw(state.history)
        game.average()
        return pd.DataFrame(state.history)

    def _loop(self, game: _Game, budget: Budget, state: State, save: Callable[[], None]) -> None:
        phase, step = game.phase, game.steps_done()
        if step == state.n_steps:
            return
        update = compiled(game.update)
        clock = Clock(state.seconds)
        with progress_bar(self.progress) as bar:
            task = bar.add_task(phase.name, total=state.n_steps, completed=step, news="")
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
                        row = log_row(step, clock, len(batch[0]), game.rate(), losses)
                        state.history.append(row)
                        news = in_words(row, phase.examples)
                        bar.update(task, total=state.n_steps, completed=step, news=news)
                if step == state.n_steps:
                    return
                if clock.since_save() > _CHECKPOINT_SECONDS:
                    with uninterrupted():
                        save()
                    clock.saved()


@dataclass(frozen=True, repr=False)  # TensorFlow shows it in warnings, weights and all
class _Game:
    """The players of a phase with their optimizers, on one device or on replicas."""

    phase: Phase
    optimizers: list[keras.Optimizer]
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)

    def update(self, batch: Any, seed: Any) -> Mapping[str, Any]:
        """One step of every player from the same point; of none if a number is not finite."""
        on_replicas = self.strategy.run(self._gradients, (batch, seed))
        losses, gradients = tf.nest.map_structure(self._one, on_replicas)
        sizes = [tf.linalg.global_norm(one) for one in gradients]
        finite = tf.math.is_finite(
            tf.add_n([*sizes, *(losses[name] for name in self.phase.players)])
        )

        def apply() -> Any:
            self.strategy.run(self._apply, (on_replicas[1],))
            return tf.constant(True)

        tf.cond(finite, apply, lambda: tf.constant(False))
        return losses  # type: ignore[no-any-return]

    def _gradients(self, batch: Any, seed: Any) -> tuple[Mapping[str, Any], list[Any]]:
        """Losses, and the gradients of each player: the same on every replica."""
        players = self.phase.players
        with tf.GradientTape(persistent=True) as tape:
            losses = self.phase.loss(own_rows(batch), seed)
        gradients = [
            tape.gradient(losses[name], [v.value for v in player.variables])
            for name, player in players.items()
        ]
        return averaged((losses, gradients))  # type: ignore[no-any-return]

    def _apply(self, gradients: list[Any]) -> None:
        n = self.strategy.num_replicas_in_sync
        players = self.phase.players.values()
        for optimizer, one, player in zip(self.optimizers, gradients, players, strict=True):
            # Keras sums over replicas after it has clipped, so that each hands in a share.
            optimizer.apply([g / n for g in one] if n > 1 else one, player.variables)

    def _one(self, value: Any) -> Any:
        """What the first of the replicas holds."""
        return self.strategy.experimental_local_results(value)[0]

    def steps_done(self) -> int:
        """Updates made so far; an update that would have been NaN is not made."""
        return int(self.optimizers[0].iterations.numpy())

    def rate(self) -> float:
        """Learning rate of the first player."""
        return float(self.optimizers[0].learning_rate.numpy())

    def set_rates(self, step: int, n_steps: int | None) -> None:
        """Learning rates of a step, by the schedule."""
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


def _divergence(phase: Phase, step: int, losses: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name}={float(value):.4g}" for name, value in losses.items())
    return (
        f"{phase.name}: the loss or its gradient is not finite at step {step} ({values}); "
        "the last good state was kept; lower the learning rate or check the photos and vectors"
    )
