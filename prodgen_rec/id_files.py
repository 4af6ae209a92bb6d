"""Lists of ids in small files: CSV with a header, Parquet, or one id on each line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from prodgen_rec.errors import InputError
from prodgen_rec.ids import as_id_array, infer_integers

_PARQUET: Final = (".parquet", ".pq")


@dataclass(frozen=True)
class IdFile:
    """A file of ids.

    Parameters
    ----------
    path
        CSV with a header, Parquet, or one id on each line.
    option
        The option or setting that named it; errors begin with it.
    what
        Whose ids are asked for, ``user`` or ``item``.
    otherwise
        What may be given in place of a file, after a comma; for errors.

    Raises
    ------
    InputError
        There is no such file.
    """

    path: Path
    option: str
    what: str
    otherwise: str = ""

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise InputError(
                f"{self.option}: there is no file {self.path}; give a file of {self.what} ids"
                f"{self.otherwise}"
            )

    def has(self, columns: Sequence[str]) -> bool:
        """Whether one of some columns is there; a file of one id on each line has none.

        Raises
        ------
        InputError
            The file cannot be read.
        """
        return any(name in self._names for name in columns)

    def ids(self, columns: Sequence[str], what: str | None = None) -> pa.Array:
        """Ids, row by row; text that is integers throughout is integers.

        Parameters
        ----------
        columns
            Names of their column; the first one that is there counts.
        what
            Whose ids these are; by default those that are asked for.

        Raises
        ------
        InputError
            The file is unreadable or empty, or has no such column, or a row holds no id.
        """
        what = what or self.what
        name = next((name for name in columns if name in self._names), None)
        if name is None and (self._is_parquet or len(self._names) > 1):
            raise InputError(
                f"{self._place} has no column {columns[0]!r}; it has {', '.join(self._names)}; "
                f"name the one with the {what} ids: --columns {what}_id=…"
            )
        ids = self._of_parquet(name) if self._is_parquet and name else self._of_text(name, what)
        if len(ids) == 0:
            raise InputError(f"{self._place} holds no {what} ids")
        return ids

    @property
    def _place(self) -> str:
        return f"{self.option}: {self.path}"

    @property
    def _is_parquet(self) -> bool:
        return self.path.name.lower().endswith(_PARQUET)

    @cached_property
    def _names(self) -> list[str]:
        """Names of all columns; the first line where there are no names."""
        if not self._is_parquet:
            return self._rows[0][1] if self._rows else []
        with self._reading("Parquet"), pq.ParquetFile(self.path) as file:
            return list(file.schema_arrow.names)

    @cached_property
    def _rows(self) -> list[tuple[int, list[str]]]:
        """Rows of text with their numbers, the header among them."""
        with self._reading("CSV or lines of text"):
            lines = self.path.read_text(encoding="utf-8-sig").splitlines()
            delimiter = max(",;\t", key=lines[0].count) if lines else ","
            numbered = enumerate(csv.reader(lines, delimiter=delimiter), 1)
            return [(number, row) for number, row in numbered if row]

    def _of_parquet(self, name: str) -> pa.Array:
        with (
            self._reading("Parquet"),
            pq.ParquetFile(self.path, page_checksum_verification=True) as file,
        ):
            ids = file.read(columns=[name])[name]
        return as_id_array(ids, self._place)

    def _of_text(self, name: str | None, what: str) -> pa.Array:
        place = 0 if name is None else self._names.index(name)
        rows = self._rows if name is None else self._rows[1:]
        for number, row in rows:
            if len(row) <= place or not row[place].strip():
                raise InputError(f"{self._place}: line {number} holds no {what} id; drop that line")
        return infer_integers(pa.array([row[place].strip() for _, row in rows], pa.string()))

    @contextmanager
    def _reading(self, as_what: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, ValueError, csv.Error, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self._place} cannot be read as {as_what}: {reason}") from error
