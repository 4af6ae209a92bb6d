"""Where commands write: checked before the work, whole or not at all after it."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prodgen_rec.cli.console import NO_ROOM, Reporter
from prodgen_rec.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

PARQUET: Final = (".parquet", ".pq")
"""How names of Parquet files end."""
_FORMULA: Final = re.compile(r"[=+\-@\t\r]").match


def check_table(out: Path) -> None:
    """Refuse a place where no Parquet file can be written.

    Raises
    ------
    InputError
        It has another ending, is a folder, or lies in a file.
    """
    check_file(out, PARQUET, ".parquet, the format that is written")


def check_file(out: Path, endings: Sequence[str], expected: str, option: str = "--out") -> None:
    """Refuse a place where no file of a kind can be written; ``option`` is what named it.

    Raises
    ------
    InputError
        It does not end as ``expected`` says, is a folder, or lies in a file.
    """
    if out.suffix not in endings:
        raise InputError(f"{option}: {out} must end in {expected}")
    if out.is_dir():
        raise InputError(f"{option}: {out} is a folder; expected the name of a file to write")
    check_folder(out.parent, option)


def check_folder(out: Path, option: str = "--out") -> None:
    """Refuse a place that is no folder and cannot become one, or where nothing can be written.

    Raises
    ------
    InputError
        It is a file, lies in one, or is closed to us.
    """
    places = [place for place in (out, *out.parents) if place.exists()]
    for place in places:
        if not place.is_dir():
            raise InputError(f"{option}: {place} is a file; expected a folder, or a new name")
    try:
        with tempfile.TemporaryFile(dir=places[0]):
            pass  # by a try, because rights alone do not tell: a disk may be mounted to be read
    except OSError as error:
        raise InputError(
            f"{option}: nothing can be written in {places[0]}: {error.strerror}; name another place"
        ) from error


def write_by_ids(
    out: Path,
    ids: pa.Array,
    rows: Callable[[pa.Array], pd.DataFrame],
    *,
    at_a_time: int,
    report: Reporter,
) -> int:
    """Write the rows of some ids at a time to one Parquet file; returns the number of rows.

    Raises
    ------
    OSError
        For instance a full disk; what stood at ``out`` is intact.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from prodgen_rec.storage import atomic_file

    n_rows, writer = 0, None
    with _no_room_at(out), atomic_file(out) as temporary, report.bar(len(ids), "ids") as advance:
        try:
            for start in range(0, len(ids), at_a_time):
                some = ids[start : start + at_a_time]
                table = pa.Table.from_pandas(rows(some), preserve_index=False)
                writer = writer or pq.ParquetWriter(
                    temporary, table.schema, write_page_checksum=True
                )
                writer.write_table(table)
                n_rows += table.num_rows
                advance(len(some))
        finally:
            if writer is not None:
                writer.close()
    return n_rows


@contextmanager
def _no_room_at(out: Path) -> Iterator[None]:
    """Say which file there is no room for, which Arrow does not."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            error.filename = str(out)
            error.strerror = (
                f"{os.strerror(error.errno)}; what stood there is intact: make room and run again"
            )
        raise


def spreadsheet_safe(table: pd.DataFrame) -> pd.DataFrame:
    """The same with an apostrophe before texts that a spreadsheet takes for a formula.

    Such are those that begin with ``= + - @``, a tab or a return (OWASP, "CSV Injection"); numbers
    are left alone.
    """
    return table.map(lambda cell: f"'{cell}" if isinstance(cell, str) and _FORMULA(cell) else cell)


def png(image: npt.NDArray[np.uint8]) -> bytes:
    """Picture uint8 (height, width, 3) as PNG bytes: exact, and as small as PNG gets."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
