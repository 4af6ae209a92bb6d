"""Tastes and lists of ids: small files that only the command line reads."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prodgen_rec import columns
from prodgen_rec.cli.console import one_line
from prodgen_rec.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PARQUET: Final = (".parquet", ".pq")
"""How names of Parquet files end."""

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


def read_ids(path: Path, what: str, column: str) -> pa.Array:
    """Ids in a file, each once, in its order.

    Parameters
    ----------
    path
        CSV with a header, Parquet, or one id on each line.
    what
        ``user`` or ``item``; they are what the option ``--users`` or ``--items`` asks for.
    column
        Name of the column.

    Raises
    ------
    InputError
        The file is missing, unreadable or empty, or has no such column.
    """
    if not path.is_file():
        without = {"user": "all", "item": "missing"}[what]
        raise InputError(
            f"--{what}s: there is no file {path}; give a file of {what} ids, or {without}"
        )
    is_parquet = path.name.lower().endswith(PARQUET)
    ids = (_ids_in_parquet if is_parquet else _ids_in_text)(path, what, column)
    if len(ids) == 0:
        raise InputError(f"--{what}s: {path} holds no {what} ids")
    return ids.unique()


def _ids_in_parquet(path: Path, what: str, column: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from prodgen_rec.ids import as_id_array

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            ids = file.read(columns=[column])[column] if column in names else None
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"--{what}s: {path} cannot be read as Parquet: {one_line(error)}"
        ) from error
    if ids is None:
        raise InputError(_no_column(path, what, column, names))
    return as_id_array(ids, f"--{what}s: {path}")


def _ids_in_text(path: Path, what: str, column: str) -> pa.Array:
    """Ids in a CSV file with a header, or one on each line."""
    import pyarrow as pa

    from prodgen_rec.ids import infer_integers

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        delimiter = max(",;\t", key=lines[0].count) if lines else ","
        rows = [
            (number, row)
            for number, row in enumerate(csv.reader(lines, delimiter=delimiter), 1)
            if row
        ]
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"--{what}s: {path} cannot be read as CSV or lines of text: {one_line(error)}"
        ) from error
    place = 0
    if rows and column in (header := rows[0][1]):
        place, rows = header.index(column), rows[1:]
    elif rows and len(header) > 1:
        raise InputError(_no_column(path, what, column, header))
    for number, row in rows:
        if len(row) <= place or not row[place].strip():
            raise InputError(f"--{what}s: {path}: line {number} holds no {what} id; drop that line")
    return infer_integers(pa.array([row[place].strip() for _, row in rows], pa.string()))


def _no_column(path: Path, what: str, column: str, names: Sequence[str]) -> str:
    return (
        f"--{what}s: {path} has no column {column!r}; it has {', '.join(names)}; name the one with "
        f"the {what} ids: --columns {what}_id=…"
    )
