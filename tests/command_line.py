"""Running the commands, within the test's process and as processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from settings import PLAIN

from prodgen_rec.cli import main

ROOT = Path(__file__).parents[1]
SECONDS = 300
WRONG_USAGE, REFUSED, BUNDLE, NOT_INSTALLED, FILES, INTERRUPTED = 2, 3, 4, 6, 7, 130

SMALL = """\
[preferences]
factors = 16

[imagery]
size = 32
width = 8
latent_channels = 4
learning_rate = 0.002
prior_width = 96
prior_depth = 2
prior_share = 0.3
""" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in PLAIN.items())
"""Settings with which a fit of a few steps takes seconds."""

# An interrupt that a shell ignores for its background jobs would be ignored by the test's too.
_START = """\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from prodgen_rec.cli import main
main()
"""


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output; refuses what only Python calls JSON."""
        return json.loads(self.out, parse_constant=_no_json)

    @property
    def said(self) -> str:
        """Standard error as one line, without what the terminal adds."""
        return " ".join(re.sub(r"[│╭╮╰╯─]", " ", plain(self.err)).split())


def run(*words: Any) -> Outcome:
    """A command in this process; a defect raises here."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            return Outcome(int(stop.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("the command line always ends with an exit code")


def done(*words: Any) -> Outcome:
    """A command that succeeds."""
    outcome = run(*words)
    assert outcome.code == 0, outcome.err
    return outcome


def assert_refused(outcome: Outcome, code: int, text: str) -> None:
    """One sentence, the code it belongs to, and nothing on standard output."""
    assert text in outcome.said
    assert outcome.code == code
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    if code != WRONG_USAGE:
        *told, last = outcome.err.rstrip("\n").split("\n")
        assert last.startswith("error: "), outcome.err
        assert not any(line.startswith("error") for line in told)


def process(*words: Any, start: str = _START, n_threads: int = 1) -> Outcome:
    """A command in a process of its own."""
    ended = subprocess.run(
        command(*words, start=start),
        capture_output=True,
        text=True,
        env=environment() | {"TF_NUM_INTRAOP_THREADS": str(n_threads)},
        timeout=SECONDS,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


class Terminal:
    """A command whose standard error is a terminal, so that it shows its progress."""

    def __init__(self, *words: Any) -> None:
        self.text = ""
        self._screen, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command(*words), stdout=subprocess.PIPE, stderr=theirs, env=environment()
        )
        os.close(theirs)

    def shows(self, pattern: str) -> re.Match[str]:
        """Wait until a pattern is on the screen."""
        while not (found := re.search(pattern, plain(self.text))):
            assert self._reads(), f"{pattern!r} never came: {self.text}"
        return found

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> Outcome:
        """Wait for the end."""
        while self._reads():
            pass
        out, _ = self._process.communicate(timeout=SECONDS)
        os.close(self._screen)
        return Outcome(self._process.returncode, out.decode(), plain(self.text))

    def _reads(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], SECONDS)
        assert ready, f"nothing was said for {SECONDS} s: {self.text}"
        try:
            said = os.read(self._screen, 1 << 16)
        except OSError:  # how Linux tells that nobody holds the other end any more
            return False
        self.text += said.decode("utf-8", "replace")
        return bool(said)


def command(*words: Any, start: str = _START) -> list[str]:
    return [sys.executable, "-c", start, *map(str, words)]


def environment() -> dict[str, str]:
    own = {name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return own | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "TERM": "xterm"}


def plain(text: str) -> str:
    """Text without the codes that move a cursor or set a color."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _no_json(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")
