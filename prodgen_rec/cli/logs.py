"""Logs as lines of JSON, for what collects them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prodgen_rec.cli.console import as_json

if TYPE_CHECKING:
    from prodgen_rec.nightly import Account

_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime"}
"""Attributes of every record; the others were given as ``extra``."""


@contextmanager
def logged(file: Path | None, account: Account) -> Iterator[None]:
    """Append what the library logs of a job in the block to a file, one JSON object a line.

    Each has ``time`` (UTC), ``level``, ``message``, ``logger``, ``run_id``, and what else is
    known, such as ``part``, ``stage``, ``seconds`` or ``users``. Warnings stand on standard error,
    too, as they do without a file; what ends the job does not, because the command says it.
    """
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    library = logging.getLogger("prodgen_rec")
    lines, level = logging.FileHandler(file, encoding="utf-8"), library.level
    lines.setFormatter(_Lines(account))
    shown = logging.StreamHandler()
    shown.setLevel(logging.WARNING)
    shown.addFilter(lambda record: not hasattr(record, "exit_code"))
    handlers: list[logging.Handler] = [lines, shown]
    for handler in handlers:
        library.addHandler(handler)
    library.setLevel(logging.INFO)
    try:
        yield
    finally:
        library.setLevel(level)
        for handler in handlers:
            library.removeHandler(handler)
        lines.close()


class _Lines(logging.Formatter):
    """A record as one line of JSON."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account = account

    def format(self, record: logging.LogRecord) -> str:
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            "run_id": self.account.run_id,
        }
        values |= {name: one for name, one in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return as_json(values)
