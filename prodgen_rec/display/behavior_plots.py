"""Plots of the tables of `prodgen_rec.behavior`, one of each: for a page, or for a notebook.

Every function takes a table and, if need be, a path to write the figure to as PNG, whole or not
at all. A table without rows is refused with an `InputError`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.columns import EVENT
from prodgen_rec.errors import InputError
from prodgen_rec.figures import FAINT, GRID, INK, LINES, style_axes, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_To = str | os.PathLike[str] | None

_SIZE, _DPI = (4.8, 2.8), 160
_SMALL = 8
"""Points of all words but titles."""
_PALE = "#b9cbdd"
_COUNTS = (1, 2, 3, 4, 5, 6, 11, 21, 51, 101, np.inf)
_COUNT_NAMES = ("1", "2", "3", "4", "5", "6–10", "11–20", "21–50", "51–100", "101+")
_MINUTES = (0, 1, 5, 10, 30, 60, np.inf)
_MINUTE_NAMES = ("under 1", "1–5", "5–10", "10–30", "30–60", "60+")
_MOST_DATES = 5
_TELLING = 2
_LONGEST_NAME = 22


def funnel_plot(funnel: pd.DataFrame, path: _To = None) -> Figure:
    """Pairs of a user and an item that had each event."""
    figure, axes = _axes(funnel, "How many pairs of a user and an item had each event")
    n_pairs = funnel["n_pairs"].to_numpy()
    axes.barh(range(len(funnel)), n_pairs, color=LINES[0], height=0.62)
    _row_names(axes, funnel[EVENT])
    _row_figures(axes, n_pairs, [f"{n:,}" for n in n_pairs])
    return write_figure(figure, path)


def session_size_plot(sessions: pd.DataFrame, path: _To = None) -> Figure:
    """Share of sessions by their number of different items."""
    words = {"x": "different items in the session", "y": "share of sessions"}
    figure, axes = _axes(sessions, "Sessions by their items", **words)
    _bars(axes, _binned(sessions["n_items"], _COUNTS, _COUNT_NAMES))
    return write_figure(figure, path)


def session_length_plot(sessions: pd.DataFrame, path: _To = None) -> Figure:
    """Share of sessions by the time from their first event to their last."""
    words = {"x": "minutes from the first event to the last", "y": "share of sessions"}
    figure, axes = _axes(sessions, "Sessions by their length", **words)
    _bars(axes, _binned(sessions["minutes"], _MINUTES, _MINUTE_NAMES))
    return write_figure(figure, path)


def history_plot(users: pd.DataFrame, path: _To = None) -> Figure:
    """Share of users by their number of different items; of `recency_and_frequency`."""
    words = {"x": "different items of the user", "y": "share of users"}
    figure, axes = _axes(users, "Users by their items", **words)
    _bars(axes, _binned(users["n_items"], _COUNTS, _COUNT_NAMES))
    return write_figure(figure, path)


def frequency_plot(users: pd.DataFrame, path: _To = None) -> Figure:
    """Share of users by the days on which they came; of `recency_and_frequency`."""
    words = {"x": "days with an event", "y": "share of users"}
    figure, axes = _axes(users, "Users by the days on which they came", **words)
    _bars(axes, _binned(users["n_days"], _COUNTS, _COUNT_NAMES))
    return write_figure(figure, path)


def recency_plot(users: pd.DataFrame, path: _To = None) -> Figure:
    """Share of users seen in the last days of the log; of `recency_and_frequency`."""
    words = {"x": "last days of the log", "y": "share of all users"}
    figure, axes = _axes(users, "Users who came in the last days", **words)
    days = np.sort(users["recency_days"].to_numpy())
    shares = np.arange(1, len(days) + 1) / len(days)
    axes.step([0, *days], [0, *shares], where="post", color=LINES[0], linewidth=1.6)
    axes.set_xlim(0, max(float(days[-1]), 1.0))
    _as_shares(axes, top=1.02)
    return write_figure(figure, path)


def concentration_plot(popularity: pd.DataFrame, path: _To = None) -> Figure:
    """Share of all pairs that the most popular items have: a Lorenz curve from the top."""
    words = {"x": "share of items, the most popular first", "y": "share of all pairs"}
    figure, axes = _axes(popularity, "How much the most popular items have", **words)
    shares = np.array([0, *popularity["share"]])
    places = np.linspace(0, 1, len(shares))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(places, shares, color=LINES[0], linewidth=1.6)
    fifth = float(np.interp(0.2, places, shares))
    axes.plot(0.2, fifth, "o", color=LINES[1], markersize=5)
    here = {"textcoords": "offset points", "fontsize": _SMALL, "va": "top"}
    axes.annotate(f"20 % of the items: {_percent(fifth)}", (0.2, fifth), (8, -2), color=INK, **here)
    axes.annotate("all items alike", (0.7, 0.7), (6, -4), color=FAINT, **here)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: _percent(value))
    _as_shares(axes, top=1.02)
    return write_figure(figure, path)


def item_users_plot(popularity: pd.DataFrame, path: _To = None) -> Figure:
    """Share of items by their number of users."""
    words = {"x": "users of the item", "y": "share of items"}
    figure, axes = _axes(popularity, "Items by their users", **words)
    _bars(axes, _binned(popularity["n_users"], _COUNTS, _COUNT_NAMES))
    return write_figure(figure, path)


def activity_plot(drift: pd.DataFrame, path: _To = None) -> Figure:
    """Users of each period, those who are new apart."""
    figure, axes = _axes(drift, "Users of each period", x="start of the period", y="users")
    new = (drift["new_users"].fillna(0) * drift["n_users"]).to_numpy()
    known = drift["n_users"].to_numpy() - new
    places = np.arange(len(drift))
    axes.bar(places, known, color=LINES[0], width=0.8, label="came before")
    axes.bar(places, new, bottom=known, color=_PALE, width=0.8, label="new")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _dates(axes, drift["start"])
    _legend(axes)
    return write_figure(figure, path)


def change_plot(drift: pd.DataFrame, path: _To = None) -> Figure:
    """Distance of each period's items from those of the period before, and the share of new ones."""
    words = {"x": "start of the period", "y": "0 none, 1 all"}
    figure, axes = _axes(drift, "Change from one period to the next", **words)
    lines = {"distance": "distance of what was taken", "new_items": "share of new items"}
    for (name, label), color in zip(lines.items(), LINES, strict=True):
        values = drift[name].to_numpy()[1:]
        places = np.arange(1, len(drift))
        axes.plot(places, values, color=color, linewidth=1.4, marker="o", ms=3, label=label)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(-0.5, len(drift) - 0.5)
    _dates(axes, drift["start"])
    _legend(axes)
    return write_figure(figure, path)


