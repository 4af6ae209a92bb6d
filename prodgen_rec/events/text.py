"""Arrow arrays of unknown origin as kinds and as checked text."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

_RAW_CHARACTERS: Final = 200

_KINDS: Final = (
    ("null", types.is_null),
    ("text", types.is_string),
    ("text", types.is_large_string),
    ("text", types.is_binary),
    ("text", types.is_large_binary),
    ("integer", types.is_integer),
    ("float", types.is_floating),
    ("decimal", types.is_decimal),
    ("datetime", types.is_timestamp),
    ("date", types.is_date),
)


def kind_of(data_type: pa.DataType) -> str:
    """Kind of an Arrow type: null, text, integer, float, decimal, datetime, date or other.

    Binary counts as text, whose encoding has yet to be checked; a dictionary counts as its
    values.
    """
    if types.is_dictionary(data_type):
        data_type = data_type.value_type
    return next((kind for kind, test in _KINDS if test(data_type)), "other")


def decoded(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Text as string, null where it is not valid UTF-8, and the mask of those places.

    Arrow validates nothing when it reads a string column from a file, so the bytes of string
    columns are checked as well.
    """
    raw = array.cast(pa.binary())
    try:
        return raw.cast(pa.string()), np.zeros(len(raw), np.bool_)
    except pa.ArrowInvalid:
        values = [_utf8_or_none(value) for value in raw.to_pylist()]
        text = pa.array(values, pa.string())
        invalid = pc.and_(raw.is_valid(), text.is_null())
        return text, np.asarray(invalid.to_numpy(zero_copy_only=False))


def described(array: pa.Array) -> pa.Array:
    """Each value as readable text of at most 200 characters, whatever its type."""
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kind_of(array.type) == "text":
        text, invalid = decoded(array)
        if invalid.any():
            raw = array.cast(pa.binary()).to_pylist()
            escaped = [v if v is None else v.decode("utf-8", "backslashreplace") for v in raw]
            text = pa.array(escaped, pa.string())
    elif types.is_timestamp(array.type):
        # Without its zone, whose name Arrow would look up in a database that may be missing.
        text = array.view(pa.timestamp(array.type.unit)).cast(pa.string())
    else:
        text = array.cast(pa.string())
    return pc.utf8_slice_codeunits(text, 0, _RAW_CHARACTERS)


def _utf8_or_none(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
