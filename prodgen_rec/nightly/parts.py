"""Rows as the bytes of a Parquet file, always the same bytes, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from prodgen_rec.columns import USER_ID
from prodgen_rec.errors import DeliveryCorruptError, InputError
from prodgen_rec.ids import as_id_array, like
from prodgen_rec.nightly.documents import Counts, PartRecord, added, built
from prodgen_rec.nightly.partition import part_of

_ROWS_PER_GROUP = 4096
"""Some megabytes of pictures: what a reader of one user has to decode."""


def normalized(table: pa.Table, what: str) -> pa.Table:
    """Rows with user ids of int64 or str, in one piece, without metadata of where they come from.

    Raises
    ------
    InputError
        There is no column of user ids, or it is neither int64 nor str, or holds nulls.
    """
    if USER_ID not in table.column_names:
        raise InputError(
            f"{what}: no column {USER_ID!r} among {table.column_names}; every row belongs to a user"
        )
    users = as_id_array(table[USER_ID], what)
    table = table.set_column(table.column_names.index(USER_ID), USER_ID, users)
    return table.replace_schema_metadata(None).combine_chunks()


def misplaced(table: pa.Table, index: int, n_parts: int) -> str | None:
    """Says which user of a part belongs into another one, by `part_of`; None where none does."""
    belongs = part_of(table[USER_ID], n_parts)
    elsewhere = np.flatnonzero(belongs != index)
    if not len(elsewhere):
        return None
    user, part = table[USER_ID][int(elsewhere[0])].as_py(), belongs[elsewhere[0]]
    return f"user {user!r} belongs into part {part} of {n_parts}, not into part {index}"


def encode(table: pa.Table) -> bytes:
    """Bytes of a Parquet file, which depend on the rows alone; with a checksum for each page."""
    is_binary = {
        field.name: pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
        for field in table.schema
    }
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=_ROWS_PER_GROUP,
        # Encoded pictures are compressed already.
        compression={name: "none" if binary else "zstd" for name, binary in is_binary.items()},
        use_dictionary=[name for name, binary in is_binary.items() if not binary],
        write_statistics=[USER_ID],
        write_page_checksum=True,
    )
    return bytes(sink.getvalue())


def record_of(
    name: str,
    content: bytes,
    table: pa.Table,
    n_in: int,
    refused: Mapping[str, int],
    figures: Mapping[str, Any],
) -> PartRecord:
    """What there is to say of a part.

    Raises
    ------
    InputError
        Users who came in are neither in the rows nor refused, or JSON cannot hold a figure.
    """
    n_out = pc.count_distinct(table[USER_ID]).as_py()
    n_refused = sum(refused.values())
    if n_in != n_out + n_refused or any(n < 0 for n in refused.values()):
        raise InputError(
            f"{name}: {n_in} users in, {n_out} in the rows and {n_refused} refused "
            f"({dict(refused)}); every user must be in the rows or counted with a reason"
        )
    return built(
        PartRecord,
        name=name,
        n_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        rows=len(table),
        columns={field.name: str(field.type) for field in table.schema},
        counts=Counts(n_in=n_in, n_out=n_out, refused=added(refused)),
        figures=dict(figures),
    )


def complaint(record: PartRecord, content: bytes) -> str | None:
    """What is wrong with the bytes of a part, or None."""
    if len(content) != record.n_bytes:
        return f"{len(content)} bytes, {record.n_bytes} were written"
    if hashlib.sha256(content).hexdigest() != record.sha256:
        return "its content does not match its recorded SHA-256"
    return None


def decode(content: bytes, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of a part, its page checksums verified.

    Parameters
    ----------
    content
        Bytes that have matched their record.
    where
        Named in errors.
    columns
        Which to read; all where None.

    Raises
    ------
    DeliveryCorruptError
        The bytes are no Parquet file, or a page does not match its checksum.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        return file.read(columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise DeliveryCorruptError(
            f"{where} cannot be read ({error}); restore it from a copy, or roll back"
        ) from error


def is_user(table: pa.Table, user_id: Any) -> pa.ChunkedArray:
    """For each row, whether it is of a user: bool, shape (rows,)."""
    users = table[USER_ID]
    wanted = like(as_id_array([user_id], "user id"), pa.array([], users.type))
    return pc.fill_null(pc.equal(users, wanted[0]), False)
