"""Everything that a log can be read from, as streams of blocks of raw columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from glob import glob
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from prodgen_rec.errors import EventsError
from prodgen_rec.events.text import kind_of

BLOCK_ROWS: Final = 1 << 20

PARQUET_SUFFIXES: Final = (".parquet", ".pq")
CSV_SUFFIXES: Final = tuple(
    text + packed for text in (".csv", ".tsv") for packed in ("", ".gz", ".zst")
)


class Block(NamedTuple):
    """Some rows of a source."""

    columns: dict[str, pa.Array]
    """Raw columns by our names."""
    rows: npt.NDArray[np.int64]
    """Number of each row among the data rows of its source."""
    malformed: Sequence[tuple[int, str]] = ()
    """Number and text of lines that are no rows at all."""


class Source(Protocol):
    """One file or table."""

    @property
    def name(self) -> str:
        """What errors and the quarantine call it."""

    @property
    def typed(self) -> bool:
        """Whether ids have a type here, rather than all being text."""

    @property
    def column_names(self) -> list[str]:
        """Names of all columns."""

    def blocks(self, columns: Mapping[str, str]) -> Iterator[Block]:
        """Rows, with the columns wanted: a mapping from our names to the source's."""


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what Arrow and the system say about an unreadable source into an `EventsError`."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise EventsError(
            f"{name} cannot be read: {reason}; expected a complete Parquet or CSV file of events"
        ) from error


@dataclass(frozen=True)
class ParquetSource:
    """A Parquet file, read by row group with its page checksums verified.

    Parameters
    ----------
    path
        Of the file.
    groups
        Only these row groups, one after the other; all where None.
    """

    path: Path
    groups: range | None = None
    typed = True

    @property
    def name(self) -> str:
        """Its path, as given."""
        return str(self.path)

    @property
    def column_names(self) -> list[str]:
        """Names of all columns."""
        with reading(self.name), pq.ParquetFile(self.path) as file:
            return list(file.schema_arrow.names)

    def blocks(self, columns: Mapping[str, str]) -> Iterator[Block]:
        """Rows, with the columns wanted by our names."""
        with reading(self.name):
            schema = pq.read_schema(self.path)
            # Text stays in the file's own dictionaries: never held once per row.
            text = [name for name in columns.values() if kind_of(schema.field(name).type) == "text"]
            with pq.ParquetFile(
                self.path, page_checksum_verification=True, read_dictionary=text
            ) as file:
                names = list(dict.fromkeys(columns.values()))
                sizes = group_sizes(file.metadata)
                groups = range(len(sizes)) if self.groups is None else self.groups
                batches = file.iter_batches(
                    _block_rows(sizes), row_groups=list(groups), columns=names
                )
                yield from _numbered(batches, columns, first=sum(sizes[: groups.start]))


def group_sizes(metadata: pq.FileMetaData) -> list[int]:
    """Rows of each row group."""
    return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]


