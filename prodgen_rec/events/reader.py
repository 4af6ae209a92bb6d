"""Reading a behaviour log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from os import PathLike, fspath
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prodgen_rec.columns import (
    EVENT,
    EVENT_COLUMNS,
    EVENT_WEIGHTS,
    ITEM_ID,
    OPTIONAL_EVENT_COLUMNS,
    QUANTITY,
    RAW,
    REASON,
    ROW,
    SOURCE,
    TIMESTAMP,
    USER_ID,
    how_to_map,
)
from prodgen_rec.errors import ConfigError, EventsError
from prodgen_rec.events.assembly import QUARANTINE_SCHEMA, part_of, table_of
from prodgen_rec.events.container import Events, ReadReport
from prodgen_rec.events.csv_source import CsvSource
from prodgen_rec.events.duplicates import repeated
from prodgen_rec.events.look_alikes import look_alikes
from prodgen_rec.events.reasons import Reason
from prodgen_rec.events.sources import (
    PARQUET_SUFFIXES,
    ParquetSource,
    Source,
    find_files,
    table_source,
)
from prodgen_rec.events.timestamps import microseconds
from prodgen_rec.events.weights import checked_weights

_TOLERANCE: Final = timedelta(days=1)
"""How far a clock may run ahead of ours before its timestamps count as future."""

_REMEDIES: Final[Mapping[str, str]] = {
    Reason.COLUMN_COUNT: "a row is one line, with as many values as the header has names",
    Reason.INVALID_UTF8: "save the log as UTF-8",
    Reason.UNREADABLE_TIMESTAMP: (
        "expected datetimes, dates, ISO 8601 text, or seconds, ms, µs or ns since 1970"
    ),
    Reason.FUTURE_TIMESTAMP: (
        "correct them at their source; in Python, read_events(now=…) says when the log ends"
    ),
}


def read_events(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    event_weights: Mapping[str, float] = EVENT_WEIGHTS,
    duplicates: Literal["keep", "drop"] = "keep",
    max_bad_fraction: float = 0.05,
    now: datetime | None = None,
) -> Events:
    """Read and validate a behaviour log.

    Parameters
    ----------
    source
        Path of a CSV file (``.csv``, ``.tsv``, also ``.gz`` and ``.zst``) or Parquet file, of a
        folder of them, or a glob; a pandas or polars DataFrame; an Arrow table, stream, or any
        object that exports Arrow data. `Events` are returned unchanged.
    columns
        The log's own column names by ours, such as ``{"user_id": "customer_id"}``. Columns
        that are not named keep our names; further columns of the log are ignored.
    event_weights
        Its keys are the events that may occur, spelled exactly as in the log.
    duplicates
        Exact repetitions of a row are always counted; "keep" leaves them in, because a log
        with a resolution of days repeats a second purchase of a day, "drop" takes them out.
    max_bad_fraction
        Largest share of bad rows, 0 to 1, with which the log is still believed.
    now
        Moment of reading; timestamps more than a day after it are refused. Default: the
        current time. A naive datetime is UTC.

    Returns
    -------
    Events
        Good rows, quarantine and report. Text ids of CSV files become int64 when every id of
        the column, over all files, is a canonical integer; ids of typed sources keep their
        type, whole floats and decimals becoming int64.

    Raises
    ------
    EventsError
        The source is missing, unreadable, empty, lacks a column, mixes int and str ids, or
        has too many bad rows.
    ConfigError
        A setting is out of range or names an unknown column.
    """
    if isinstance(source, Events):
        return source
    known = list(checked_weights(event_weights))
    mapping = _checked_settings(columns, duplicates, max_bad_fraction)
    latest = microseconds((now or datetime.now(UTC)) + _TOLERANCE)
    parts = [
        part_of(one, block, known, latest)
        for one in _sources(source)
        for block in one.blocks(_resolved(one, mapping))
    ]
    quarantine = pa.concat_tables([QUARANTINE_SCHEMA.empty_table(), *(p.quarantine for p in parts)])
    n_good = sum(part.n_good for part in parts)
    _refuse_bad_log(_label(source), n_good, quarantine, max_bad_fraction, known)
    table = table_of(parts, known)
    again = _repeats(table)
    events = Events(table, quarantine, _report(table, int(again.sum()), quarantine))
    return events.where(~again) if duplicates == "drop" else events


def _sources(source: Any) -> Iterator[Source]:
    if not isinstance(source, str | PathLike):
        yield table_source(source)
        return
    for file in find_files(source):
        is_parquet = file.name.lower().endswith(PARQUET_SUFFIXES)
        yield ParquetSource(file) if is_parquet else CsvSource(file)


def _label(source: Any) -> str:
    return fspath(source) if isinstance(source, str | PathLike) else type(source).__name__


def _checked_settings(
    columns: Mapping[str, str] | None, duplicates: str, max_bad_fraction: float
) -> Mapping[str, str]:
    ours = (*EVENT_COLUMNS, *OPTIONAL_EVENT_COLUMNS)
    for name in columns or {}:
        if name not in ours:
            raise ConfigError(
                f"columns= maps {name!r}, which is not one of our columns: {', '.join(ours)}; "
                "the keys are our names, the values the log's"
            )
    if duplicates not in ("keep", "drop"):
        raise ConfigError(f"duplicates is {duplicates!r}; expected 'keep' or 'drop'")
    if not 0 <= max_bad_fraction <= 1:
        raise ConfigError(f"max_bad_fraction is {max_bad_fraction}; expected 0 to 1")
    return columns or {}


def _resolved(source: Source, mapping: Mapping[str, str]) -> dict[str, str]:
    """The source's name of each of our columns that it has."""
    present = source.column_names
    wanted = {ours: mapping.get(ours, ours) for ours in (*EVENT_COLUMNS, *OPTIONAL_EVENT_COLUMNS)}
    needed = {ours for ours in wanted if ours in EVENT_COLUMNS or ours in mapping}
    missing = [ours for ours in wanted if ours in needed and wanted[ours] not in present]
    if missing:
        names = ", ".join(repr(wanted[ours]) for ours in missing)
        free = [name for name in present if name not in wanted.values()]
        close = get_close_matches(missing[0], free, n=1, cutoff=0.0) or ["name_in_the_log"]
        raise EventsError(
            f"{source.name}: missing column {names}; present: {', '.join(present[:50])}; "
            f"name the log's own columns with {how_to_map(missing[0], close[0])}"
        )
    found = {ours: theirs for ours, theirs in wanted.items() if theirs in present}
    for theirs in found.values():
        if present.count(theirs) > 1:
            raise EventsError(
                f"{source.name}: column {theirs!r} occurs {present.count(theirs)} times; "
                "rename or remove the others"
            )
    return found


