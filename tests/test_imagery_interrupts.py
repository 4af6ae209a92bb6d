"""Ctrl-C and SIGTERM: a training ends after the step at hand, and loses nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagery_tasks import Task, about, assert_as_unbroken

from prodgen_rec.imagery.interrupts import terminable, uninterrupted

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """What Python starts with; a shell takes SIGINT from what it starts in the background."""
    before = [
        signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.signal(signal.SIGTERM, signal.SIG_DFL),
    ]
    yield
    assert handlers() == [signal.default_int_handler, signal.SIG_DFL]
    for number, handler in zip(BOTH, before, strict=True):
        signal.signal(number, handler)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in BOTH]


@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGINT, 3), (signal.SIGINT, 19), (signal.SIGINT, 129), (signal.SIGTERM, 19)],
)
def test_an_interrupt_writes_a_checkpoint_after_a_whole_step(
    number: signal.Signals, step: int, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        Task(interrupt_at=step, interrupt=number).run(tmp_path)
    assert len(about(tmp_path)["history"]) == (step + 1) // 20 + (step == 129)
    task = Task()
    assert_as_unbroken(task, task.run(tmp_path))


def test_a_background_job_that_gets_no_interrupts_is_terminated_in_the_same_way(
    tmp_path: Path,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            Task(interrupt_at=19, interrupt=signal.SIGTERM).run(tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert len(about(tmp_path)["history"]) == 1
    task = Task()
    assert_as_unbroken(task, task.run(tmp_path))


@pytest.mark.parametrize("at_the_end", [False, True])
def test_termination_does_not_break_off_a_checkpoint(at_the_end: bool, tmp_path: Path) -> None:
    """Neither the second SIGTERM nor one that comes while the last checkpoint is written."""
    shown = np.zeros((1, 1, 4, 4, 3), np.uint8)

    def pictures() -> np.ndarray:
        signal.raise_signal(signal.SIGTERM)
        return shown

    step = -1 if at_the_end else 19
    task = Task(interrupt_at=step, interrupt=signal.SIGTERM, pictures=pictures)
    with pytest.raises(KeyboardInterrupt):
        task.run(tmp_path)
    name = "task-000130.png" if at_the_end else "task-000020.png"
    files = {"task.npz", "task.csv", "task.png", name}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == files
    resumed = Task()
    assert_as_unbroken(resumed, resumed.run(tmp_path))


def test_an_interrupt_waits_for_the_end_of_its_step() -> None:
    reached = []

    def step(*numbers: signal.Signals) -> None:
        with terminable(), uninterrupted():
            for number in numbers:
                signal.raise_signal(number)
            reached.append(numbers)

    step()
    deferred = [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM)]
    for numbers in deferred:
        with pytest.raises(KeyboardInterrupt):
            step(*numbers)
    assert reached == [(), *deferred]
    with pytest.raises(KeyboardInterrupt):  # whom it takes too long
        step(signal.SIGTERM, signal.SIGINT)
    assert reached == [(), *deferred]


def test_only_the_first_termination_interrupts() -> None:
    with terminable():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", BOTH)
def test_other_handlers_of_interrupts_stay(number: signal.Signals) -> None:
    received = []
    before = signal.signal(number, lambda *_: received.append(1))
    try:
        with terminable(), uninterrupted():
            signal.raise_signal(number)
            assert received == [1]
    finally:
        signal.signal(number, before)


def test_training_in_another_thread() -> None:
    task, logs = Task(), []
    thread = threading.Thread(target=lambda: logs.append(task.run(None)))
    thread.start()
    thread.join()
    assert_as_unbroken(task, logs[0])
