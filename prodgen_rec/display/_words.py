"""Figures and tables as a report writes them."""

from __future__ import annotations

import numpy as np
import pandas as pd

NOTHING = "–"
"""Stands where there is no figure."""


def count(value: float) -> str:
    """A whole number."""
    return f"{value:,.0f}"


def number(value: float) -> str:
    """A number of one decimal at most, a dash where there is none."""
    return NOTHING if np.isnan(value) else f"{value:,.1f}".removesuffix(".0")


def share(value: float) -> str:
    """A share as a percentage, a dash where there is none.

    Below a tenth it has a decimal, and what is not quite 1 never looks so.
    """
    if np.isnan(value):
        return NOTHING
    if 0 < value < 0.001:
        return f"{100 * value:.2g} %"
    percent = min(100 * value, 99.9) if value < 1 else 100.0
    digits = 1 if 0 < percent < 9.95 or 99 < percent < 100 else 0
    return f"{percent:.{digits}f} %".replace(".0 ", " ")


def rows(name: str, names: pd.Series, columns: dict[str, pd.Series]) -> list[dict[str, str]]:
    """Rows of a table from its columns, the first of which names the rows."""
    texts = zip(names.astype(str), *columns.values(), strict=True)
    return [dict(zip([name, *columns], row, strict=True)) for row in texts]


def spread_of(of: str, columns: dict[str, pd.Series]) -> list[dict[str, str]]:
    """How quantities are spread: mean, and what tenths and half of them stay below."""
    return [
        {
            f"Of a {of.lower()}": name,
            "Mean": number(float(values.mean())),
            "Least tenth up to": number(float(values.quantile(0.1))),
            "Half up to": number(float(values.median())),
            "Nine tenths up to": number(float(values.quantile(0.9))),
            "Most": number(values.max()),
        }
        for name, values in columns.items()
    ]


def days_of(days: float) -> str:
    """A length of time in words."""
    return "one day" if days == 1 else f"{round(days, 1):g} days"
