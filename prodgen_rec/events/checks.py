"""Checks of one block of rows, column by column, vectorized.

A check returns the column in its final form and a reason per row. Ids and events are checked
once per distinct value of the block, which is what makes millions of rows cheap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prodgen_rec.columns import EVENT, ITEM_ID, PRICE, QUANTITY, TIMESTAMP, USER_ID
from prodgen_rec.errors import EventsError
from prodgen_rec.events.reasons import Codes, Reason, first_failure, mark, no_reason
from prodgen_rec.events.text import decoded, described, kind_of
from prodgen_rec.events.timestamps import check_timestamps

MAX_ID_BYTES: Final = 512

_NUMBERS: Final = ("integer", "float", "decimal")
_ACCEPTED: Final[Mapping[str, tuple[str, ...]]] = {
    USER_ID: ("text", *_NUMBERS),
    ITEM_ID: ("text", *_NUMBERS),
    EVENT: ("text", "integer"),
    TIMESTAMP: ("datetime", "date", "text", *_NUMBERS),
    QUANTITY: (*_NUMBERS, "text"),
    PRICE: (*_NUMBERS, "text"),
}

# What a missing value looks like after a careless conversion to text; none of them is an id.
_MISSING_TEXT: Final = ("", "nan", "NaN", "null", "NULL", "None", "<NA>", "NaT")

# Bounded digits, so that no match can overflow the cast.
_DECIMAL_TEXT: Final = r"^-?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][+-]?\d{1,2})?$"


def check_types(schema: Mapping[str, pa.DataType], source: str) -> None:
    """Refuse a source with a column of a type that no row of it could be read from."""
    for column, data_type in schema.items():
        accepted = (*_ACCEPTED[column], "null")
        if kind_of(data_type) not in accepted:
            raise EventsError(
                f"{source}: column {column!r} is of type {data_type}; "
                f"expected {' or '.join(_ACCEPTED[column])}"
            )


def check_block(
    columns: Mapping[str, pa.Array], known_events: Sequence[str], latest: int
) -> tuple[dict[str, Any], Codes]:
    """Final form of every column of a block, and why a row is refused.

    Parameters
    ----------
    columns
        Raw columns by our names, all of one length.
    known_events
        Names that the event column may hold.
    latest
        Last plausible timestamp, microseconds since 1970.

    Returns
    -------
    dict, array of int8
        Columns (ids as dictionary arrays, the others as numpy), meaningless in refused rows;
        and reason codes, shape (n,).
    """
    users, bad_users = check_ids(columns[USER_ID])
    items, bad_items = check_ids(columns[ITEM_ID])
    events, bad_events = check_event_names(columns[EVENT], known_events)
    timestamps, bad_timestamps = check_timestamps(_plain(columns[TIMESTAMP]), latest)
    good: dict[str, Any] = {USER_ID: users, ITEM_ID: items, EVENT: events, TIMESTAMP: timestamps}
    checks = [bad_users, bad_items, bad_events, bad_timestamps]
    if QUANTITY in columns:
        good[QUANTITY], bad_quantities = check_quantities(columns[QUANTITY])
        checks.append(bad_quantities)
    else:
        good[QUANTITY] = np.ones(len(events), np.float32)
    if PRICE in columns:
        # Nothing is learned from a price, so one that cannot be read costs no row.
        good[PRICE] = _float32(columns[PRICE])[0]
    return good, first_failure(checks)


def check_ids(array: pa.Array) -> tuple[pa.DictionaryArray, Codes]:
    """Ids as a dictionary of int64 or string; whole floats and decimals become int64."""
    values, codes = _distinct(array)
    kind = kind_of(values.type)
    if kind == "text":
        ids, reasons = _text_ids(values)
    elif kind == "decimal":
        ids, reasons = _decimal_ids(values)
    else:
        ids, reasons = _number_ids(values)
    indices = pa.array(codes.astype(np.int32), mask=codes == len(values))
    row_reasons = np.append(reasons, np.int8(Reason.MISSING_ID.code))[codes]
    return pa.DictionaryArray.from_arrays(indices, ids), row_reasons


def _distinct(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Distinct values of a column and each row's place among them, one past the end for null."""
    if kind_of(array.type) == "null":
        array = array.cast(pa.string())
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    codes = encoded.indices.cast(pa.int64()).fill_null(len(encoded.dictionary))
    return encoded.dictionary, _numpy(codes)


def _text_ids(values: pa.Array) -> tuple[pa.Array, Codes]:
    ids, invalid = decoded(values)
    reasons = no_reason(len(ids))
    mark(reasons, Reason.INVALID_UTF8, invalid)
    missing = pc.is_in(pc.utf8_trim_whitespace(ids), pa.array((*_MISSING_TEXT, None), pa.string()))
    mark(reasons, Reason.MISSING_ID, missing.to_numpy(zero_copy_only=False))
    unsafe = pc.or_(
        pc.greater(pc.binary_length(ids), MAX_ID_BYTES), pc.match_substring(ids, "\x00")
    )
    mark(reasons, Reason.UNSAFE_ID, unsafe.fill_null(False).to_numpy(zero_copy_only=False))
    return ids, reasons


