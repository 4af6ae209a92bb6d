"""Tastes: small files that only the command line reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prodgen_rec import columns
from prodgen_rec.cli.console import one_line
from prodgen_rec.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_TRUTH_COLUMNS = (columns.USER_ID, "attribute", columns.VALUE)


def read_truth(path: Path) -> pd.DataFrame:
    """Known tastes: ``user_id``, ``attribute`` and ``value``.

    Raises
    ------
    InputError
        The file cannot be read, is empty, or lacks a column.
    """
    import pandas as pd

    if not path.is_file():
        raise InputError(f"--truth: there is no file {path}")
    try:
        table = pd.read_csv(path, dtype={columns.USER_ID: str})  # "007" is not 7
    except (ValueError, OSError) as error:
        raise InputError(f"--truth: {path} cannot be read as CSV: {one_line(error)}") from error
    missing = [name for name in _TRUTH_COLUMNS if name not in table]
    if missing or table.empty:
        wrong = f"has no column {', '.join(missing)}" if missing else "has no rows"
        raise InputError(
            f"--truth: {path} {wrong}; expected {', '.join(_TRUTH_COLUMNS)}, "
            f"it has {', '.join(table.columns)}"
        )
    return table
