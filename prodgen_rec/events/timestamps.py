"""Timestamps of any spelling as microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prodgen_rec.events.reasons import Codes, Reason, mark, no_reason
from prodgen_rec.events.text import decoded, kind_of

Microseconds = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

EARLIEST: Final = 631_152_000_000_000
"""1990-01-01: older rows are clock failures, epochs of 0, or birthdays."""

# A number below the first bound is seconds, below the second milliseconds, below the third
# microseconds, else nanoseconds: unambiguous for every date from 1990 to the year 5138.
_BELOW: Final = (10**11, 10**14, 10**17)

_PER_UNIT: Final = {"s": 1_000_000, "ms": 1_000, "us": 1, "day": 86_400_000_000}

# Only dates that exist, leap years included: Arrow's cast raises on the first that doesn't.
_DATE: Final = (
    r"(?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
    r"|(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_TIME: Final = r"[T ](?:[01]\d|2[0-3])(?::[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?)?"
_ZONE: Final = r"(?:Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)"
_NAIVE: Final = f"^{_DATE}(?:{_TIME})?$"
_ZONED: Final = f"^{_DATE}{_TIME}{_ZONE}$"
_INTEGER: Final = r"^-?\d{1,18}$|^[1-8]\d{18}$"
_FLOAT: Final = r"^-?\d{1,18}\.\d{1,18}$"


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of a datetime; a naive one is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * _PER_UNIT["day"] + since.seconds * _PER_UNIT["s"] + since.microseconds


def check_timestamps(array: pa.Array, latest: int) -> tuple[Microseconds, Codes]:
    """Microseconds since 1970, UTC, of each value, and why a value is refused.

    Parameters
    ----------
    array
        Datetimes of any unit and zone (naive is UTC), dates, ISO 8601 text (naive is UTC, a
        trailing " UTC" is understood), or numbers since 1970: seconds below 1e11,
        milliseconds below 1e14, microseconds below 1e17, else nanoseconds.
    latest
        Last plausible microsecond.
    """
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False))
    codes = no_reason(len(array))
    kind = kind_of(array.type)
    if kind == "text":
        text, invalid = decoded(array)
        mark(codes, Reason.INVALID_UTF8, invalid)
        values, readable = _of_text(text)
    elif kind in ("datetime", "date"):
        values, readable = _of_datetime(array), present
    elif kind == "integer":
        # An unsigned value beyond int64 wraps to a negative one and is refused as old.
        values, readable = _of_integers(_filled(array.cast(pa.int64(), safe=False))), present
    else:
        numbers = np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False))
        values, readable = _of_floats(numbers), np.isfinite(numbers)
    mark(codes, Reason.UNREADABLE_TIMESTAMP, ~readable)
    mark(codes, Reason.OLD_TIMESTAMP, values < EARLIEST)
    mark(codes, Reason.FUTURE_TIMESTAMP, values > latest)
    return values, codes


def _of_datetime(array: pa.Array) -> Microseconds:
    if pa.types.is_date32(array.type):
        unit, array = "day", array.cast(pa.int32())
    else:
        unit = "ms" if pa.types.is_date64(array.type) else array.type.unit
    values = _filled(array.cast(pa.int64()))
    if unit == "ns":
        return values // 1_000
    # Far outside the plausible range and yet far from overflow.
    bound = 2**62 // _PER_UNIT[unit]
    return np.asarray(np.clip(values, -bound, bound) * _PER_UNIT[unit])


def _of_integers(values: npt.NDArray[np.int64]) -> Microseconds:
    seconds, millis, micros = (np.abs(values) < bound for bound in _BELOW)
    scaled = np.where(micros, values, values // 1_000)
    np.copyto(scaled, values * 1_000, where=millis)
    np.copyto(scaled, values * 1_000_000, where=seconds)
    return scaled


def _of_floats(values: npt.NDArray[np.float64]) -> Microseconds:
    finite = np.nan_to_num(values, nan=0.0).clip(-9e18, 9e18)
    factor = np.select([np.abs(finite) < bound for bound in _BELOW], [1e6, 1e3, 1.0], 1e-3)
    return np.asarray(np.rint(finite * factor), np.int64)


def _of_text(text: pa.Array) -> tuple[Microseconds, Mask]:
    text = pc.replace_substring(pc.utf8_trim_whitespace(text), " UTC", "Z")
    # Digits beyond the microsecond, which Arrow's cast would refuse.
    text = pc.replace_substring_regex(text, r"(:\d\d\.\d{6})\d+", r"\1")
    values = np.zeros(len(text), np.int64)
    readable = np.zeros(len(text), np.bool_)
    forms: tuple[tuple[str, Any], ...] = (
        (_NAIVE, lambda rows: _of_datetime(rows.cast(pa.timestamp("us")))),
        (_ZONED, lambda rows: _of_datetime(rows.cast(pa.timestamp("us", "UTC")))),
        (_INTEGER, lambda rows: _of_integers(_filled(rows.cast(pa.int64())))),
        (_FLOAT, lambda rows: _of_floats(rows.cast(pa.float64()).to_numpy())),
    )
    for pattern, parse in forms:
        if readable.all():
            break
        matches = pc.match_substring_regex(text, pattern).fill_null(False)
        rows = np.asarray(matches.to_numpy(zero_copy_only=False))
        values[rows] = parse(text.filter(matches))
        readable |= rows
    return values, readable


def _filled(array: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(array.fill_null(0).to_numpy(zero_copy_only=False))
