"""How fast a training is and how far: its clock, the rows of its log, its progress bar."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# The first steps of a session compile the graph; those after them show the speed.
_COMPILE_STEPS = 5
_FEWEST_TIMED_STEPS, _MOST_TIMED_STEPS = 20, 400
_TIMED_SHARE = 0.05
"""Share of a budget in minutes after which its number of steps is settled."""


class Clock:
    """Time spent on steps, over all the sessions of a resumed run.

    Parameters
    ----------
    seconds_before
        Time that former sessions took.

    Attributes
    ----------
    seconds
        Time so far.
    rate
        Steps per second of this session; 0 while it is unknown.
    """

    def __init__(self, seconds_before: float) -> None:
        self._start = self._saved = self._timed_from = time.monotonic()
        self._before = seconds_before
        self._n_ticks = self._n_untimed = 0
        self.seconds = seconds_before
        self.rate = 0.0

    def tick(self) -> float:
        """Count a step, and return the time so far."""
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
        """Seconds since `saved` was called."""
        return time.monotonic() - self._saved

    def saved(self) -> None:
        """Note that a checkpoint was written."""
        self._saved = time.monotonic()


def log_row(
    step: int, clock: Clock, n_examples: int, rate: float, losses: Mapping[str, Any]
) -> dict[str, float]:
    """A row of the log; ``n_examples`` are those of a step, ``rate`` is the learning rate."""
    return {
        "step": step,
        "seconds": round(clock.seconds, 2),
        "steps_per_second": round(clock.rate, 3),
        "examples_per_second": round(clock.rate * n_examples, 1),
        "learning_rate": rate,
        **{name: float(value) for name, value in losses.items()},
    }


def in_words(row: Mapping[str, float], examples: str) -> str:
    """A row of the log for people, who call its examples pictures, or pairs."""
    speed = [
        f"{row['steps_per_second']:.1f} steps/s",
        f"{row['examples_per_second']:.0f} {examples}/s",
    ]
    return "  ".join([*speed, *(f"{name} {row[name]:.4g}" for name in list(row)[5:])])


def progress_bar(wanted: bool) -> Progress:
    """A bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[news]}"),
        console=console,
        disable=not (wanted and console.is_terminal),
    )