def _block_rows(sizes: Sequence[int]) -> int:
    """Rows of a block, at most BLOCK_ROWS, that no end of a row group cuts.

    Row groups have dictionaries of their own, so a block that begins in one and ends in the next
    would come in two, and the whole dictionary be checked for either.
    """
    group = max(sizes, default=0) or 1
    if group <= BLOCK_ROWS:
        return BLOCK_ROWS // group * group
    n_blocks = -(-group // BLOCK_ROWS)
    return -(-group // n_blocks)


@dataclass(frozen=True)
class TableSource:
    """Record batches already in memory, or handed over by another library."""

    name: str
    column_names: list[str]
    batches: Iterable[pa.RecordBatch]
    typed = True

    def blocks(self, columns: Mapping[str, str]) -> Iterator[Block]:
        """Rows, with the columns wanted by our names."""
        with reading(self.name):
            yield from _numbered(self.batches, columns)


@dataclass(frozen=True)
class PandasSource:
    """A pandas DataFrame, of which only the columns wanted are converted."""

    frame: pd.DataFrame
    name = "DataFrame"
    typed = True

    @property
    def column_names(self) -> list[str]:
        """Names of all columns."""
        return [str(column) for column in self.frame.columns]

    def blocks(self, columns: Mapping[str, str]) -> Iterator[Block]:
        """Rows, with the columns wanted by our names."""
        places = {ours: self.column_names.index(theirs) for ours, theirs in columns.items()}
        arrays = [self._converted(ours, place) for ours, place in places.items()]
        table = pa.table(arrays, names=list(places))
        yield from _numbered(table.to_batches(), {name: name for name in places})

    def _converted(self, ours: str, place: int) -> pa.Array | pa.ChunkedArray:
        series = self.frame.iloc[:, place]
        try:
            return pa.array(series, from_pandas=True)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            first = {
                type(value).__name__: row
                for row, value in reversed(list(enumerate(series)))
                if not pd.api.types.is_scalar(value) or not pd.isna(value)
            }
            found = " and ".join(f"{kind} (row {row})" for kind, row in sorted(first.items()))
            raise EventsError(
                f"DataFrame: column {ours!r} holds {found} and cannot be converted: {error}; "
                "make it of one type, for example with .astype(str)"
            ) from error


def _numbered(
    batches: Iterable[pa.RecordBatch], columns: Mapping[str, str], first: int = 0
) -> Iterator[Block]:
    """Blocks of bounded size with the wanted columns, rows numbered from the first."""
    for batch in batches:
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            part = batch.slice(start, BLOCK_ROWS)
            rows = np.arange(first, first + part.num_rows)
            arrays = {ours: _widely_known(part.column(name)) for ours, name in columns.items()}
            yield Block(arrays, rows)
            first += part.num_rows


def _widely_known(array: pa.Array) -> pa.Array:
    """Arrays of Arrow's newer types, such as the string views that polars exports, as older ones.

    Many of Arrow's own functions do not know the newer ones.
    """
    if types.is_dictionary(array.type):
        dictionary = _widely_known(array.dictionary)
        return pa.DictionaryArray.from_arrays(array.indices, dictionary)
    if types.is_string_view(array.type):
        return array.cast(pa.string())
    if types.is_binary_view(array.type):
        return array.cast(pa.binary())
    if types.is_decimal(array.type) and array.type.bit_width < 128:
        return array.cast(pa.decimal128(array.type.precision, array.type.scale))
    return array


def table_source(source: Any) -> PandasSource | TableSource:
    """Source of a DataFrame, an Arrow table, or anything that Arrow can take over.

    Raises
    ------
    EventsError
        The object is none of those.
    """
    name = type(source).__name__
    if isinstance(source, pd.DataFrame):
        return PandasSource(source)
    if hasattr(source, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(source)
        return TableSource(name, list(reader.schema.names), reader)
    if hasattr(source, "__arrow_c_array__"):
        batch = pa.record_batch(source)
        return TableSource(name, list(batch.schema.names), [batch])
    raise EventsError(
        f"events cannot be read from a {name}; expected a path, a pandas or polars DataFrame, "
        "an Arrow table or another object that exports Arrow data"
    )


def find_files(source: str | os.PathLike[str]) -> list[Path]:
    """Files of a path, a folder (with its subfolders) or a glob, sorted by path.

    Names that begin with ``.`` or ``_`` are left out of a folder: job markers and checksums.

    Raises
    ------
    EventsError
        Nothing is there, or a file is neither Parquet nor CSV.
    """
    path = Path(source)
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file() and not _hidden(file, path)]
    elif path.exists():
        files = [path]
    elif any(character in str(source) for character in "*?["):
        files = [Path(name) for name in glob(str(source), recursive=True) if Path(name).is_file()]
    else:
        raise EventsError(f"there is no {str(path)!r}{_suggestion(path)}")
    if not files:
        raise EventsError(f"there are no files in {str(source)!r}; expected Parquet or CSV files")
    for file in files:
        if not file.name.lower().endswith((*PARQUET_SUFFIXES, *CSV_SUFFIXES)):
            raise EventsError(
                f"{file} is neither Parquet nor CSV by its name; expected one of "
                f"{', '.join((*PARQUET_SUFFIXES, *CSV_SUFFIXES))}; a glob such as "
                "'logs/*.parquet' picks the right files of a folder"
            )
    return sorted(files)


def is_parquet(file: Path) -> bool:
    """Whether a file is Parquet by its name."""
    return file.name.lower().endswith(PARQUET_SUFFIXES)


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)


def _suggestion(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; its folder {str(path.parent)!r} doesn't exist either"
    names = [entry.name for entry in path.parent.iterdir()]
    close = get_close_matches(path.name, names, n=1)
    return f"; did you mean {str(path.with_name(close[0]))!r}?" if close else ""
