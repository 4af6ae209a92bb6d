"""From checked blocks of many sources to one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """Int64 or string, on which all sources that say anything agree.

    Typed sources decide. Text without a type follows them, and must then be canonical where
    they are int64; alone, it is int64 when every one of its ids is canonical.
    """
    kinds: dict[str, str] = {}
    loose: dict[str, str] = {}
    for part in parts:
        ids = part.columns[name].dictionary
        if len(ids) == 0:
            continue
        if part.typed:
            kinds.setdefault("int" if pa.types.is_integer(ids.type) else "str", part.source)
        else:
            inferred = infer_integers(ids).type
            loose.setdefault("int" if pa.types.is_integer(inferred) else "str", part.source)
    if "int" in kinds and "str" in loose:
        kinds.setdefault("str", loose["str"])
    if len(kinds) > 1:
        raise EventsError(
            f"column {name!r} holds int ids in {kinds['int']} and str ids in {kinds['str']}; "
            "they must be of one type: convert one of the two and read again"
        )
    is_text = "str" in (kinds or loose)
    return pa.string() if is_text else pa.int64()
