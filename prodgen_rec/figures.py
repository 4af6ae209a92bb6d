"""Figures as files, and the curves of a training: drawn by it, and shown by reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from prodgen_rec.errors import InputError
from prodgen_rec.storage import atomic_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 128
_PER_ROW = 3
_WIDTH, _HEIGHT = 3.4, 2.4  # of a panel, in inches
_INK, _FAINT, _GRID = "#1f2328", "#57606a", "#d8dee4"
_LINES = ("#2f5d8c", "#c2703d")


def write_figure(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Give back a figure, written as PNG where there is a path, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    if path is not None:
        with atomic_file(os.fspath(path)) as temporary, temporary.open("wb") as file:
            # Unlike savefig, this heeds no user's savefig.* settings, which alter the size.
            canvas.print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return figure


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
    for name, color in zip(values, _LINES, strict=False):
        line = values[name].dropna()
        # A single record is a point; a line through it would be invisible.
        marker = "o" if len(line) == 1 else None
        axes.plot(line.index, line, color=color, linewidth=1.4, marker=marker, label=str(name))
    axes.set_title(title, loc="left", fontsize=10, color=_INK, parse_math=False)
    axes.set_xlabel("step", fontsize=8, color=_FAINT)
    axes.tick_params(labelsize=8, labelcolor=_FAINT, color=_GRID)
    axes.grid(axis="y", color=_GRID, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    if len(values.columns) > 1:
        axes.legend(frameon=False, fontsize=8)
