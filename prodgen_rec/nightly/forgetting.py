"""Removing a user from every kept run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from prodgen_rec.columns import USER_ID
from prodgen_rec.errors import DeliveryCorruptError, DeliveryError
from prodgen_rec.ids import as_id_array
from prodgen_rec.nightly import parts
from prodgen_rec.nightly.documents import (
    FORGOTTEN,
    Manifest,
    PartRecord,
    added,
    built,
    part_name,
    record_name,
)
from prodgen_rec.nightly.folders import RunFolder, adopt, recover, run_folders
from prodgen_rec.nightly.locks import held
from prodgen_rec.nightly.stores import Store, store_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Forgotten:
    """What was removed of a user, and that nothing is left.

    Attributes
    ----------
    user_id
        As it was asked for.
    rows
        Number of rows removed from each complete run that held the user, by name.
    n_parts_read
        Parts that were read again afterwards, all that there are; none holds the user.
    """

    user_id: Any
    rows: dict[str, int]
    n_parts_read: int


def forget_user(place: Path | str, user_id: Any) -> Forgotten:
    """Remove a user's rows from every kept run, and prove it by reading everything again.

    Parts with rows of the user are written anew under another name, then a manifest that names
    them, then ``CURRENT`` if it names the run; only then do the old manifest and the old parts
    go. Readers see the run as it was or as it will be, whole. Finished parts of an unfinished
    run that hold the user are removed, and made again when that run goes on. Killed half-way,
    it is called again. In the counts, the user moves from ``n_out`` to `forgotten`.

    What is removed are files of this target: not the events that the next run reads, not copies,
    and not old versions that an object store keeps by itself.

    Parameters
    ----------
    place
        Folder, or any URL that fsspec understands.
    user_id
        Raw id, int or str.

    Raises
    ------
    LockHeldError
        A run is being written.
    DeliveryCorruptError
        Damaged parts cannot be searched; all others were. The message names them.
    OSError
        For instance a full disk; call it again.

    Examples
    --------
    >>> import tempfile
    >>> forget_user(tempfile.mkdtemp(), "U-17")
    Forgotten(user_id='U-17', rows={}, n_parts_read=0)
    """
    as_id_array([user_id], "user id")
    store = store_of(place)
    with held(store):
        recover(store)
        rows: dict[str, int] = {}
        damaged: list[str] = []
        for folder in run_folders(store):
            try:
                removed = _forget_in(folder, user_id)
            except DeliveryError as error:
                damaged.append(str(error))
                continue
            if removed:
                rows[folder.run_id] = removed
        if damaged:
            raise DeliveryCorruptError(
                f"user {user_id!r} was removed from {sorted(rows)}, but these cannot be searched; "
                f"restore them and call this again, or remove their runs: {'; '.join(damaged)}"
            )
        return Forgotten(user_id, rows, _proven(store, user_id))


def _forget_in(folder: RunFolder, user_id: Any) -> int:
    """Remove a user from a run; the number of rows that a complete one has lost."""
    manifest = folder.manifest()
    if manifest is None:
        _forget_in_unfinished(folder, user_id)
        return 0
    records = [_without(folder, manifest, index, user_id) for index in range(manifest.n_parts)]
    n_rows = manifest.rows - sum(record.rows for record in records)
    if n_rows:
        n_users = sum(
            old.counts.n_out - new.counts.n_out
            for old, new in zip(manifest.parts, records, strict=True)
        )
        values = dict(manifest) | {
            "revision": manifest.revision + 1,
            "parts": tuple(records),
            "counts": manifest.counts.without(n_users),
        }
        rewritten = built(Manifest, **values)
        folder.write(rewritten.file_name, rewritten.text().encode())
        adopt(folder, rewritten)
    return n_rows


def _without(folder: RunFolder, manifest: Manifest, index: int, user_id: Any) -> PartRecord:
    """The record of a part without a user, which is written if the part holds it."""
    record = manifest.parts[index]
    if not parts.may_hold(record, user_id):
        return record
    table = _table(folder, record)
    kept = table.filter(pc.invert(parts.is_user(table, user_id)))
    if len(kept) == len(table):
        return record
    name = part_name(index, manifest.revision + 1)
    kept = parts.normalized(kept, name)
    content = parts.encode(kept)
    folder.write(name, content)
    refused = added(record.counts.refused, {FORGOTTEN: 1})
    return parts.record_of(name, content, kept, record.counts.n_in, refused)


def _forget_in_unfinished(folder: RunFolder, user_id: Any) -> None:
    plan = folder.plan()
    for index, record in folder.finished(plan.n_parts if plan else 0).items():
        if parts.may_hold(record, user_id) and _holds(_table(folder, record), user_id):
            folder.remove([record_name(index), record.name])
            logger.warning("%s held the user and is made again", folder.where(record.name))


def _table(folder: RunFolder, record: PartRecord) -> pa.Table:
    return parts.decode(folder.read_part(record), folder.where(record.name))


def _holds(table: pa.Table, user_id: Any) -> bool:
    return bool(pc.any(parts.is_user(table, user_id), min_count=0).as_py())


def _proven(store: Store, user_id: Any) -> int:
    """Number of parts that were read again, none of which holds the user."""
    n_read = 0
    for folder in run_folders(store):
        for name in _part_files(folder):
            content = folder.read(name)
            where = folder.where(name)
            table = parts.decode(content or b"", where, [USER_ID])
            if _holds(table, user_id):
                raise DeliveryCorruptError(
                    f"{where} still holds user {user_id!r}; something else writes there: end it, "
                    "and call this again"
                )
            n_read += 1
    return n_read


def _part_files(folder: RunFolder) -> Iterator[str]:
    return (name for name in folder.names() if name.endswith(".parquet"))
