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


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[str, ...]


Space = Mapping[str, Range | Choice]
"""Names of hyper-parameters to what they may be."""
