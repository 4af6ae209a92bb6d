"""Checks of hyper-parameters that several recommenders share."""

from __future__ import annotations

from numbers import Integral

from prodgen_rec.errors import ConfigError
from prodgen_rec.preferences.base import Recommender


def check_whole_numbers(recommender: Recommender, **least: int) -> None:
    """Raise a ConfigError unless hyper-parameters are whole numbers, none below its least."""
    for name, lowest in least.items():
        value = getattr(recommender, name)
        if not isinstance(value, Integral) or value < lowest:
            raise ConfigError(f"{name} = {value!r}: expected a whole number, at least {lowest}")
