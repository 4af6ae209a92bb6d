"""Files of a training phase: the checkpoint from which it resumes, and what people look at."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from PIL import Image

from prodgen_rec.errors import BundleCorruptError, ConfigError
from prodgen_rec.figures import training_curves
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.storage import atomic_file, load_arrays, save_arrays

Row = dict[str, float]


@dataclass
class State:
    """What a checkpoint holds beside the variables.

    Attributes
    ----------
    n_steps
        Length of the phase; None while a budget in minutes has not become one.
    seconds
        Time spent, over all sessions.
    history
        Rows of the log.
    """

    n_steps: int | None
    seconds: float = 0.0
    history: list[Row] = field(default_factory=list)


class PhaseFiles:
    """Files of one phase in a folder, which all but the event file appear whole or not at all.

    ``<phase>.npz`` is the checkpoint, ``<phase>.csv`` the log, ``<phase>.png`` the log as curves,
    and ``<phase>-<step>.png`` a grid of pictures. ``tensorboard/<phase>`` has an event file where
    TensorBoard is installed.

    Parameters
    ----------
    folder
        Where they are.
    phase
        Name of the phase.
    fingerprint
        Says what is trained on what; a checkpoint with another one is refused.
    """

    def __init__(self, folder: Path, phase: str, fingerprint: str) -> None:
        self.folder = folder
        self.phase = phase
        self.fingerprint = fingerprint
        self._checkpoint = folder / f"{phase}.npz"
        self._events = EventFile(folder / "tensorboard" / phase)

    def save(self, state: State, variables: Sequence[keras.Variable]) -> None:
        """Write checkpoint, log and event file.

        Raises
        ------
        OSError
            They cannot be written; the checkpoint before is whole.
        """
        about = {"fingerprint": self.fingerprint, **vars(state)}
        arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(variables)}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        with self._explained():
            save_arrays(self._checkpoint, arrays)
            with atomic_file(self.folder / f"{self.phase}.csv") as temporary:
                pd.DataFrame(state.history).to_csv(temporary, index=False)
            self._events.write(state.history)

    def show(self, pictures: npt.NDArray[np.uint8], step: int) -> None:
        """Write pictures (n_rows, n_columns, size, size, 3) side by side as one PNG file.

        Raises
        ------
        OSError
            It cannot be written.
        """
        n_rows, n_columns, size = pictures.shape[:3]
        canvas = pictures.transpose(0, 2, 1, 3, 4).reshape(n_rows * size, n_columns * size, 3)
        path = self.folder / f"{self.phase}-{step:06d}.png"
        with self._explained(), atomic_file(path) as temporary:
            Image.fromarray(canvas).save(temporary, format="PNG")

    def draw(self, history: Sequence[Row]) -> None:
        """Write a log as curves, if it has a row.

        Raises
        ------
        OSError
            They cannot be written.
        """
        if history:
            log = pd.DataFrame(history).drop(columns="seconds")
            with self._explained():
                training_curves(log, self.folder / f"{self.phase}.png")

    def restore(self, variables: Sequence[keras.Variable], budget: Budget) -> State | None:
        """Give variables the values of the checkpoint, and return its state; None if there is none.

        Raises
        ------
        ConfigError
            It belongs to other data, settings or number of steps.
        BundleCorruptError
            It cannot be read.
        """
        if not self._checkpoint.exists():
            return None
        try:
            arrays = load_arrays(self._checkpoint)
            about = json.loads(arrays["about"].tobytes())
            fingerprint = about.pop("fingerprint")
            state = State(**about)
            self._check_belongs(fingerprint, state, budget)
            for i, variable in enumerate(variables):
                variable.assign(arrays[f"variable_{i}"])
        except ConfigError:
            raise
        except (BundleCorruptError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleCorruptError(
                f"{self._checkpoint}: this checkpoint cannot be used ({error}); "
                f"delete it to train the phase {self.phase!r} again"
            ) from error
        return state

    def _check_belongs(self, fingerprint: str, state: State, budget: Budget) -> None:
        advice = "delete it and those of later phases to train them again, or restore the old"
        if fingerprint != self.fingerprint:
            raise ConfigError(
                f"{self._checkpoint}: this checkpoint was written for other data or settings; "
                f"{advice} settings"
            )
        if budget.steps not in (None, state.n_steps):
            raise ConfigError(
                f"{self._checkpoint}: this checkpoint belongs to a phase of {state.n_steps} steps, "
                f"now {budget.steps} are asked for; {advice} budget"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            number, reason = _told(error)
            text = (
                f"{reason}; this checkpoint was not written, the one before is whole: make room "
                "and run again"
            )
            raise OSError(number, text, str(self._checkpoint)) from error


class EventFile:
    """The log for TensorBoard; nothing where that is not installed.

    A session writes a new file, from the first step on: a session before may have been killed
    while it wrote the old one, and no step may be there twice.

    Parameters
    ----------
    folder
        Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: tf.summary.SummaryWriter | None = None
        self._n_written = 0

    def write(self, history: Sequence[Row]) -> None:
        """Add the rows of a log that have come since the last call."""
        if find_spec("tensorboard") is None:
            return
        if self._writer is None:
            for old in self._folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = tf.summary.create_file_writer(str(self._folder))
        with self._writer.as_default():
            for row in history[self._n_written :]:
                # One record for all of a row: `tf.summary.scalar` takes a millisecond for each.
                tf.summary.experimental.write_raw_pb(_summary(row), step=int(row["step"]))
        self._writer.flush()
        self._n_written = len(history)


def _summary(row: Row) -> bytes:
    values = [
        tf.compat.v1.Summary.Value(tag=name, simple_value=value)
        for name, value in row.items()
        if name != "step"
    ]
    return bytes(tf.compat.v1.Summary(value=values).SerializeToString())


def _told(error: Any) -> tuple[int, str]:
    """Number and words of an error of the system, or of TensorFlow, whose errors have no number."""
    if isinstance(error, OSError):
        return error.errno or errno.EIO, str(error.strerror)
    return errno.EIO, " ".join(error.message.split())
