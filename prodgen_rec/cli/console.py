"""What a command says: words for people on standard error, results on standard output."""

from __future__ import annotations

import errno
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prodgen_rec.errors import (
    BundleError,
    DeliveryError,
    LockHeldError,
    MissingExtraError,
    NothingToPublishError,
    ProdgenError,
    QualityGateError,
    TrainingDivergedError,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task

LEAST_PAUSE = 10.0
"""Seconds between two lines that say how much is done."""
NOT_INSTALLED = 6
"""Exit code where a package is missing."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it, and after a SIGTERM to a training or nightly run."""

_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (BundleError, 4),
    (NothingToPublishError, 8),
    (QualityGateError, 9),
    (LockHeldError, 10),
    (DeliveryError, 11),
    (TrainingDivergedError, 5),
    (MissingExtraError, NOT_INSTALLED),
    (ProdgenError, 3),
    (OSError, 7),
)
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system says when a disk or quota is full, or a file too large."""


class Reporter:
    """Tells what goes on, and at the end what came out.

    Parameters
    ----------
    as_json
        Results go to standard output as one JSON object, and nothing else is said.
    quiet
        Nothing but results is said.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.talks = not (as_json or quiet)

    def say(self, text: str) -> None:
        """One line for people."""
        if self.talks:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say what is being done, and how long it took."""
        self.say(f"{text} …")
        start = time.monotonic()
        yield
        self.say(f"  done in {time.monotonic() - start:.1f} s")

    @contextmanager
    def bar(self, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """How much is done, how fast, and how long it will go on: a bar on a terminal, else lines.

        What it gives is called with the number just done.
        """
        from rich.console import Console

        console = Console(stderr=True)
        if not (self.talks and console.is_terminal):
            yield _Lines(self.say, total, unit).advance
            return
        with _progress(console, unit) as progress:
            task = progress.add_task("", total=total)
            yield lambda n: progress.advance(task, n)

    def result(self, values: Mapping[str, Any], text: str) -> None:
        """The outcome: ``values`` as JSON, or ``text`` for people, on standard output."""
        print(as_json(values) if self.as_json else text, flush=True)


class _Lines:
    """A line whenever another tenth is done, and not too soon after the last one."""

    def __init__(self, say: Callable[[str], None], total: int, unit: str) -> None:
        self._say, self._total, self._unit = say, total, unit
        self._done = self._tenths = 0
        self._start = self._said = time.monotonic()

    def advance(self, n: int) -> None:
        """So many more are done."""
        self._done += n
        tenths, now = 10 * self._done // max(self._total, 1), time.monotonic()
        if self._tenths < tenths < 10 and now - self._said >= LEAST_PAUSE:
            rate = self._done / max(now - self._start, 1e-9)
            left = duration((self._total - self._done) / rate)
            self._say(
                f"  {10 * tenths} %: {self._done:,} of {self._total:,} {self._unit}, "
                f"{rate:,.1f} a second, {left} left"
            )
            self._tenths, self._said = tenths, now


def _progress(console: Console, unit: str) -> Progress:
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """So many a second."""

        def render(self, task: Task) -> Text:
            rate = task.finished_speed or task.speed
            return Text(f"{int(task.completed):,} {unit}, {rate or 0:,.1f} a second,")

    return Progress(
        BarColumn(),
        TaskProgressColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
    )


def duration(seconds: float) -> str:
    """A length of time, as coarse as it may be."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def listed(ids: Sequence[Any]) -> str:
    """The first few of some ids, for people."""
    return ", ".join(repr(_plain(one)) for one in ids[:3]) + (", …" if len(ids) > 3 else "")


def counted(ids: Sequence[Any]) -> dict[str, Any]:
    """How many ids there are, and the first of them, for scripts."""
    return {"n": len(ids), "first": ids[:10]}


def as_json(values: Mapping[str, Any], *, indent: int | None = None) -> str:
    """Values as JSON that every reader takes: what is not finite becomes null."""
    return json.dumps(_plain(values), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def exit_code(error: BaseException) -> int | None:
    """Exit code of an error that a user can do something about; None for a defect."""
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_ROOM:
        error = error.__cause__
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), None)


def explain(error: BaseException) -> str:
    """An error in one sentence."""
    if isinstance(error, KeyboardInterrupt):
        return (
            "interrupted; no file was left half-written; the same command again starts over, "
            "but fit, tune and nightly go on where they stopped"
        )
    if not isinstance(error, OSError) or isinstance(error, ProdgenError):
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    return place + (error.strerror or str(error))


def one_line(error: BaseException) -> str:
    """What another library says in several lines."""
    return " ".join(str(error).split())
