"""The file of a search's trials, and what Optuna says meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prodgen_rec.errors import InputError

if TYPE_CHECKING:
    import optuna


def stored(file: Path | str) -> optuna.storages.BaseStorage:
    """The trials in a file."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    try:
        content = Path(file).read_bytes() if Path(file).exists() else b""
        if content[-1:] in (b"", b"\n"):
            for line in content.splitlines()[-1:]:
                json.loads(line)  # Optuna would forgive this line, and write below it
            # Its lock is a link to this path, read from where the lock lies.
            return optuna.storages.JournalStorage(JournalFileBackend(str(Path(file).resolve())))
        why = "its last line is cut off"
    except (ValueError, KeyError, TypeError) as error:  # Optuna checks nothing itself
        why = f"{type(error).__name__}: {error}"
    raise InputError(
        f"{file} cannot be read as the trials of a search ({why}); name another file, or delete "
        "this one to start over"
    )


@contextmanager
def no_news_of_optuna() -> Iterator[None]:
    """Only its warnings are logged meanwhile; its verbosity is one for the whole process."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
