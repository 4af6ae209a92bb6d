"""CSV logs: one line is one row, and no line can spoil another.

Arrow parses a block of lines at full speed. Where the block holds a line with too few or too
many columns, or a quote that is never closed, Arrow would fail, or swallow the lines up to the
next quote; such a block is parsed again line by line, and only the bad lines are refused.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from prodgen_rec.errors import EventsError
from prodgen_rec.events.sources import Block, reading

# Small enough that a block parsed line by line, five times slower, costs little.
_BLOCK_BYTES: Final = 1 << 20
_HEADER_BYTES: Final = 1 << 16
_RAW_CHARACTERS: Final = 1000


@dataclass(frozen=True)
class CsvSource:
    """A CSV file with a header; commas, semicolons or tabs; plain, gzip or zstd.

    Values are read as bytes: encoding and types are checked value by value afterwards. A line
    break inside quotes is not supported and makes two malformed lines.
    """

    path: Path
    typed = False

    @property
    def name(self) -> str:
        """Its path, as given."""
        return str(self.path)

    @property
    def column_names(self) -> list[str]:
        """Names of all columns."""
        names, _ = self._header()
        return names

    def blocks(self, columns: Mapping[str, str]) -> Iterator[Block]:
        """Rows, with the columns wanted by our names."""
        names, delimiter = self._header()
        places = [names.index(theirs) for theirs in columns.values()]
        first = 0
        for lines in self._line_blocks():
            arrays, kept, malformed, n_lines = _parse(lines, delimiter, len(names), places)
            rows = first + np.asarray(kept, np.int64)
            refused = [(first + place, text) for place, text in malformed]
            yield Block(dict(zip(columns, arrays, strict=True)), rows, refused)
            first += n_lines

    def _header(self) -> tuple[list[str], str]:
        with reading(self.name), pa.input_stream(str(self.path), compression="detect") as stream:
            line = stream.read(_HEADER_BYTES).partition(b"\n")[0].rstrip(b"\r")
        if not line:
            raise EventsError(f"{self.name} is empty; expected a header line and rows of events")
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise EventsError(
                f"{self.name}: the header is not UTF-8: {line[:40]!r}; save the file as UTF-8"
            ) from None
        delimiter = max(",;\t", key=text.count)
        return next(csv.reader([text], delimiter=delimiter), []), delimiter

    def _line_blocks(self) -> Iterator[bytes]:
        """Whole data lines, about a megabyte at a time, each with its line end."""
        lines = self._lines_with_header()
        yield next(lines, b"").partition(b"\n")[2]
        yield from lines

    def _lines_with_header(self) -> Iterator[bytes]:
        with reading(self.name), pa.input_stream(str(self.path), compression="detect") as stream:
            rest = b""
            while chunk := stream.read(_BLOCK_BYTES):
                lines, end, rest = (rest + chunk).rpartition(b"\n")
                if end:
                    yield lines + end
            if rest:
                yield rest + b"\n"


def _parse(
    lines: bytes, delimiter: str, n_columns: int, places: Sequence[int]
) -> tuple[list[pa.Array], Sequence[int], list[tuple[int, str]], int]:
    """Columns at some places, line number of each row, malformed lines, number of lines.

    Blank lines are no rows and are not counted.
    """
    fast = _parse_block(lines, delimiter, n_columns, places)
    if fast is not None:
        n_lines = len(fast[0])
        return fast, range(n_lines), [], n_lines
    return _parse_lines(lines, delimiter, n_columns, places)


def _parse_block(
    lines: bytes, delimiter: str, n_columns: int, places: Sequence[int]
) -> list[pa.Array] | None:
    """Columns as binary arrays, or None where a row might not be exactly one line."""
    if lines.count(b"\r") != lines.count(b"\r\n"):
        return None
    # Without a last line to swallow, a quote left open at the end of the block would not show.
    lines += b"end" + delimiter.encode() * (n_columns - 1) + b"\n"
    names = [str(place) for place in range(n_columns)]
    wanted = [str(place) for place in places]
    try:
        table = pacsv.read_csv(
            pa.BufferReader(lines),
            pacsv.ReadOptions(use_threads=False, column_names=names, block_size=len(lines) + 1),
            pacsv.ParseOptions(delimiter=delimiter),
            pacsv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.binary())
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != lines.count(b"\n"):
        return None
    return [table[name].slice(0, table.num_rows - 1).combine_chunks() for name in wanted]


def _parse_lines(
    lines: bytes, delimiter: str, n_columns: int, places: Sequence[int]
) -> tuple[list[pa.Array], Sequence[int], list[tuple[int, str]], int]:
    """The same, line by line; Latin-1 carries every byte through the parser unchanged."""
    values: list[list[str]] = []
    kept: list[int] = []
    malformed: list[tuple[int, str]] = []
    nonblank = [line for line in lines.decode("latin-1").split("\n") if line.strip("\r")]
    for number, line in enumerate(nonblank):
        row = _split(line.removesuffix("\r"), delimiter)
        if row is not None and len(row) == n_columns:
            kept.append(number)
            values.append(row)
        else:
            text = line.encode("latin-1").decode("utf-8", "backslashreplace")
            malformed.append((number, text[:_RAW_CHARACTERS]))
    arrays = [
        pa.array([row[place].encode("latin-1") for row in values], pa.binary()) for place in places
    ]
    return arrays, kept, malformed, len(nonblank)


def _split(line: str, delimiter: str) -> list[str] | None:
    """Values of a line, or None where a quote stays open or the line cannot be parsed."""
    try:
        # An open quote would take the second line into the first.
        rows = list(csv.reader([line + "\n", "end"], delimiter=delimiter))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 2 else None