def _refuse_bad_log(
    label: str, n_good: int, quarantine: pa.Table, max_bad_fraction: float, known: Sequence[str]
) -> None:
    n_bad = quarantine.num_rows
    n_rows = n_good + n_bad
    if n_rows == 0:
        raise EventsError(f"{label}: the log is empty; expected at least one event")
    if n_good > 0 and n_bad <= max_bad_fraction * n_rows:
        return
    reason, count = next(iter(_counts(quarantine).items()))
    example = quarantine.filter(pc.equal(quarantine[REASON], reason)).slice(0, 1).to_pylist()[0]
    allowed = "no good row is left" if n_good == 0 else f"max_bad_fraction is {max_bad_fraction:g}"
    remedy = _REMEDIES.get(reason, "repair the rows, or raise max_bad_fraction to leave them out")
    if reason == Reason.UNKNOWN_EVENT:
        remedy = f"known are {', '.join(known)}; name the log's own events in event_weights"
    raise EventsError(
        f"{label}: {n_bad:,} of {n_rows:,} rows are bad and {allowed}; most often: {reason} "
        f"({count:,}), such as {example[SOURCE]} row {example[ROW]}: {example[RAW]}; {remedy}"
    )


def _counts(quarantine: pa.Table) -> dict[str, int]:
    """Bad rows by reason, the most frequent first, equals by name."""
    found = pc.value_counts(quarantine[REASON]).to_pylist()
    return {
        pair["values"]: pair["counts"]
        for pair in sorted(found, key=lambda pair: (-pair["counts"], pair["values"]))
    }


def _report(table: pa.Table, n_duplicates: int, quarantine: pa.Table) -> ReadReport:
    n_good, n_bad = table.num_rows, quarantine.num_rows
    found = {name: look_alikes(table[name].chunk(0).dictionary) for name in (USER_ID, ITEM_ID)}
    alike = {name: some for name, some in found.items() if some is not None}
    return ReadReport(n_good + n_bad, n_good, n_bad, n_duplicates, _counts(quarantine), alike)


def _repeats(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Mask of the rows that repeat an earlier one in everything but the price."""
    codes = [table[name].chunk(0).indices.to_numpy() for name in (USER_ID, ITEM_ID, EVENT)]
    timestamps = table[TIMESTAMP].chunk(0).cast(pa.int64()).to_numpy()
    return repeated([*codes, timestamps, table[QUANTITY].to_numpy().view(np.int32)])
