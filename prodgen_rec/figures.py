"""Figures of one look, as files, and the curves of a training: drawn by it, shown by reports."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from io import BytesIO
from math import ceil
from typing import TYPE_CHECKING, BinaryIO

from prodgen_rec.errors import InputError
from prodgen_rec.storage import atomic_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 128
_PER_ROW = 3
_WIDTH, _HEIGHT = 3.4, 2.4  # of a panel, in inches
INK, FAINT, GRID = "#1f2328", "#57606a", "#d8dee4"
"""Colors of titles, of other words, and of lines in the background."""
LINES = ("#2f5d8c", "#c2703d")
"""Colors of what is shown, the main thing first."""


def write_figure(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Give back a figure, written as PNG where there is a path, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    if path is not None:
        with atomic_file(os.fspath(path)) as temporary, temporary.open("wb") as file:
            _print(figure, file)
    return figure


def png_of(figure: Figure) -> bytes:
    """A figure as PNG, the same bytes each time."""
    encoded = BytesIO()
    _print(figure, encoded)
    return encoded.getvalue()


def _print(figure: Figure, file: BinaryIO) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with warnings.catch_warnings():
        # Names in a log may be in a script that the font lacks: it draws a box in their place.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font")
        # Unlike savefig, this heeds no user's savefig.* settings, which alter the size.
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]


def style_axes(axes: Axes, title: str, *, x: str = "", y: str = "") -> None:
    """Give axes the look of all figures: a title at the left, quiet labels and lines."""
    axes.set_title(title, loc="left", fontsize=10, color=INK, parse_math=False)
    axes.set_xlabel(x, fontsize=8, color=FAINT)
    axes.set_ylabel(y, fontsize=8, color=FAINT)
    axes.tick_params(labelsize=8, labelcolor=FAINT, color=GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def training_curves(history: pd.DataFrame, path: str | os.PathLike[str] | None = None) -> Figure:
    """Small multiples of what a training recorded, one panel per quantity.

    Parameters
    ----------
    history
        One row per record: ``step``, or the index where there is no such column, against every
        other numeric column. NaN means not recorded at that step. ``val_x`` is drawn in the
        panel of ``x``.
    path
        Where to write the figure as PNG, whole or not at all. Without one nothing is written.

    Raises
    ------
    InputError
        No numeric column holds a value.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    steps = history["step"] if "step" in history else history.index.to_series()
    recorded = history.select_dtypes("number").drop(columns="step", errors="ignore")
    recorded = recorded.set_axis(steps.to_numpy(), axis=0).dropna(axis=1, how="all")
    if recorded.empty:
        raise InputError(
            f"history has no numeric column with a value; it has {list(history.columns)}, "
            f"{len(history)} rows"
        )
    panels = _panels(list(recorded.columns))
    n_rows = ceil(len(panels) / _PER_ROW)
    n_columns = min(len(panels), _PER_ROW)
    figure = Figure(
        (n_columns * _WIDTH, n_rows * _HEIGHT),
        dpi=_DPI,
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1),
    )
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, (name, lines) in zip(grid, panels.items(), strict=False):
        _draw_curve(axes, name, recorded[lines])
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return write_figure(figure, path)


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    panels: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: name.startswith("val_")):
        base = name.removeprefix("val_")
        panels.setdefault(base if base in panels else name, []).append(name)
    return panels


def _draw_curve(axes: Axes, title: str, values: pd.DataFrame) -> None:
    for name, color in zip(values, LINES, strict=False):
        line = values[name].dropna()
        # A single record is a point; a line through it would be invisible.
        marker = "o" if len(line) == 1 else None
        axes.plot(line.index, line, color=color, linewidth=1.4, marker=marker, label=str(name))
    style_axes(axes, title, x="step")
    if len(values.columns) > 1:
        axes.legend(frameon=False, fontsize=8)
