"""Axes of plots in reports, all of one look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from prodgen_rec.errors import InputError
from prodgen_rec.figures import FAINT, LINES, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, _DPI = (4.8, 2.8), 160
"""Inches of a plot: two stand side by side."""
SMALL = 8
"""Points of all words but titles."""
PALE = "#b9cbdd"
"""Color of the rest, beside the main thing."""
_MOST_DATES = 5
_LONGEST_NAME = 22


def new_axes(table: pd.DataFrame, title: str, *, x: str = "", y: str = "") -> tuple[Figure, Axes]:
    """Axes of the usual size for a plot of a table, which has rows."""
    refuse_empty(table)
    figure, axes = new_figure(SIZE)
    style_axes(axes, title, x=x, y=y)
    return figure, axes


def refuse_empty(table: pd.DataFrame) -> None:
    """Refuse a table without rows.

    Raises
    ------
    InputError
        Names its columns.
    """
    if table.empty:
        raise InputError(f"a plot of a table without rows; its columns are {list(table.columns)}")


def new_figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure of so many inches, and its axes."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(size, dpi=_DPI, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    return figure, figure.subplots()


def bars(axes: Axes, shares: pd.Series, *, color: str = LINES[0], label: str = "") -> None:
    """Upright bars of shares, named by their index."""
    axes.bar(list(shares.index), shares.to_numpy(), color=color, width=0.8, label=label)
    axes.set_xlim(-0.6, max(len(shares), 5) - 0.4)
    as_shares(axes)


def as_shares(axes: Axes, top: float | None = None) -> None:
    """Write the upright axis in percent, from 0."""
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: percent(value))


def percent(share: float) -> str:
    """A share in percent, with as few digits as say it."""
    return f"{round(100 * share, 1):g} %"


def row_names(axes: Axes, names: pd.Series) -> None:
    """Names of horizontal bars, the first at the top."""
    texts = [shortened(str(name)) for name in names]
    axes.set_yticks(range(len(texts)), texts, parse_math=False)
    axes.set_ylim(len(texts) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)


def dates(axes: Axes, starts: pd.Series) -> None:
    """Dates under some of the bars, evenly."""
    places = np.arange(0, len(starts), -(-len(starts) // _MOST_DATES))
    axes.set_xticks(places, starts.iloc[places].dt.strftime("%Y-%m-%d"))


def legend(axes: Axes) -> None:
    """Say under the axes what the colors are, where there is more than one."""
    if len(axes.get_legend_handles_labels()[1]) < 2:
        return
    axes.figure.legend(
        loc="outside lower right", ncols=2, frameon=False, fontsize=SMALL, labelcolor=FAINT
    )


def shortened(text: str) -> str:
    """One line of text, cut where it would take too much room."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"
