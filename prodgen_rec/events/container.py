"""The containers that a read of a behaviour log returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prodgen_rec.columns import TIMESTAMP
from prodgen_rec.events.look_alikes import LookAlikes
from prodgen_rec.ids import IdMap


@dataclass(frozen=True)
class ReadReport:
    """Counts of one read; ``n_rows == n_good + n_bad`` always.

    Parameters
    ----------
    n_rows
        Rows read.
    n_good
        Rows that passed every check, exact duplicates among them.
    n_bad
        Rows in quarantine.
    n_duplicates
        Good rows that repeat an earlier good row in user, item, event, timestamp and quantity.
    reasons
        Bad rows by reason, the most frequent first.
    look_alikes
        Columns with good ids that look like another one and are not the same, so that one user or
        item may count as two. Nothing is changed in them.
    """

    n_rows: int
    n_good: int
    n_bad: int
    n_duplicates: int
    reasons: Mapping[str, int]
    look_alikes: Mapping[str, LookAlikes] = field(default_factory=dict)

    def __str__(self) -> str:
        alike = "".join(f"; of {name}, {found}" for name, found in self.look_alikes.items())
        bad = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        return (
            f"{self.n_rows:,} rows read: {self.n_good:,} good "
            f"({self.n_duplicates:,} exact duplicates), "
            f"{self.n_bad:,} bad{f' ({bad})' if bad else ''}{alike}"
        )


@dataclass(frozen=True, eq=False)
class Events:
    """Good rows of a behaviour log, with the account of what was refused.

    Parameters
    ----------
    table
        Good rows in input order: ``user_id`` and ``item_id`` (dictionary of int32 to int64 or
        string, the dictionary sorted), ``event`` (dictionary of int32 to string, holding every
        event known to the read), ``timestamp`` (timestamp[us, UTC]), ``quantity`` (float32, at
        least 0) and, where the log has it, ``price`` (float32, null where unreadable).
    quarantine
        Refused rows: ``source``, ``row``, ``reason``, ``raw``.
    report
        Counts of the read. A part of a log, such as one side of a split, keeps the report and
        the quarantine of the read that it came from.
    """

    table: pa.Table
    quarantine: pa.Table
    report: ReadReport

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        if len(self) == 0:
            return f"Events(0 rows; {self.report})"
        span = pc.min_max(self.table[TIMESTAMP])
        # As datetime64, because Arrow would need a time zone database to print UTC.
        oldest, newest = (np.datetime64(span[key].value, "us") for key in ("min", "max"))
        period = f"{oldest.astype('M8[D]')} to {newest.astype('M8[D]')}"
        return f"Events({len(self):,} rows, {period}; {self.report})"

    def to_pandas(self) -> pd.DataFrame:
        """Good rows as a DataFrame with plain int64 or str ids and UTC timestamps."""
        plain = [
            column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for column in self.table.columns
        ]
        frame: pd.DataFrame = pa.table(plain, names=self.table.column_names).to_pandas()
        return frame

    def where(self, keep: npt.NDArray[np.bool_]) -> Events:
        """Rows for which a mask, shape (n,), is true; same order, report and quarantine."""
        # Array by array: filtering a table down to nothing would lose its dictionaries.
        mask = pa.array(keep)
        kept = [column.combine_chunks().filter(mask) for column in self.table.columns]
        table = pa.table(kept, names=self.table.column_names)
        return Events(table, self.quarantine, self.report)

    def codes(self, column: str) -> tuple[pa.Array, npt.NDArray[np.int32]]:
        """Dictionary of a column, and each row's index into it, int32, shape (n,)."""
        encoded = self.table[column].combine_chunks()
        return encoded.dictionary, np.asarray(encoded.indices.to_numpy(zero_copy_only=False))

    def indexed(self, column: str) -> tuple[IdMap, npt.NDArray[np.int32]]:
        """Ids of a column that occur in these rows, sorted; int32 (n,) index of each row's."""
        dictionary, codes = self.codes(column)
        used, compact = compacted(codes, len(dictionary))
        return IdMap(dictionary.take(pa.array(used))), compact

    def numbers(self, column: str) -> npt.NDArray[Any]:
        """Column without nulls as numpy; timestamps as int64 microseconds since 1970, UTC."""
        values = self.table[column]
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        return np.asarray(values.to_numpy())


def compacted(
    codes: npt.NDArray[np.integer[Any]], n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Which of the codes 0 … n-1 occur, ascending, and each code's place among those."""
    used = np.zeros(n, np.bool_)
    used[codes] = True
    return np.flatnonzero(used), (np.cumsum(used, dtype=np.int32) - np.int32(1))[codes]
