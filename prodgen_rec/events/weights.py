"""Event weights as a caller passes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from prodgen_rec.errors import ConfigError


def checked_weights(event_weights: Mapping[str, float]) -> dict[str, float]:
    """Copy of the weights, every name a non-empty str and every weight finite.

    Raises
    ------
    ConfigError
        There are no weights, a name is no text, or a weight is not a finite number.
    """
    if not event_weights:
        raise ConfigError("event_weights is empty; expected at least one, such as {'purchase': 1}")
    weights: dict[Any, Any] = dict(event_weights)  # whatever a caller made of the types
    for name, weight in weights.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(f"event_weights has the name {name!r}; expected non-empty text")
        if not isinstance(weight, Real) or not math.isfinite(weight):
            raise ConfigError(f"event_weights[{name!r}] is {weight!r}; expected a finite number")
    return {name: float(weight) for name, weight in weights.items()}
