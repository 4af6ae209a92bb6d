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

from prodgen_rec.columns import (
    EVENT,
    EVENT_COLUMNS,
    EVENT_WEIGHTS,
    ITEM_ID,
    OPTIONAL_EVENT_COLUMNS,
    QUANTITY,
    TIMESTAMP,
    USER_ID,
    how_to_map,
)
from prodgen_rec.errors import ConfigError, EventsError
from prodgen_rec.events.account import Account
from prodgen_rec.events.assembly import Part, part_of, table_of
from prodgen_rec.events.container import Events
from prodgen_rec.events.csv_source import CsvSource
from prodgen_rec.events.duplicates import repeated
from prodgen_rec.events.look_alikes import look_alikes
from prodgen_rec.events.sources import (
    ParquetSource,
    Source,
    find_files,
    is_parquet,
    table_source,
)
from prodgen_rec.events.timestamps import microseconds
from prodgen_rec.events.weights import checked_weights

_TOLERANCE: Final = timedelta(days=1)
"""How far a clock may run ahead of ours before its timestamps count as future."""


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
    check_settings(duplicates, max_bad_fraction)
    parts = list(checked_parts(source, columns, known, now))
    account = Account(label_of(source))
    for part in parts:
        account.add(part)
    account.refuse_bad_log(max_bad_fraction, known)
    quarantine = pa.concat_tables([part.quarantine for part in parts])
    table = table_of(parts, known)
    again = repeats(table)
    alike = {name: look_alikes(table[name].chunk(0).dictionary) for name in (USER_ID, ITEM_ID)}
    report = account.report(int(again.sum()), alike)
    events = Events(table, quarantine, report)
    return events.where(~again) if duplicates == "drop" else events


def checked_parts(
    source: Any,
    columns: Mapping[str, str] | None,
    known_events: Sequence[str],
    now: datetime | None,
) -> Iterator[Part]:
    """The blocks of a log one after the other, checked; see `read_events`."""
    mapping = checked_mapping(columns)
    latest = latest_plausible(now)
    for one in _sources(source):
        yield from parts_of(one, mapping, known_events, latest)


def parts_of(
    source: Source, mapping: Mapping[str, str], known_events: Sequence[str], latest: int
) -> Iterator[Part]:
    """The blocks of one source, checked.

    Parameters
    ----------
    source
        A file or table.
    mapping
        What `checked_mapping` returned.
    known_events
        Names of events that may occur.
    latest
        Last plausible timestamp, microseconds since 1970.

    Raises
    ------
    EventsError
        The source cannot be read, or lacks a column.
    """
    for block in source.blocks(_resolved(source, mapping)):
        yield part_of(source, block, known_events, latest)


def latest_plausible(now: datetime | None = None) -> int:
    """Microseconds since 1970 after which a timestamp is in the future, read at a moment."""
    return microseconds((now or datetime.now(UTC)) + _TOLERANCE)


def _sources(source: Any) -> Iterator[Source]:
    if not isinstance(source, str | PathLike):
        yield table_source(source)
        return
    for file in find_files(source):
        yield ParquetSource(file) if is_parquet(file) else CsvSource(file)


def label_of(source: Any) -> str:
    """What errors call a log."""
    return fspath(source) if isinstance(source, str | PathLike) else type(source).__name__


def header_of(source: str | PathLike[str]) -> list[str]:
    """Column names of a file or of the first of several; none where it cannot be read."""
    try:
        first = find_files(source)[0]
        return (ParquetSource(first) if is_parquet(first) else CsvSource(first)).column_names
    except EventsError:
        return []  # whoever reads it will say what is wrong with it


def checked_mapping(columns: Mapping[str, str] | None) -> Mapping[str, str]:
    """A log's own names of our columns, refused where a key is none of ours.

    Raises
    ------
    ConfigError
        Names the key.
    """
    ours = (*EVENT_COLUMNS, *OPTIONAL_EVENT_COLUMNS)
    for name in columns or {}:
        if name not in ours:
            raise ConfigError(
                f"columns= maps {name!r}, which is not one of our columns: {', '.join(ours)}; "
                "the keys are our names, the values the log's"
            )
    return columns or {}


def check_settings(duplicates: str, max_bad_fraction: float) -> None:
    """Refuse what is no setting of a read.

    Raises
    ------
    ConfigError
        One is out of range.
    """
    if duplicates not in ("keep", "drop"):
        raise ConfigError(f"duplicates is {duplicates!r}; expected 'keep' or 'drop'")
    if not 0 <= max_bad_fraction <= 1:
        raise ConfigError(f"max_bad_fraction is {max_bad_fraction}; expected 0 to 1")


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


def repeats(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Mask of the rows that repeat an earlier one in everything but the price."""
    codes = [table[name].chunk(0).indices.to_numpy() for name in (USER_ID, ITEM_ID, EVENT)]
    timestamps = table[TIMESTAMP].chunk(0).cast(pa.int64()).to_numpy()
    return repeated([*codes, timestamps, table[QUANTITY].to_numpy().view(np.int32)])
