"""What is published, as a Delta table, for engines that read such tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from prodgen_rec.columns import USER_ID
from prodgen_rec.errors import DeliveryError, MissingExtraError
from prodgen_rec.nightly.documents import Manifest
from prodgen_rec.nightly.reading import Delivery, latest

APPLICATION = "prodgen_rec.nightly"
"""Under this name the table remembers which run it holds."""


def require_deltalake() -> ModuleType:
    """The package `deltalake`.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import deltalake
    except ImportError as error:
        raise MissingExtraError("deltalake", "delta") from error
    return deltalake


def publish_delta(place: Path | str, table: str) -> int | None:
    """Make a Delta table hold what is published at a place, in one commit.

    All rows are replaced: a reader of the table sees one run, whole, and older ones by time travel,
    until they are vacuumed. The commit carries a key of the run, so that nothing happens where the
    table holds that run already; called again after a kill, it does what is left to do. Parts are
    verified while they are copied, one at a time.

    Parameters
    ----------
    place
        Where runs are published.
    table
        Path or URL of the table; made if need be.

    Returns
    -------
    int or None
        Version of the table that this has made, None where it held the run.

    Raises
    ------
    MissingExtraError
        `deltalake` is not installed.
    DeliveryError
        Nothing is published, it is damaged, or the table cannot be written; it is as it was.
    """
    deltalake, delivery = require_deltalake(), latest(place)
    manifest = delivery.manifest
    if _held(deltalake, table) == _key(manifest):
        return None
    try:
        deltalake.write_deltalake(
            table,
            _reader(delivery),
            mode="overwrite",
            schema_mode="overwrite",
            commit_properties=deltalake.CommitProperties(
                custom_metadata={"run_id": manifest.run_id, "date": manifest.date.isoformat()},
                app_transactions=[deltalake.Transaction(APPLICATION, _key(manifest))],
            ),
        )
        return int(deltalake.DeltaTable(table).version())
    except deltalake.exceptions.DeltaError as error:
        raise DeliveryError(
            f"{table}: run {manifest.run_id} is published and was not copied to this Delta table, "
            f"which is as it was: {error}; mend that, and run again"
        ) from error


def forget_in_delta(table: str, user_id: Any) -> int:
    """Delete the rows of a user from a Delta table; returns how many there were.

    Older versions still hold them, and so do files, until the table is vacuumed. The next
    `publish_delta` writes the table anew.

    Raises
    ------
    MissingExtraError
        `deltalake` is not installed.
    DeliveryError
        There is no such table.
    """
    deltalake = require_deltalake()
    try:
        found = deltalake.DeltaTable(table)
    except deltalake.exceptions.TableNotFoundError as error:
        raise DeliveryError(
            f"{table}: no Delta table is there; name the one of the runs"
        ) from error
    quoted = str(user_id).replace("'", "''")
    done = found.delete(f"CAST({USER_ID} AS STRING) = '{quoted}'")
    return int(done["num_deleted_rows"])


def _key(manifest: Manifest) -> int:
    """A number for each run and revision, as large as the table can remember."""
    return int(manifest.seal[:15], 16)


def _held(deltalake: ModuleType, table: str) -> int | None:
    """Key of the run that a table holds; None where there is no table, or nothing of ours."""
    if not deltalake.DeltaTable.is_deltatable(table):
        return None
    version = deltalake.DeltaTable(table).transaction_version(APPLICATION)
    return None if version is None else int(version)


def _reader(delivery: Delivery) -> pa.RecordBatchReader:
    tables = delivery.tables()
    first = next(tables)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from first.to_batches()
        for table in tables:
            yield from table.to_batches()

    return pa.RecordBatchReader.from_batches(first.schema, batches())
