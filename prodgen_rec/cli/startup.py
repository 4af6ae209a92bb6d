"""Starting TensorFlow without the lines that it prints while it starts."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from prodgen_rec.cli.console import Reporter

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_STANDARD_ERROR = 2
_RUNTIME = "prodgen_rec.imagery.runtime"


def start_tensorflow(report: Reporter) -> None:
    """Load TensorFlow, which takes seconds, without what it logs on the way.

    Its libraries log about processors and drivers before they read any log level, so what they
    write to standard error meanwhile is held back, and shown only if loading fails. From then
    on not even errors are logged: what concerns a user is raised, and what TensorFlow logs as an
    error may be an optimization that it skipped. Who sets ``TF_CPP_MIN_LOG_LEVEL`` sees it all.
    """
    if "tensorflow" in sys.modules:
        return
    with report.step("starting TensorFlow"):
        if _LOG_LEVEL in os.environ:
            import_module(_RUNTIME)
            return
        os.environ[_LOG_LEVEL] = "3"
        with _held_back():
            import_module(_RUNTIME)


@contextmanager
def _held_back() -> Iterator[None]:
    """Keep what native code writes to standard error, and show it if the block fails."""
    terminal = os.dup(_STANDARD_ERROR)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), _STANDARD_ERROR)
        try:
            yield
        except Exception:
            said.seek(0)
            os.write(terminal, said.read())
            raise
        finally:
            os.dup2(terminal, _STANDARD_ERROR)
            os.close(terminal)
