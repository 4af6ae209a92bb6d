"""A page of figures and grids of pictures: what an evaluation found, for people to read."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from prodgen_rec.display._pages import write_page
from prodgen_rec.display.grids import check_images
from prodgen_rec.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class ReportSection:
    """A part of a report: words, plots, a table, rows of pictures; any may be missing.

    Parameters
    ----------
    heading
        What it is about.
    note
        How to read it.
    table
        Rows with the same columns in the same order, column to text. The first column names the
        row.
    intervals
        Name of a row of the table to value, low and high. They are drawn beside the rows, all
        on one scale.
    terms
        A word of the table to what it means, in a sentence.
    pictures
        Label to pictures uint8, shape (n, height, width, 3), one row each. Pictures of one
        place stand under each other.
    plots
        What a plot shows, in words for those who cannot see it, to the plot. They stand side by
        side where there is room.
    words
        Columns of the table that hold words and no figures: they begin at the left.
    made
        Names and labels of the rows that are about generated pictures; they are marked.

    Raises
    ------
    InputError
        Rows of the table differ in their columns, an interval is out of order or belongs to no
        row, a row that is marked as made is not there, or a row of pictures is not uint8 RGB.
    """

    heading: str
    note: str = ""
    table: Sequence[Mapping[str, str]] = ()
    intervals: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    made: Collection[str] = ()
    plots: Mapping[str, Figure] = field(default_factory=dict)
    words: Collection[str] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.table, 1):
            if list(row) != list(self.table[0]):
                raise InputError(
                    f"section {self.heading!r}: row {number} of the table has the columns "
                    f"{list(row)}, the first has {list(self.table[0])}"
                )
        names = [next(iter(row.values()), "") for row in self.table]
        self._check_known(self.intervals, names, "intervals")
        self._check_known(self.made, [*names, *self.pictures], "made")
        for name, (value, low, high) in self.intervals.items():
            if not np.isfinite(value) or not -np.inf < low <= high < np.inf:
                raise InputError(
                    f"section {self.heading!r}: the interval of {name!r} is value {value}, low "
                    f"{low}, high {high}; expected finite numbers, low ≤ high"
                )
        for label, images in self.pictures.items():
            check_images(images, f"section {self.heading!r}, row {label!r}")

    def places(self, name: str) -> tuple[float, float, float]:
        """Where value, low and high of an interval lie between all ends, 0 to 100, for styles."""
        ends = [end for one in self.intervals.values() for end in one]
        least, room = min(ends), max(ends) - min(ends)
        value, low, high = (
            round(100 * (end - least) / room, 2) if room else 50.0 for end in self.intervals[name]
        )
        return value, low, high

    def _check_known(self, names: Collection[str], rows: Sequence[str], what: str) -> None:
        unknown = [name for name in names if name not in rows]
        if unknown:
            raise InputError(
                f"section {self.heading!r}: {what} has {unknown}, which is no row; "
                f"the rows are {list(rows)}"
            )


def write_report(
    path: str | os.PathLike[str],
    sections: Sequence[ReportSection],
    *,
    title: str,
    note: str = "",
    summary: Mapping[str, str] | None = None,
) -> Path:
    """Write a report as one self-contained HTML page, whole or not at all.

    Parameters
    ----------
    path
        The page; its folder is made if need be.
    sections
        In the order of the page, at least one.
    title, note
        Heading, and a sentence or two under it: what was measured, when, on what.
    summary
        The figures that matter most, label to text.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        There are no sections.
    """
    if not sections:
        raise InputError("a report without sections; pass at least one ReportSection")
    return write_page(
        Path(path), "report", title=title, note=note, summary=summary or {}, sections=sections
    )
