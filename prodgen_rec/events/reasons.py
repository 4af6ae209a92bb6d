"""Why a row of a log is refused."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int8]
"""One reason per row, shape (n,): 0 for a good row, else the reason's ``code``."""


class Reason(StrEnum):
    """Why a row is in quarantine; the first check that fails decides."""

    COLUMN_COUNT = "wrong number of columns"
    INVALID_UTF8 = "invalid UTF-8"
    MISSING_ID = "missing id"
    FRACTIONAL_ID = "id is not a whole number"
    UNSAFE_ID = "id holds NUL or exceeds 512 bytes"
    UNKNOWN_EVENT = "unknown event"
    UNREADABLE_TIMESTAMP = "unreadable timestamp"
    OLD_TIMESTAMP = "timestamp before 1990"
    FUTURE_TIMESTAMP = "timestamp in the future"
    BAD_QUANTITY = "quantity is not a number of at least 0"

    @property
    def code(self) -> int:
        """Small positive number of the reason, for arrays."""
        return list(Reason).index(self) + 1

    @classmethod
    def of_code(cls, code: int) -> Reason:
        """Reason with this code."""
        return list(cls)[code - 1]


def no_reason(n: int) -> Codes:
    """Codes of ``n`` good rows."""
    return np.zeros(n, np.int8)


def mark(codes: Codes, reason: Reason, rows: npt.NDArray[np.bool_] | Any) -> None:
    """Give a reason, in place, to those rows of a mask that have none yet."""
    codes[(codes == 0) & rows] = reason.code


def first_failure(checks: Iterable[Codes]) -> Codes:
    """Reason of each row by the first of the checks, in order, that it fails."""
    first, *others = checks
    result = first.copy()
    for codes in others:
        np.copyto(result, codes, where=result == 0)
    return result