def coverage_plot(coverage: pd.DataFrame, path: _To = None) -> Figure:
    """Shares of items, events and users that a catalogue knows and can show."""
    figure, axes = _axes(coverage, "What the catalogue knows and can show")
    places = range(len(coverage))
    axes.barh(places, coverage["in_catalog"], color=_PALE, height=0.62, label="in the catalogue")
    axes.barh(places, coverage["with_photo"], color=LINES[0], height=0.34, label="with a photo")
    _row_names(axes, coverage["what"])
    _row_figures(axes, coverage["in_catalog"], [_percent(one) for one in coverage["with_photo"]])
    _legend(axes)
    return write_figure(figure, path)


def segments_plot(description: pd.DataFrame, path: _To = None) -> Figure:
    """How many times its share among all each telling value has in each of the segments."""
    _refuse_empty(description)
    first = description[description["z"] > 0].groupby("segment").head(_TELLING)
    values = list(dict.fromkeys(zip(first["attribute"], first["value"], strict=True)))
    lifts = description.pivot_table(
        index="segment", columns=["attribute", "value"], values="lift", observed=True
    )
    shown = lifts.reindex(columns=pd.MultiIndex.from_tuples(values)).to_numpy()
    figure, axes = _figure((2 * _SIZE[0], 1.5 + 0.32 * len(shown)))
    style_axes(axes, "How many times its share among all users a value has in a segment")
    with np.errstate(divide="ignore"):
        strength = np.clip(np.log2(shown), -2, 2)
    axes.imshow(strength, cmap=_shades(), vmin=-2, vmax=2, aspect="auto")
    for (row, column), lift in np.ndenumerate(shown):
        text = "" if np.isnan(lift) else f"{lift:.1f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=_SMALL, color=INK)
    names = [_shortened(str(value)) for _, value in values]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", parse_math=False)
    axes.set_yticks(range(len(shown)), [f"segment {number + 1}" for number in lifts.index])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    return write_figure(figure, path)


def _axes(table: pd.DataFrame, title: str, *, x: str = "", y: str = "") -> tuple[Figure, Axes]:
    _refuse_empty(table)
    figure, axes = _figure(_SIZE)
    style_axes(axes, title, x=x, y=y)
    return figure, axes


def _refuse_empty(table: pd.DataFrame) -> None:
    if table.empty:
        raise InputError(f"a plot of a table without rows; its columns are {list(table.columns)}")


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(size, dpi=_DPI, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    return figure, figure.subplots()


def _binned(values: pd.Series, edges: tuple[float, ...], names: tuple[str, ...]) -> pd.Series:
    """Share of the values in each bin, from the first bin to the last that holds any."""
    bins = pd.cut(values, edges, right=False, labels=names)
    shares = bins.value_counts(normalize=True, sort=False)
    return shares.iloc[: int(np.flatnonzero(shares.to_numpy())[-1]) + 1]


def _bars(axes: Axes, shares: pd.Series) -> None:
    axes.bar(list(shares.index), shares.to_numpy(), color=LINES[0], width=0.8)
    axes.set_xlim(-0.6, max(len(shares), 5) - 0.4)
    _as_shares(axes)


def _as_shares(axes: Axes, top: float | None = None) -> None:
    axes.set_ylim(0, top)
    axes.yaxis.set_major_formatter(lambda value, _: _percent(value))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _row_names(axes: Axes, names: pd.Series) -> None:
    """Names of horizontal bars, the first at the top."""
    texts = [_shortened(str(name)) for name in names]
    axes.set_yticks(range(len(texts)), texts, parse_math=False)
    axes.set_ylim(len(texts) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)


def _row_figures(axes: Axes, lengths: npt.NDArray[Any] | pd.Series, texts: list[str]) -> None:
    """What horizontal bars say in figures, at their ends and in place of an axis."""
    for place, (length, text) in enumerate(zip(lengths, texts, strict=True)):
        at = {"textcoords": "offset points", "va": "center", "fontsize": _SMALL}
        axes.annotate(text, (length, place), (5, 0), color=INK, **at)
    axes.set_xlim(0, 1.18 * max(float(np.max(lengths)), 1e-9))
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])


def _dates(axes: Axes, starts: pd.Series) -> None:
    """Dates under some of the bars, evenly."""
    places = np.arange(0, len(starts), -(-len(starts) // _MOST_DATES))
    axes.set_xticks(places, starts.iloc[places].dt.strftime("%Y-%m-%d"))


def _legend(axes: Axes) -> None:
    axes.figure.legend(
        loc="outside lower right", ncols=2, frameon=False, fontsize=_SMALL, labelcolor=FAINT
    )


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("lift", ["#e5a97f", "#ffffff", "#8fb1d3"])


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"
