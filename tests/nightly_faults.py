"""Breaks an action on a target at its first step, its second, … until it gets through.

Run as a program, in a process of its own: it forks a child for each try, before any thread is
started. A step is a file that is opened for writing, moved or removed, or a folder that is made
or removed, in the target. The library knows nothing of this: the interpreter reports the steps
(PEP 578). Errors are injected into syncs, too; what a kill leaves is the same before and after.

    python tests/nightly_faults.py ACTION kill|errors FOLDER
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas  # noqa: F401, ICN001 (pyarrow imports it, which would take its time in every child)
from nightly_runs import USER, begun, rows, seen, sums, tree, write

from prodgen_rec.nightly import forget_user, latest, rollback, verify

WATCHED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
ERRORS = (
    (errno.EIO, "once"),
    (errno.ENOSPC, "for ever"),
    (errno.ENOSPC, "once"),
    (errno.EIO, "for ever"),
)
"""Take turns from step to step."""
BROKEN = 3
"""Exit code of a child whose action ended with the error that was injected."""
GOT_OVER = 4
"""Exit code of one whose action was done in spite of it: it met what is of no consequence."""


def half_of_27(place: Path) -> None:
    with begun(place, 27) as run:
        for index in (0, 1):
            run.write_part(index, rows(27, index), **sums(index))


ACTIONS: dict[str, tuple[list[Callable[[Path], Any]], Callable[[Path], Any], set[Any]]] = {
    "first run": ([], lambda place: write(place, 26), {None, (26, True)}),
    "next run": (
        [lambda place: write(place, 24), lambda place: write(place, 25)],
        lambda place: write(place, 26, keep=1),
        {(25, True), (26, True)},
    ),
    "forget": (
        [lambda place: write(place, 25), lambda place: write(place, 26), half_of_27],
        lambda place: forget_user(place, USER),
        {(26, True), (26, False)},
    ),
    "rollback": (
        [lambda place: write(place, 25), lambda place: write(place, 26)],
        lambda place: rollback(place, to="2026-11-25"),
        {(25, True), (26, True)},
    ),
}
"""What was done before, the action, and what readers may see during it."""


class Fault:
    """Something that goes wrong at a step, once or from then on."""

    def __init__(self, folder: Path, kind: str, at: int) -> None:
        self.folder, self.kind, self.left = str(folder), kind, at
        self.code, self.duration = ERRORS[at % len(ERRORS)]

    def arm(self) -> None:
        sys.addaudithook(self._event)
        sync = os.fsync

        def counted(descriptor: int) -> None:
            self._step("")
            sync(descriptor)

        if self.kind != "kill":
            os.fsync = counted

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_written = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in WATCHED or is_written) and str(arguments[0]).startswith(self.folder):
            self._step(str(arguments[0]) if event == "os.rename" else "")

    def _step(self, torn: str) -> None:
        self.left -= 1
        if self.kind == "kill":
            if torn and self.left == 0:  # the write before was not finished
                os.truncate(torn, os.path.getsize(torn) // 2)
                self._die()
            self.left -= bool(torn)
            if self.left == 0:
                self._die()
        elif self.left == 0 or (self.left < 0 and self.duration == "for ever"):
            raise OSError(self.code, os.strerror(self.code))

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def in_child(action: Callable[[], Any]) -> int:
    """Exit code of a child that does something, negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        try:
            action()
            code = 0
        except OSError as error:
            code = BROKEN if error.errno in (errno.EIO, errno.ENOSPC) else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def look(place: Path, allowed: set[Any]) -> None:
    """Readers see one of the allowed states, whole; so is every run that has a manifest."""
    assert verify(place).ok
    is_published = (place / "CURRENT").exists()
    state = seen(latest(place)) if is_published else None
    assert state in allowed, state


def prepare(place: Path, before: list[Callable[[Path], Any]]) -> None:
    for action in before:
        action(place)


def broken(action: Callable[[Path], Any], place: Path, kind: str, at: int) -> int:
    """Exit code of a child whose action meets a fault."""

    def with_fault() -> None:
        fault = Fault(place, kind, at)
        fault.arm()
        action(place)
        if fault.left <= 0:
            os._exit(GOT_OVER)

    return in_child(with_fault)


def main(name: str, kind: str, folder: Path) -> None:
    before, action, allowed = ACTIONS[name]
    start, unbroken, place = folder / "start", folder / "unbroken", folder / "place"
    assert in_child(lambda: prepare(start, before)) == 0
    if start.exists():
        shutil.copytree(start, unbroken)
    assert in_child(lambda: action(unbroken)) == 0

    def looked(place: Path) -> None:
        look(place, allowed)
        action(place)

    at, code, n_broken = 0, BROKEN, 0
    while code != 0:
        at += 1
        shutil.rmtree(place, ignore_errors=True)
        if start.exists():
            shutil.copytree(start, place)
        code = broken(looked, place, kind, at)
        expected = {-signal.SIGKILL} if kind == "kill" else {BROKEN, GOT_OVER}
        assert code in {0, *expected}, f"step {at}: exit code {code}"
        n_broken += code not in (0, GOT_OVER)
        if code == -signal.SIGKILL:  # and again, while it goes on
            again = broken(looked, place, kind, 1 + at * 7 % 13)
            assert again in {0, -signal.SIGKILL}, f"step {at}, and then another: {again}"
        assert in_child(lambda: looked(place)) == 0, f"step {at}"
        assert tree(place) == tree(unbroken), f"step {at}: {set(tree(place)) ^ set(tree(unbroken))}"
    print(at - 1, n_broken)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
