"""A log by users, on disk: read once, then a share of its users at a time.

A log of a hundred million users does not fit into memory, and the histories of some of its users
lie all over it. So it is checked block by block, and the good rows are put into files by a hash of
their user. Memory is that of one block, whatever the length of the log.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
from filelock import FileLock, Timeout

from prodgen_rec.columns import EVENT, EVENT_WEIGHTS, ITEM_ID, QUANTITY, TIMESTAMP, USER_ID
from prodgen_rec.events.account import Account
from prodgen_rec.events.assembly import QUARANTINE_SCHEMA, IdKinds, Part, table_of
from prodgen_rec.events.container import Events, ReadReport
from prodgen_rec.events.duplicates import repeated
from prodgen_rec.events.reader import check_settings, checked_parts, label_of
from prodgen_rec.events.timestamps import microseconds
from prodgen_rec.events.weights import checked_weights
from prodgen_rec.hashing import Hashes, hash_ids, share_of

N_FILES: Final = 64
"""Files that a log is put into; bounds the memory of a share, and the files that are open."""

_PREFIX: Final = "prodgen-rec-events-"
_LOCK: Final = ".lock"
_HASH: Final = "hash"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA: Final = pa.schema(
    [
        (_HASH, pa.uint64()),
        (USER_ID, pa.string()),
        (ITEM_ID, pa.string()),
        (EVENT, pa.int32()),
        (TIMESTAMP, pa.int64()),
        (QUANTITY, pa.float32()),
    ]
)


def user_hashes(user_ids: Any) -> Hashes:
    """The hash by which users are shared out, uint64 (n,); 17 and ``"17"`` are the same user."""
    return hash_ids(user_ids, seed=0)


@dataclass(frozen=True, eq=False)
class ShardedEvents:
    """A checked log, ready to be read a share of its users at a time; `sharded` makes it.

    Attributes
    ----------
    report
        Counts of the read.
    newest
        Time of the newest event, UTC.
    """

    report: ReadReport
    newest: datetime
    _folder: Path
    _kinds: Mapping[str, pa.DataType]
    _known: Sequence[str]

    def n_users(self, since: datetime | None = None) -> int:
        """Count the users who have an event at that time or after it; all where None."""
        oldest = np.iinfo(np.int64).min if since is None else microseconds(since)
        n = 0
        for rows in _files(self._folder, range(N_FILES)):
            recent = pc.greater_equal(rows[TIMESTAMP], pa.scalar(oldest, pa.int64()))
            n += pc.count_distinct(rows[USER_ID].filter(recent)).as_py()
        return n

    def share(self, index: int, n_shares: int) -> Events:
        """Good rows of the users of one of n equal ranges of the hashes; may be none.

        Rows stand in the order of the log. Exact repetitions are kept.
        """
        first = index * N_FILES // n_shares
        last = -(-(index + 1) * N_FILES // n_shares)
        rows = pa.concat_tables(_files(self._folder, range(first, last)))
        mine = share_of(rows[_HASH].to_numpy(), n_shares) == index
        return events_of(rows.filter(pa.array(mine)), self._kinds, self._known, self.report)


@contextmanager
def sharded(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    event_weights: Mapping[str, float] = EVENT_WEIGHTS,
    max_bad_fraction: float = 0.05,
    now: datetime | None = None,
    folder: Path | str | None = None,
) -> Iterator[ShardedEvents]:
    """Check a log and put it into files by user, which are there until the block ends.

    Parameters
    ----------
    source, columns, event_weights, max_bad_fraction, now
        See `read_events`.
    folder
        Where the files are kept, about 50 bytes a row before compression; the system's place for
        temporary files where None.

    Raises
    ------
    EventsError, ConfigError
        As in `read_events`.
    OSError
        For instance a full disk.
    """
    known = list(checked_weights(event_weights))
    check_settings("keep", max_bad_fraction)
    account = Account(label_of(source))
    kinds = {name: IdKinds(name) for name in (USER_ID, ITEM_ID)}
    newest = 0
    with _place(Path(folder or tempfile.gettempdir())) as place:
        with _explained(place.parent), ExitStack() as stack:
            files = [stack.enter_context(_writer(place, i)) for i in range(N_FILES)]
            for part in checked_parts(source, columns, known, now):
                account.add(part)
                for kind in kinds.values():
                    kind.add(part)
                newest = max(newest, int(part.columns[TIMESTAMP].max(initial=newest)))
                _write(part, files)
        account.refuse_bad_log(max_bad_fraction, known)
        agreed = {name: kind.agreed() for name, kind in kinds.items()}
        n_repeated = sum(_n_repeated(rows) for rows in _files(place, range(N_FILES)))
        yield ShardedEvents(account.report(n_repeated), moment_of(newest), place, agreed, known)


def moment_of(timestamp: int) -> datetime:
    """UTC time of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=timestamp)


