"""What readers see: the published run, whole and verified."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from prodgen_rec.columns import USER_ID
from prodgen_rec.errors import DeliveryCorruptError, DeliveryError, InputError
from prodgen_rec.nightly import parts
from prodgen_rec.nightly.documents import CURRENT, Manifest, manifest_name
from prodgen_rec.nightly.folders import RunFolder, published
from prodgen_rec.nightly.partition import part_of_user
from prodgen_rec.nightly.stores import Store, store_of

_PAUSES = (0.0, 0.01, 0.05, 0.2)
"""Seconds between looks at what may just be changing."""


@dataclass(frozen=True)
class Delivery:
    """A complete run, to be read part by part.

    Every part is read whole, compared with its SHA-256, and decoded from those same bytes with
    its page checksums verified. The parts of two runs never meet in one delivery.

    Attributes
    ----------
    manifest
        What the run is, verified.
    folder
        Where it lies.
    """

    manifest: Manifest
    folder: RunFolder

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Rows of one part after the other; memory for one part.

        Parameters
        ----------
        columns
            Which to decode; all where None.

        Raises
        ------
        InputError
            A column is asked for that is not there.
        DeliveryCorruptError
            A part is missing or damaged.
        DeliveryReplacedError
            The run was removed, or a user in it forgotten, since `latest` was called.
        """
        self._check(columns)
        for index in range(len(self.manifest.parts)):
            yield self._part(index, columns)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows at once; the rest as for `tables`."""
        return pa.concat_tables(self.tables(columns))

    def of(self, user_id: Any, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of one user, none where the run does not hold it.

        The one part is read that the user belongs into. Raises as `tables` does.
        """
        self._check(columns)
        table = self._part(part_of_user(user_id, self.manifest.n_parts))
        rows = table.filter(parts.is_user(table, user_id))
        return rows if columns is None else rows.select(list(columns))

    def _part(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        record = self.manifest.parts[index]
        content = self.folder.read_part(record, self.manifest)
        return parts.decode(content, self.folder.where(record.name), columns)

    def _check(self, columns: Sequence[str] | None) -> None:
        known = self.manifest.parts[0].columns
        unknown = [name for name in columns or () if name not in known]
        if unknown:
            raise InputError(f"columns {unknown} are not in this run; it has {list(known)}")


def latest(place: Path | str) -> Delivery:
    """The published run of a target.

    Parameters
    ----------
    place
        Folder, or any URL that fsspec understands.

    Raises
    ------
    DeliveryError
        Nothing is published there.
    DeliveryCorruptError
        What is published does not match its hash; `rollback` to another run.
    DeliveryVersionError
        A newer version of the library wrote it.

    Examples
    --------
    >>> import datetime, tempfile
    >>> import pyarrow as pa
    >>> from prodgen_rec.nightly import Target
    >>> place = tempfile.mkdtemp()
    >>> plan = {"date": datetime.date(2026, 11, 26), "inputs": "bundle and events"}
    >>> with Target(place).writer() as writer:
    ...     run = writer.begin("2026-11-26", **plan, n_parts=1)
    ...     run.write_part(0, pa.table({"user_id": [7, 7, 9], "rank": [1, 2, 1]}), n_in=2)
    ...     manifest = run.publish()
    >>> latest(place).of(7)["rank"].to_pylist()
    [1, 2]
    """
    return latest_in(store_of(place))


def sample(place: Path | str, run_id: str, n_users: int) -> pa.Table:
    """Rows of some users of a run, also of one that was made and not published.

    They are spread over the ids of the first parts, which hold users by a hash: a fair choice.

    Parameters
    ----------
    place
        Folder, or any URL that fsspec understands.
    run_id
        Name of the run.
    n_users
        How many, fewer where the run has fewer.

    Raises
    ------
    DeliveryError
        There is no such run, or nothing of it was made.
    DeliveryCorruptError
        A part is damaged.
    """
    folder = RunFolder(store_of(place), run_id)
    found: list[pa.Table] = []
    n_found = 0
    for name in sorted(name for name in folder.names() if name.endswith(".parquet")):
        table = parts.decode(folder.read(name) or b"", folder.where(name))
        found.append(table)
        n_found += len(table[USER_ID].unique())
        if n_found >= n_users:
            break
    if not found:
        raise DeliveryError(f"{folder.where()}: no part of run {run_id} is there; make the run")
    rows = pa.concat_tables(found)
    users = rows[USER_ID].unique().sort()
    chosen = [i * len(users) // n_users for i in range(n_users)] if len(users) > n_users else None
    return rows if chosen is None else rows.filter(pc.is_in(rows[USER_ID], users.take(chosen)))


def latest_in(store: Store) -> Delivery:
    """The same, from files."""
    trouble: DeliveryCorruptError | None = None
    for pause in _PAUSES:
        time.sleep(pause)
        try:
            return _look(store)
        except DeliveryCorruptError as error:
            # What CURRENT named may have been removed since it was read, or, where a put is not
            # atomic, CURRENT may be half written.
            trouble = error
    assert trouble is not None  # noqa: S101
    raise trouble


def _look(store: Store) -> Delivery:
    current = published(store)
    if current is None:
        raise DeliveryError(
            f"{store.where()}: nothing is published there, it holds no {CURRENT}; "
            "name the folder that the nightly run writes to"
        )
    folder = RunFolder(store, current.run_id)
    name = manifest_name(current.revision)
    content = folder.read(name)
    if content is None or hashlib.sha256(content).hexdigest() != current.manifest:
        wrong = "is missing" if content is None else f"does not match its SHA-256 in {CURRENT}"
        raise DeliveryCorruptError(
            f"{folder.where(name)} {wrong}; restore it from a copy, or roll back to another run"
        )
    return Delivery(folder.parsed_manifest(current.revision, content), folder)
