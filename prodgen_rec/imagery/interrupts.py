"""What ends a training early: Ctrl-C and SIGTERM, after the step at hand."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def terminable() -> Iterator[None]:
    """A SIGTERM that arrives in this block is a keyboard interrupt, and only the first one is.

    Schedulers end a job with SIGTERM, some of them through every process above it: what the
    first one began, such as writing a checkpoint, is not broken off by the next. A program that
    handles SIGTERM in its own way, and a thread that gets no signals, are left alone.
    """
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """An interrupt that arrives in this block is raised at its end, a second Ctrl-C at once.

    Interrupts are SIGINT and, in a block that is `terminable`, SIGTERM. A program that handles
    them in its own way, and a thread that gets none, are left alone.
    """
    ours = [number for number, handler in _INTERRUPTS.items() if _is_handled_by(number, handler)]
    waiting: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if waiting and number == signal.SIGINT:
            raise KeyboardInterrupt
        waiting.append(number)

    try:
        for number in ours:
            signal.signal(number, wait)
        yield
    finally:
        for number in ours:
            signal.signal(number, _INTERRUPTS[number])
    if waiting:
        _INTERRUPTS[waiting[-1]](waiting[-1], None)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


_INTERRUPTS: dict[int, Handler] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: _terminate,
}
"""Signals that can end a training, with the handlers that raise KeyboardInterrupt."""


def _is_handled_by(number: int, handler: Handler) -> bool:
    return _in_main_thread() and signal.getsignal(number) is handler


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
