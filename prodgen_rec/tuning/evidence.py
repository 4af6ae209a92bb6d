"""What events count for: the settings by which a log becomes interactions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from prodgen_rec.columns import EVENT, TIMESTAMP
from prodgen_rec.events import Events
from prodgen_rec.preferences.space import Range

HALF_LIFE = "half_life_days"
_WEIGHT = "event_weights."
_TIMES_STRONGEST = Range(0.01, 10.0)
"""Weights relative to the strongest event's; above 1, since the given ones may be wrong."""
_TIMES_SPAN = Range(0.01, 8.0)
"""Half-lives relative to the time that the log covers."""
_NO_DECAY = 4.0
"""A longer one is none: the oldest events would count .84 or more."""
_DAY = 86_400_000_000


class Evidence(NamedTuple):
    """See `build_interactions`; of interactions, nothing is left to say."""

    event_weights: Mapping[str, float]
    half_life_days: float | None


class EvidenceSpace:
    """What a search may set of the evidence of a log.

    That is the half-life, and the weight of every event that occurs and counts for a preference
    but the strongest: beside the confidence, their ratios alone matter.

    Parameters
    ----------
    log
        None if nothing may be set.
    given
        What the search starts from.

    Attributes
    ----------
    ranges
        Names of settings to what they may be.
    """

    def __init__(self, log: Events | None, given: Evidence) -> None:
        self.given, self._no_decay = given, math.inf
        self.ranges: dict[str, Range] = {}
        if log is None:
            return
        moments = log.numbers(TIMESTAMP)
        span = float(moments.max() - moments.min()) / _DAY
        self.ranges[HALF_LIFE] = _times(_TIMES_SPAN, span)
        self._no_decay = _NO_DECAY * span
        weights = {name: given.event_weights.get(name, 0.0) for name in _occurring(log)}
        strongest = max(weights, key=lambda name: weights[name])
        for name, weight in weights.items():
            if weight > 0 and name != strongest:
                self.ranges[_WEIGHT + name] = _times(_TIMES_STRONGEST, weights[strongest])

    def start(self) -> dict[str, float]:
        """Settings of what is given, in the range or not."""
        start = {_WEIGHT + name: weight for name, weight in self.given.event_weights.items()}
        if self.ranges:
            longest = self.ranges[HALF_LIFE].high
            start[HALF_LIFE] = min(self.given.half_life_days or longest, longest)
        return start

    def settings(self, drawn: Mapping[str, Any]) -> dict[str, float]:
        """What was drawn of the ranges, a half-life that hardly tells from none as infinite."""
        settings = {name: float(drawn[name]) for name in self.ranges}
        if settings.get(HALF_LIFE, 0.0) > self._no_decay:
            settings[HALF_LIFE] = math.inf
        return settings

    def of(self, settings: Mapping[str, Any]) -> Evidence:
        """The evidence of settings."""
        if not self.ranges:
            return self.given
        weights = {
            name: float(settings.get(_WEIGHT + name, weight))
            for name, weight in self.given.event_weights.items()
        }
        days = settings[HALF_LIFE]
        return Evidence(weights, days if math.isfinite(days) else None)


def _times(factors: Range, unit: float) -> Range:
    return Range(factors.low * unit, factors.high * unit)


def _occurring(events: Events) -> list[str]:
    """Names of the events that a log holds."""
    dictionary, codes = events.codes(EVENT)
    return [str(dictionary[int(code)]) for code in np.unique(codes)]
