"""What hyper-parameters may be: the space that a search goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, whole ones if both are; by default on a log scale."""

    low: float
    high: float
    log: bool = True

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[str, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values


Space = Mapping[str, Range | Choice]
"""Names of hyper-parameters to what they may be."""
