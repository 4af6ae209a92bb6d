"""The file of a search's trials, by what a search is known in it, and what Optuna says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from prodgen_rec.columns import EVENT, ITEM_ID, QUANTITY, TIMESTAMP, USER_ID
from prodgen_rec.errors import InputError
from prodgen_rec.events import Events
from prodgen_rec.hashing import hash_ids, hash_pairs
from prodgen_rec.interactions import Interactions

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


def contents(log: Events | Interactions) -> list[npt.NDArray[Any]]:
    """Arrays that differ where logs do; the order of events is no difference."""
    if isinstance(log, Interactions):
        ids = (hash_ids(one.arrow, 0) for one in (log.users, log.items))
        return [*ids, log.matrix.data, log.matrix.indices, log.matrix.indptr]
    rows = np.zeros(len(log), np.uint64)
    for column in (USER_ID, ITEM_ID, EVENT):
        dictionary, codes = log.codes(column)
        rows = hash_pairs(rows, hash_ids(dictionary, 0)[codes])
    for column in (TIMESTAMP, QUANTITY):  # exact in float64 until the year 2255
        rows = hash_pairs(rows, log.numbers(column).astype(np.float64).view(np.uint64))
    return [rows.sum(keepdims=True)]


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
