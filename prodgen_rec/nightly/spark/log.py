"""A log that is checked by many machines, and read by users.

Files are opened by the library's own readers and not by Spark's: those would refuse or change some
types (timestamps of nanoseconds, unsigned numbers), know no row numbers, and keep no order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.storagelevel import StorageLevel

from prodgen_rec.columns import EVENT, ITEM_ID, QUANTITY, TIMESTAMP, USER_ID
from prodgen_rec.errors import EventsError, ProdgenError
from prodgen_rec.events import Events, ReadReport
from prodgen_rec.events.account import Account
from prodgen_rec.events.assembly import IdKinds, Part
from prodgen_rec.events.csv_source import CsvSource
from prodgen_rec.events.reader import (
    check_settings,
    checked_mapping,
    label_of,
    latest_plausible,
    parts_of,
)
from prodgen_rec.events.shards import events_of, hashes_of, moment_of, texts_of
from prodgen_rec.events.sources import (
    BLOCK_ROWS,
    ParquetSource,
    find_files,
    group_sizes,
    is_parquet,
    reading,
)
from prodgen_rec.events.timestamps import microseconds
from prodgen_rec.events.weights import checked_weights
from prodgen_rec.nightly.spark.answers import gave_up, packed, unpacked

POSITION: Final = "position"
"""Column of a row's place in the log: file by file, and row by row."""
_HASH: Final = "hash"
"""Column of the upper half of the hash of the user."""
_ANSWER: Final = "answer"
"""Column of the account of a piece, in a row of its own."""
_ROWS: Final = pa.schema(
    [
        (POSITION, pa.int64()),
        (_HASH, pa.int64()),
        (USER_ID, pa.string()),
        (ITEM_ID, pa.string()),
        (EVENT, pa.int32()),
        (TIMESTAMP, pa.int64()),
        (QUANTITY, pa.float32()),
        (_ANSWER, pa.binary()),
    ]
)
_TYPES: Final = (
    f"{POSITION} long, {_HASH} long, {USER_ID} string, {ITEM_ID} string, {EVENT} int, "
    f"{TIMESTAMP} long, {QUANTITY} float, {_ANSWER} binary"
)
_BATCH_ROWS: Final = 1 << 16
_MOST_ROWS: Final = 1 << 40
"""Rows of a piece that positions have room for."""


def state_of(file: Path) -> tuple[int, int]:
    """Size of a file, and the time of its last change in nanoseconds."""
    with reading(str(file)):
        found = file.stat()
    return found.st_size, found.st_mtime_ns


class Piece(NamedTuple):
    """What one task reads.

    Attributes
    ----------
    file
        Absolute path.
    groups
        Row groups of a Parquet file; all of a CSV file where None.
    state
        Size and time of the last change, so that a task that is done again reads the same.
    """

    file: Path
    groups: range | None
    state: tuple[int, int]

    def standing(self) -> ParquetSource | CsvSource:
        """What reads it, if it is still what it was.

        Raises
        ------
        EventsError
            It was changed.
        """
        if state_of(self.file) != self.state:
            raise EventsError(
                f"{self.file} was changed while it was being read; run again when its writer is "
                "done"
            )
        if is_parquet(self.file):
            return ParquetSource(self.file, self.groups)
        return CsvSource(self.file)


@dataclass
class PieceAccount:
    """What is known of a piece, or of many one after the other."""

    account: Account
    kinds: dict[str, IdKinds]
    newest: int = 0

    @classmethod
    def empty(cls, label: str) -> PieceAccount:
        """Of nothing yet."""
        return cls(Account(label), {name: IdKinds(name) for name in (USER_ID, ITEM_ID)})

    def add(self, part: Part) -> None:
        """Count a checked block."""
        self.account.add(part)
        for kind in self.kinds.values():
            kind.add(part)
        self.newest = max(self.newest, int(part.columns[TIMESTAMP].max(initial=self.newest)))

    def merge(self, other: PieceAccount) -> None:
        """Add what is known of a later piece."""
        self.account.merge(other.account)
        for name, kind in self.kinds.items():
            kind.merge(other.kinds[name])
        self.newest = max(self.newest, other.newest)


@dataclass(frozen=True, eq=False)
class SparkLog:
    """A checked log on the disks of a cluster; see `ShardedEvents`.

    Attributes
    ----------
    report
        Counts of the read.
    newest
        Time of the newest event, UTC.
    rows
        Good rows.
    to_events
        Makes events of rows that a task holds, in any order; goes to the workers.
    """

    report: ReadReport
    newest: datetime
    rows: DataFrame
    to_events: Callable[[pa.Table], Events]

    def n_users(self, since: datetime | None = None) -> int:
        """Count the users who have an event at that time or after it; all where None."""
        rows = self.rows
        if since is not None:
            rows = rows.where(f.col(TIMESTAMP) >= microseconds(since))
        with gave_up():
            return rows.select(USER_ID).distinct().count()

    def share(self, index: int, n_shares: int) -> Events:
        """Good rows of the users of one of n equal ranges of the hashes; may be none."""
        with gave_up():
            return self.to_events(self.rows.where(share_of(n_shares) == index).toArrow())


def share_of(n_shares: int) -> Column:
    """The share that the user of a row lies in, as `prodgen_rec.hashing.share_of` has it."""
    return f.shiftrightunsigned(f.col(_HASH) * f.lit(n_shares), 32).cast("int")


