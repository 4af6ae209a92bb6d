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
from prodgen_rec.nightly.partition import part_of_user
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

    The part that holds the user is written anew under another name, then a manifest that names
    it, then ``CURRENT`` if it names the run; only then do the old manifest and the old part
    go. Readers see the run as it was or as it will be, whole. A finished part of an unfinished
    run that holds the user is removed, and made again when that run goes on. Killed half-way,
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
    index = part_of_user(user_id, manifest.n_parts)
    table = _table(folder, manifest.parts[index])
    kept = table.filter(pc.invert(parts.is_user(table, user_id)))
    if len(kept) < len(table):
        _rewrite(folder, manifest, index, kept)
    return len(table) - len(kept)


def _rewrite(folder: RunFolder, manifest: Manifest, index: int, kept: pa.Table) -> None:
    """Put the rows that are left in the place of a part that has lost one user."""
    before, revision = manifest.parts[index], manifest.revision + 1
    name = part_name(index, revision)
    kept = parts.normalized(kept, name)
    content = parts.encode(kept)
    refused = added(before.counts.refused, {FORGOTTEN: 1})
    record = parts.record_of(name, content, kept, before.counts.n_in, refused, before.figures)
    records = (*manifest.parts[:index], record, *manifest.parts[index + 1 :])
    values = {"revision": revision, "parts": records, "counts": manifest.counts.without(1)}
    rewritten = built(Manifest, **(dict(manifest) | values))
    folder.write(name, content)
    folder.write(rewritten.file_name, rewritten.text().encode())
    adopt(folder, rewritten)


def _forget_in_unfinished(folder: RunFolder, user_id: Any) -> None:
    plan = folder.plan()
    if plan is None:
        return
    index = part_of_user(user_id, plan.n_parts)
    # Files without a valid record go, too: workers may have left some that hold the user.
    record = folder.finished(plan.n_parts).get(index)
    if record and _holds(_table(folder, record), user_id):
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
