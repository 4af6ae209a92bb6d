"""Attributes in words, such as a type or a country, and the codes that stand for their values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.errors import ConfigError, InputError

Codes = npt.NDArray[np.int32]

UNSAID = -1
"""Code of an attribute that something does not have, or that nobody asked for."""
_MOST_VALUES = 512


@dataclass(frozen=True)
class Vocabulary:
    """Some attributes, and the values of each.

    Attributes
    ----------
    values
        Names of attributes to their values; the place of a value is its code.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pd.DataFrame, names: Iterable[str], what: str = "items") -> Self:
        """The values that some columns of a table hold.

        Parameters
        ----------
        table
            One row for each of what is described; empty cells say nothing.
        names
            Of the columns.
        what
            Name of what is described in error messages, in the plural.

        Raises
        ------
        ConfigError
            There is no such column, or it holds more than 512 values, as a title or a price does.
        """
        values = {}
        for name in names:
            column = _column(table, name, what)
            found = sorted(set(_texts(column)) - {""})
            if not 1 <= len(found) <= _MOST_VALUES:
                raise ConfigError(
                    f"the attribute {name!r} has {len(found):,} different values in {len(table):,} "
                    f"{what}; expected 1 to {_MOST_VALUES}: group them, or name another"
                )
            values[name] = tuple(found)
        return cls(values)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each attribute."""
        return tuple(map(len, self.values.values()))

    def codes(self, table: pd.DataFrame, what: str = "items") -> Codes:
        """Codes of a table, -1 where it says nothing or a value that is not known.

        Returns
        -------
        int32 (n_rows, n_attributes).

        Raises
        ------
        ConfigError
            The table lacks a column.
        """
        codes = np.full((len(table), len(self.values)), UNSAID, np.int32)
        for place, (name, values) in enumerate(self.values.items()):
            texts = _texts(_column(table, name, what))
            codes[:, place] = pd.Index(values).get_indexer(pd.Index(texts))
        return codes

    def decoded(self, codes: npt.NDArray[np.integer[Any]]) -> pd.DataFrame:
        """A table of values, from codes (n_rows, n_attributes); None where nothing is said."""
        columns = {}
        for place, (name, values) in enumerate(self.values.items()):
            texts = np.array([*values, None], dtype=object)  # the last one is that of -1
            columns[name] = texts[codes[:, place]]
        return pd.DataFrame(columns, dtype=object)

    def asked(self, wanted: Mapping[str, str]) -> Codes:
        """Codes int32 (n_attributes,) of what somebody asks for, -1 where anything will do.

        Raises
        ------
        InputError
            The attribute is not one of these, or no item had that value; names it.
        """
        codes = np.full(len(self.values), UNSAID, np.int32)
        for name, value in wanted.items():
            if name not in self.values:
                raise InputError(
                    f"pictures cannot be asked for by {name!r}: the image model was trained "
                    f"without it; {_offer(name, list(self.values))}"
                )
            values = self.values[name]
            if value not in values:
                raise InputError(f"no item had {name} = {value!r}; {_offer(str(value), values)}")
            codes[list(self.values).index(name)] = values.index(value)
        return codes

    def checked(self, codes: npt.NDArray[Any] | None, n: int) -> Codes:
        """Codes int32 (n, n_attributes); None says nothing about any row.

        Raises
        ------
        InputError
            The shape is another one, or a code is out of range; names the row.
        """
        shape = (n, len(self.values))
        if codes is None:
            return np.full(shape, UNSAID, np.int32)
        if codes.shape != shape or codes.dtype.kind != "i":
            raise InputError(f"codes must be integers {shape}, got {codes.dtype} {codes.shape}")
        bad = np.flatnonzero(((codes < UNSAID) | (codes >= np.array(self.sizes))).any(axis=1))
        if len(bad):
            raise InputError(
                f"codes: row {bad[0]} is {codes[bad[0]].tolist()}; expected {UNSAID}, or 0 up to "
                f"below {list(self.sizes)}"
            )
        return codes.astype(np.int32)


def _column(table: pd.DataFrame, name: str, what: str) -> pd.Series[Any]:
    if name not in table:
        known = list(map(str, table.columns))
        raise ConfigError(f"the table of {what} has no column {name!r}; {_offer(name, known)}")
    return table[name]


def _texts(column: pd.Series[Any]) -> list[str]:
    """Values as text, empty where there is none."""
    return [
        "" if missing else _text(value)
        for value, missing in zip(column, column.isna(), strict=True)
    ]


def _text(value: Any) -> str:
    """A value as text; whole numbers are the same in a table with empty cells and in another."""
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _offer(wanted: str, there: Iterable[str]) -> str:
    """Advice that names what comes nearest."""
    there = list(there)
    if not there:
        return "it was trained without any: name columns of the catalogue in attributes, and fit"
    near = difflib.get_close_matches(wanted, there, n=3, cutoff=0.4) or there[:5]
    return f"near it: {', '.join(map(repr, near))}, of {len(there)}"
