"""From checked blocks of many sources to one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prodgen_rec.columns import (
    EVENT,
    ITEM_ID,
    PRICE,
    QUANTITY,
    RAW,
    REASON,
    ROW,
    SOURCE,
    TIMESTAMP,
    USER_ID,
)
from prodgen_rec.errors import EventsError
from prodgen_rec.events.checks import check_block, check_types, describe_rows
from prodgen_rec.events.container import compacted
from prodgen_rec.events.reasons import Reason
from prodgen_rec.events.sources import Block, Source
from prodgen_rec.ids import IdMap, infer_integers

QUARANTINE_SCHEMA: Final = pa.schema(
    [(SOURCE, pa.string()), (ROW, pa.int64()), (REASON, pa.string()), (RAW, pa.string())]
)


@dataclass(frozen=True)
class Part:
    """One checked block of a source."""

    source: str
    typed: bool
    columns: dict[str, Any]
    """Good rows: ids as dictionary arrays of used values only, other columns as numpy."""
    quarantine: pa.Table

    @property
    def n_good(self) -> int:
        """Number of good rows."""
        return len(self.columns[USER_ID])


def part_of(source: Source, block: Block, known_events: Sequence[str], latest: int) -> Part:
    """Check a block and separate its good rows from its bad ones."""
    check_types({name: array.type for name, array in block.columns.items()}, source.name)
    columns, codes = check_block(block.columns, known_events, latest)
    good = codes == 0
    bad = np.flatnonzero(~good)
    reasons = [Reason.of_code(code) for code in codes[bad]]
    rows = [*block.rows[bad], *(row for row, _ in block.malformed)]
    quarantine = pa.table(
        [
            pa.array([source.name] * len(rows), pa.string()),
            pa.array(rows, pa.int64()),
            pa.array(reasons + [Reason.COLUMN_COUNT] * len(block.malformed), pa.string()),
            pa.concat_arrays(
                [
                    describe_rows(block.columns, bad),
                    pa.array([text for _, text in block.malformed], pa.string()),
                ]
            ),
        ],
        schema=QUARANTINE_SCHEMA,
    )
    kept = {name: _kept(column, good) for name, column in columns.items()}
    return Part(source.name, source.typed, kept, quarantine.sort_by(ROW))


def _kept(column: Any, good: npt.NDArray[np.bool_]) -> Any:
    if not isinstance(column, pa.DictionaryArray):
        return column[good]
    indices = column.indices.filter(pa.array(good)).to_numpy(zero_copy_only=False)
    used, codes = compacted(indices, len(column.dictionary))
    return pa.DictionaryArray.from_arrays(pa.array(codes), column.dictionary.take(pa.array(used)))


def table_of(parts: Sequence[Part], known_events: Sequence[str]) -> pa.Table:
    """Good rows of all parts in the layout of `Events.table`.

    Takes the plain columns out of the parts one after the other, so that never more than one
    of them is held twice.
    """
    columns = {name: _ids(parts, name) for name in (USER_ID, ITEM_ID)}
    has_price = any(PRICE in part.columns for part in parts)
    prices = [part.columns.pop(PRICE, np.full(part.n_good, np.nan, np.float32)) for part in parts]
    events = pa.array(_joined(parts, EVENT))
    columns[EVENT] = pa.DictionaryArray.from_arrays(events, pa.array(known_events, pa.string()))
    columns[TIMESTAMP] = pa.array(_joined(parts, TIMESTAMP)).view(pa.timestamp("us", "UTC"))
    columns[QUANTITY] = pa.array(_joined(parts, QUANTITY))
    if has_price:
        columns[PRICE] = pa.array(np.concatenate(prices), from_pandas=True)
    return pa.table(columns)


def _joined(parts: Sequence[Part], name: str) -> npt.NDArray[Any]:
    return np.concatenate([part.columns.pop(name) for part in parts])


def _ids(parts: Sequence[Part], name: str) -> pa.DictionaryArray:
    """Ids of all parts over one sorted dictionary."""
    kind = _id_type(parts, name)
    columns = (part.columns[name] for part in parts)
    merged = pa.chunked_array(
        [pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(kind)) for c in columns]
    ).unify_dictionaries()  # one hash table for all parts
    dictionary = merged.chunk(0).dictionary
    ids = IdMap.of(dictionary)
    place = ids.find(dictionary).astype(np.int32)
    codes = np.concatenate([place[chunk.indices.to_numpy()] for chunk in merged.chunks])
    return pa.DictionaryArray.from_arrays(pa.array(codes), ids.arrow)


def _id_type(parts: Sequence[Part], name: str) -> pa.DataType:
    """Int64 or string; see `IdKinds`."""
    kinds = IdKinds(name)
    for part in parts:
        kinds.add(part)
    return kinds.agreed()


@dataclass
class IdKinds:
    """Int64 or string, on which all sources of a column of ids that say anything agree.

    Typed sources decide. Text without a type follows them, and must then be canonical where
    they are int64; alone, it is int64 when every one of its ids is canonical.

    Parameters
    ----------
    column
        Its name.
    """

    column: str
    _typed: dict[str, str] = field(default_factory=dict)
    _loose: dict[str, str] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """What the ids of a part say."""
        ids = part.columns[self.column].dictionary
        if len(ids) == 0:
            return
        kind = ids.type if part.typed else infer_integers(ids).type
        found = self._typed if part.typed else self._loose
        found.setdefault("int" if pa.types.is_integer(kind) else "str", part.source)

    def merge(self, other: IdKinds) -> None:
        """What the ids of more parts, later in the log, say."""
        self._typed = other._typed | self._typed
        self._loose = other._loose | self._loose

    def agreed(self) -> pa.DataType:
        """The type of all.

        Raises
        ------
        EventsError
            They do not agree; names two sources.
        """
        kinds = dict(self._typed)
        if "int" in kinds and "str" in self._loose:
            kinds.setdefault("str", self._loose["str"])
        if len(kinds) > 1:
            raise EventsError(
                f"column {self.column!r} holds int ids in {kinds['int']} and str ids in "
                f"{kinds['str']}; they must be of one type: convert one of the two and read again"
            )
        return pa.string() if "str" in (kinds or self._loose) else pa.int64()