@contextmanager
def _place(root: Path) -> Iterator[Path]:
    """A folder until the block ends; those of killed processes are removed, their locks are free.

    It gets its name when it is locked, so that no other process takes it for one that was left.
    """
    for left in root.glob(f"{_PREFIX}*"):
        with suppress(OSError, Timeout), FileLock(left / _LOCK, blocking=False):
            shutil.rmtree(left)
    with _explained(root):
        made = Path(tempfile.mkdtemp(dir=root))
        place = made.with_name(f"{_PREFIX}{made.name}")
        lock = FileLock(made / _LOCK, thread_local=False)
        lock.acquire()
        made.rename(place)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        lock.release()


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """Say what could not be written, which Arrow does not."""
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        reason = (
            f"{os.strerror(number)}; the log is kept there by users until the run ends: make room, "
            "or name another folder as scratch"
        )
        raise OSError(number, reason, str(root)) from error


def hashes_of(part: Part) -> Hashes:
    """Hash of the user of each row of a block."""
    users = part.columns[USER_ID]
    return np.asarray(user_hashes(users.dictionary)[users.indices.to_numpy()])


def texts_of(part: Part, order: npt.NDArray[np.int64] | slice) -> list[pa.Array]:
    """Columns of a block as they are put away, in some order of its rows: ids as text."""
    columns = []
    for field in list(_SCHEMA)[1:]:
        column = part.columns[field.name]
        if isinstance(column, pa.DictionaryArray):
            texts = column.dictionary.cast(pa.string())
            columns.append(texts.take(pa.array(column.indices.to_numpy()[order])))
        else:
            columns.append(pa.array(column[order], field.type))
    return columns


def events_of(
    rows: pa.Table,
    kinds: Mapping[str, pa.DataType],
    known_events: Sequence[str],
    report: ReadReport,
) -> Events:
    """Events from rows that were put away.

    Parameters
    ----------
    rows
        Columns of `texts_of`, by their names.
    kinds
        Types of the ids of the whole log.
    known_events
        Names that the codes of events stand for.
    report
        Of the read of the whole log.
    """
    ids = {
        name: rows[name].combine_chunks().dictionary_encode().cast(pa.dictionary(pa.int32(), kind))
        for name, kind in kinds.items()
    }
    others = {name: rows[name].to_numpy() for name in (EVENT, TIMESTAMP, QUANTITY)}
    part = Part("", True, ids | others, QUARANTINE_SCHEMA.empty_table())
    return Events(table_of([part], known_events), part.quarantine, report)


def _write(part: Part, files: Sequence[pa.RecordBatchFileWriter]) -> None:
    """Put the rows of a block into the files of their users."""
    hashes = hashes_of(part)
    place = share_of(hashes, N_FILES)
    order = np.argsort(place, kind="stable")
    rows = pa.record_batch([pa.array(hashes[order]), *texts_of(part, order)], schema=_SCHEMA)
    edges = np.searchsorted(place[order], np.arange(N_FILES + 1))
    for file, start, end in zip(files, edges[:-1], edges[1:], strict=True):
        if end > start:
            file.write_batch(rows.slice(start, end - start))


def _writer(folder: Path, index: int) -> pa.RecordBatchFileWriter:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    return pa.ipc.new_file(str(_path(folder, index)), _SCHEMA, options=options)


def _files(folder: Path, indices: Iterable[int]) -> Iterator[pa.Table]:
    """Rows of some of the files, one file after the other."""
    for index in indices:
        with pa.ipc.open_file(str(_path(folder, index))) as file:
            yield file.read_all()


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index:02d}.arrow"


def _n_repeated(rows: pa.Table) -> int:
    """Count the rows that repeat an earlier one; all repetitions of a row are in one file."""
    codes = [
        rows[name].combine_chunks().dictionary_encode().indices.to_numpy()
        for name in (USER_ID, ITEM_ID)
    ]
    others = [rows[EVENT].to_numpy(), rows[TIMESTAMP].to_numpy()]
    return int(repeated([*codes, *others, rows[QUANTITY].to_numpy().view(np.int32)]).sum())
