"""How long to train. This module needs no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from prodgen_rec.errors import ConfigError


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of steps, or minutes that are turned into steps.

    Minutes become steps once, when the first steps have shown the speed. The number is
    kept in the checkpoint, so that a resumed run follows the same schedule.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ConfigError("a training budget needs either steps or minutes, and not both")
        if (self.steps or self.minutes or 0) <= 0:
            raise ConfigError(
                f"a training budget must be positive, got steps={self.steps}, "
                f"minutes={self.minutes}"
            )

    def share(self, fraction: float) -> Budget:
        """A part of this budget."""
        if self.steps is not None:
            return Budget(steps=max(1, round(self.steps * fraction)))
        return Budget(minutes=(self.minutes or 0) * fraction)