@contextmanager
def checked_log(
    session: SparkSession,
    source: str,
    *,
    columns: Mapping[str, str],
    event_weights: Mapping[str, float],
    max_bad_fraction: float,
) -> Iterator[SparkLog]:
    """Check a log by the machines of a cluster; its good rows are there until the block ends.

    Parameters
    ----------
    session
        Of Spark.
    source, columns, event_weights, max_bad_fraction
        See `read_events`; files are at paths that all machines see.

    Raises
    ------
    EventsError, ConfigError
        As in `read_events`.
    OSError
        Spark gave up.
    """
    known = list(checked_weights(event_weights))
    check_settings("keep", max_bad_fraction)
    pieces = pieces_of(source)
    check = _checker(pieces, checked_mapping(columns), known, latest_plausible())
    checked = session.range(len(pieces), numPartitions=len(pieces)).mapInArrow(check, _TYPES)
    checked.persist(StorageLevel.DISK_ONLY)
    try:
        with gave_up():
            whole = _whole(checked, label_of(source))
            whole.account.refuse_bad_log(max_bad_fraction, known)
            kinds = {name: kind.agreed() for name, kind in whole.kinds.items()}
            rows = checked.where(f.col(_ANSWER).isNull()).drop(_ANSWER)
            report = whole.account.report(_n_repeated(rows, whole.account.n_good))
        yield SparkLog(report, moment_of(whole.newest), rows, _to_events(kinds, known, report))
    finally:
        checked.unpersist()


def pieces_of(source: str) -> list[Piece]:
    """Pieces of a log, in its order: files, and row groups of about a block's length."""
    pieces = []
    for file in map(Path.absolute, find_files(source)):
        state = state_of(file)
        if not is_parquet(file):
            pieces.append(Piece(file, None, state))
            continue
        with reading(str(file)):
            sizes = group_sizes(pq.read_metadata(file))
        pieces += [Piece(file, groups, state) for groups in _grouped(sizes)]
    return pieces


def _grouped(sizes: Sequence[int]) -> list[range]:
    """Neighboring row groups with at least a block's rows, the last ones with what is left."""
    ends, n_rows = [], 0
    for i, size in enumerate(sizes):
        n_rows += size
        if n_rows >= BLOCK_ROWS:
            ends.append(i + 1)
            n_rows = 0
    if n_rows or not ends:
        ends.append(len(sizes))
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _checker(
    pieces: Sequence[Piece], mapping: Mapping[str, str], known: Sequence[str], latest: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What a task does: good rows of its pieces, and the account of each."""

    def check(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch["id"].to_pylist():
                yield from _checked(pieces[index], index * _MOST_ROWS, mapping, known, latest)

    return check


def _checked(
    piece: Piece, first: int, mapping: Mapping[str, str], known: Sequence[str], latest: int
) -> Iterator[pa.RecordBatch]:
    """Good rows of a piece, whose positions begin at the first one, and then its account."""
    found = PieceAccount.empty(str(piece.file))
    answer: PieceAccount | ProdgenError = found
    position = first
    try:
        for part in parts_of(piece.standing(), mapping, known, latest):
            found.add(part)
            yield from _rows(part, position)
            position += part.n_good
    except ProdgenError as error:
        answer = error
    row = {POSITION: first, _ANSWER: packed(answer)}
    yield pa.RecordBatch.from_pylist([row], schema=_ROWS)


def _rows(part: Part, first: int) -> Iterator[pa.RecordBatch]:
    """Good rows of a block, some at a time."""
    n = part.n_good
    columns = [
        pa.array(np.arange(first, first + n)),
        pa.array((hashes_of(part) >> np.uint64(32)).astype(np.int64)),
        *texts_of(part, slice(None)),
        pa.nulls(n, pa.binary()),
    ]
    rows = pa.record_batch(columns, schema=_ROWS)
    for start in range(0, n, _BATCH_ROWS):
        yield rows.slice(start, _BATCH_ROWS)


def _whole(checked: DataFrame, label: str) -> PieceAccount:
    """The account of all pieces, in the order of the log."""
    answers = checked.where(f.col(_ANSWER).isNotNull()).select(POSITION, _ANSWER).collect()
    whole = PieceAccount.empty(label)
    for row in sorted(answers, key=lambda row: row[POSITION]):
        whole.merge(unpacked(bytes(row[_ANSWER]), PieceAccount))
    return whole


def _n_repeated(rows: DataFrame, n_good: int) -> int:
    """Count the rows that repeat an earlier one, and see that no row is missing."""
    counted = rows.groupBy(USER_ID, ITEM_ID, EVENT, TIMESTAMP, QUANTITY).count()
    n_rows, n_distinct = counted.agg(f.sum("count"), f.count("*")).collect()[0]
    if (n_rows or 0) != n_good:
        raise EventsError(
            f"{n_rows:,} good rows were kept of {n_good:,} that were read; the log may have "
            "changed: run again when its writer is done"
        )
    return n_good - int(n_distinct)


def _to_events(
    kinds: Mapping[str, pa.DataType], known: Sequence[str], report: ReadReport
) -> Callable[[pa.Table], Events]:
    """Events of rows in any order: as the log has them."""

    def to_events(rows: pa.Table) -> Events:
        return events_of(rows.sort_by(POSITION), kinds, known, report)

    return to_events
