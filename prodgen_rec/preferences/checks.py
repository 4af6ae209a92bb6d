"""Checks of settings that several recommenders share."""

from __future__ import annotations

from numbers import Integral

from prodgen_rec.errors import ConfigError
from prodgen_rec.preferences.base import Recommender


def check_whole_numbers(recommender: Recommender, **least: int) -> None:
    """Raise a ConfigError unless hyper-parameters are whole numbers, none below its least."""
    for name, lowest in least.items():
        check_whole_number(name, getattr(recommender, name), lowest)


def check_whole_number(name: str, value: object, lowest: int) -> None:
    """Raise a ConfigError unless a setting is a whole number, at least its lowest."""
    if not isinstance(value, Integral) or int(value) < lowest:
        raise ConfigError(f"{name} = {value!r}: expected a whole number, at least {lowest}")


def check_number(name: str, value: object, lowest: float) -> None:
    """Raise a ConfigError unless a setting is a number, at least its lowest; NaN is none."""
    if not isinstance(value, int | float) or not value >= lowest:
        raise ConfigError(f"{name} = {value!r}: expected a number, at least {lowest}")