def _decimal_ids(values: pa.Array) -> tuple[pa.Array, Codes]:
    text = pc.replace_substring_regex(values.cast(pa.string()), r"\.0+$", "")
    whole = pc.match_substring_regex(text, r"^-?\d{1,18}$")
    reasons = no_reason(len(values))
    mark(reasons, Reason.MISSING_ID, values.is_null().to_numpy(zero_copy_only=False))
    mark(reasons, Reason.FRACTIONAL_ID, ~whole.fill_null(True).to_numpy(zero_copy_only=False))
    return pc.if_else(whole, text, None).cast(pa.int64()), reasons


def _number_ids(values: pa.Array) -> tuple[pa.Array, Codes]:
    reasons = no_reason(len(values))
    mark(reasons, Reason.MISSING_ID, values.is_null().to_numpy(zero_copy_only=False))
    if kind_of(values.type) == "integer":
        ids = values.cast(pa.int64(), safe=False)
        # Wrapped around from beyond int64.
        wrapped = pa.types.is_unsigned_integer(values.type) & (_numpy(ids.fill_null(0)) < 0)
        mark(reasons, Reason.FRACTIONAL_ID, wrapped)
        return ids, reasons
    numbers = _numpy(values.cast(pa.float64()))
    mark(reasons, Reason.MISSING_ID, np.isnan(numbers))
    # Beyond 2^53 neighbouring integers share one float, so the id may not be the one meant.
    whole = (np.abs(numbers) <= 2.0**53) & (np.trunc(numbers) == numbers)
    mark(reasons, Reason.FRACTIONAL_ID, ~whole)
    return pa.array(np.where(whole, numbers, 0.0).astype(np.int64)), reasons


def check_event_names(array: pa.Array, known: Sequence[str]) -> tuple[npt.NDArray[np.int32], Codes]:
    """Place of each event among the known names, which must match exactly."""
    values, codes = _distinct(array)
    if kind_of(values.type) == "integer":
        values = values.cast(pa.string())
    names, invalid = decoded(values)
    places = _numpy(pc.index_in(names, value_set=pa.array(known, pa.string())).fill_null(-1))
    reasons = no_reason(len(names))
    mark(reasons, Reason.INVALID_UTF8, invalid)
    mark(reasons, Reason.UNKNOWN_EVENT, places < 0)
    row_reasons = np.append(reasons, np.int8(Reason.UNKNOWN_EVENT.code))[codes]
    return np.append(places, -1).astype(np.int32)[codes], row_reasons


def check_quantities(array: pa.Array) -> tuple[npt.NDArray[np.float32], Codes]:
    """Quantities as float32; null or empty counts as 1."""
    values, absent, invalid = _float32(array)
    numbers = np.where(absent, np.float32(1), values)
    reasons = no_reason(len(numbers))
    mark(reasons, Reason.INVALID_UTF8, invalid)
    mark(reasons, Reason.BAD_QUANTITY, ~(numbers >= 0))  # NaN is not at least 0 either
    return numbers + np.float32(0), reasons  # -0 becomes 0


def _float32(
    array: pa.Array,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Numbers, NaN where unreadable or infinite; which are absent; which are invalid UTF-8."""
    array = _plain(array)
    invalid = np.zeros(len(array), np.bool_)
    if kind_of(array.type) == "text":
        text, invalid = decoded(array)
        text = pc.utf8_trim_whitespace(text)
        absent = pc.or_kleene(pc.equal(text, ""), array.is_null()).fill_null(False)
        readable = pc.match_substring_regex(text, _DECIMAL_TEXT)
        array = pc.if_else(readable, text, None)
    else:
        absent = array.is_null()
    numbers = _numpy(array.cast(pa.float64())).astype(np.float64)
    too_large = ~(np.abs(numbers) <= np.finfo(np.float32).max)
    return np.where(too_large, np.nan, numbers).astype(np.float32), _numpy(absent), invalid


def describe_rows(columns: Mapping[str, pa.Array], rows: npt.NDArray[np.int64]) -> pa.Array:
    """Raw rows as text such as ``user_id=17, item_id=4, event=veiw``, for the quarantine."""
    taken = {name: array.take(pa.array(rows)) for name, array in columns.items()}
    parts = [
        pc.binary_join_element_wise(name, described(array).fill_null("null"), "=")
        for name, array in taken.items()
    ]
    return pc.binary_join_element_wise(*parts, ", ")


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=False))
