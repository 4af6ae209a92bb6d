"""Plots of the tables of `prodgen_rec.behavior`, one of each: for a page, or for a notebook.

Every function takes a table and, if need be, a path to write the figure to as PNG, whole or not
at all. A table without rows is refused with an `InputError`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from prodgen_rec.columns import EVENT
from prodgen_rec.display._axes import (
    PALE,
    SIZE,
    SMALL,
    as_shares,
    bars,
    dates,
    legend,
    new_axes,
    new_figure,
    percent,
    refuse_empty,
    row_names,
    shortened,
)
from prodgen_rec.figures import FAINT, INK, LINES, style_axes, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_To = str | os.PathLike[str] | None

_COUNTS = (1, 2, 3, 4, 5, 6, 11, 21, 51, 101, np.inf)
_COUNT_NAMES = ("1", "2", "3", "4", "5", "6–10", "11–20", "21–50", "51–100", "101+")
_MINUTES = (0, 1, 5, 10, 30, 60, np.inf)
_MINUTE_NAMES = ("under 1", "1–5", "5–10", "10–30", "30–60", "60+")
_BESIDE: Any = {"textcoords": "offset points", "fontsize": SMALL, "va": "top"}
"""How words stand beside a point."""
_TELLING = 2


def funnel_plot(funnel: pd.DataFrame, path: _To = None) -> Figure:
    """Pairs of a user and an item that had each event, and those of them that were purchased."""
    figure, axes = new_axes(funnel, "Pairs of a user and an item that had each event")
    places, n_pairs = range(len(funnel)), funnel["n_pairs"].to_numpy()
    purchased = (funnel["purchased"].fillna(0) * n_pairs).to_numpy()
    bar: Any = {"height": 0.62}
    color = PALE if purchased.any() else LINES[0]
    axes.barh(places, n_pairs, color=color, label="all", **bar)
    if purchased.any():
        axes.barh(places, purchased, color=LINES[0], label="also purchased", **bar)
    row_names(axes, funnel[EVENT])
    for place, n in zip(places, n_pairs, strict=True):
        axes.annotate(f"{n:,}", (n, place), (5, 0), color=INK, **(_BESIDE | {"va": "center"}))
    axes.set_xlim(0, 1.15 * n_pairs.max())
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    legend(axes)
    return write_figure(figure, path)


def session_size_plot(sessions: pd.DataFrame, path: _To = None) -> Figure:
    """Share of sessions by their number of different items, those with a purchase apart."""
    words = {"x": "different items in the session", "y": "share of sessions"}
    figure, axes = new_axes(sessions, "Sessions by their items", **words)
    bought = sessions["purchased"]
    shares = _binned(sessions["n_items"], _COUNTS, _COUNT_NAMES)
    with_one = _binned(sessions["n_items"].where(bought), _COUNTS, _COUNT_NAMES) * bought.mean()
    rest = "" if bought.all() else "without a purchase"
    bars(axes, shares, color=PALE if bought.any() else LINES[0], label=rest)
    if bought.any():
        axes.bar(range(len(with_one)), with_one, color=LINES[0], width=0.8, label="with a purchase")
    legend(axes)
    return write_figure(figure, path)


def session_length_plot(sessions: pd.DataFrame, path: _To = None) -> Figure:
    """Share of sessions by the time from their first event to their last."""
    words = {"x": "minutes from the first event to the last", "y": "share of sessions"}
    figure, axes = new_axes(sessions, "Sessions by their length", **words)
    bars(axes, _binned(sessions["minutes"], _MINUTES, _MINUTE_NAMES))
    return write_figure(figure, path)


def history_plot(users: pd.DataFrame, path: _To = None) -> Figure:
    """Share of users by their number of different items; of `recency_and_frequency`."""
    words = {"x": "different items of the user", "y": "share of users"}
    return _counts_plot(users, "n_items", "Users by their items", words, path)


def frequency_plot(users: pd.DataFrame, path: _To = None) -> Figure:
    """Share of users by the days on which they came; of `recency_and_frequency`."""
    words = {"x": "days with an event", "y": "share of users"}
    return _counts_plot(users, "n_days", "Users by the days on which they came", words, path)


def recency_plot(users: pd.DataFrame, path: _To = None) -> Figure:
    """Share of users seen in the last days of the log; of `recency_and_frequency`."""
    words = {"x": "days before the last event of the log", "y": "share of all users"}
    figure, axes = new_axes(users, "Users who came in the last days", **words)
    days = np.sort(users["recency_days"].to_numpy())
    shares = np.arange(1, len(days) + 1) / len(days)
    axes.step([0, *days], [0, *shares], where="post", color=LINES[0], linewidth=1.6)
    axes.set_xlim(0, max(float(days[-1]), 1.0))
    as_shares(axes, top=1.02)
    return write_figure(figure, path)


def concentration_plot(popularity: pd.DataFrame, path: _To = None) -> Figure:
    """Share of all pairs that the most popular items have: a Lorenz curve from the top."""
    words = {"x": "share of items, the most popular first", "y": "share of all pairs"}
    figure, axes = new_axes(popularity, "How much the most popular items have", **words)
    shares = np.array([0, *popularity["share"]])
    places = np.linspace(0, 1, len(shares))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(places, shares, color=LINES[0], linewidth=1.6)
    fifth = float(np.interp(0.2, places, shares))
    axes.plot(0.2, fifth, "o", color=LINES[1], markersize=5)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    said = f"20 % of the items: {100 * fifth:.0f} %"
    axes.annotate(said, (0.2, fifth), (8, -4), color=INK, bbox=white, **_BESIDE)
    axes.annotate("all items alike", (0.7, 0.7), (6, -4), color=FAINT, **_BESIDE)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: percent(value))
    as_shares(axes, top=1.02)
    return write_figure(figure, path)


def item_users_plot(popularity: pd.DataFrame, path: _To = None) -> Figure:
    """Share of items by their number of users."""
    words = {"x": "users of the item", "y": "share of items"}
    return _counts_plot(popularity, "n_users", "Items by their users", words, path)


def activity_plot(drift: pd.DataFrame, path: _To = None) -> Figure:
    """Users of each period, those who are new apart."""
    figure, axes = new_axes(drift, "Users of each period", x="start of the period", y="users")
    new = (drift["new_users"].fillna(0) * drift["n_users"]).to_numpy()
    known = drift["n_users"].to_numpy() - new
    places = np.arange(len(drift))
    axes.bar(places, known, color=LINES[0], width=0.8, label="came before")
    axes.bar(places, new, bottom=known, color=PALE, width=0.8, label="new")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    dates(axes, drift["start"])
    legend(axes)
    return write_figure(figure, path)


def change_plot(drift: pd.DataFrame, path: _To = None) -> Figure:
    """Distance of each period from the one before it, and the share of its items that are new."""
    words = {"x": "start of the period", "y": "from 0 to 1"}
    figure, axes = new_axes(drift, "Change from one period to the next", **words)
    lines = {"distance": "distance of what was taken", "new_items": "share of new items"}
    for (name, label), color in zip(lines.items(), LINES, strict=True):
        values = drift[name].to_numpy()[1:]
        places = np.arange(1, len(drift))
        axes.plot(places, values, color=color, linewidth=1.4, marker="o", ms=3, label=label)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(-0.5, len(drift) - 0.5)
    dates(axes, drift["start"])
    legend(axes)
    return write_figure(figure, path)


def coverage_plot(coverage: pd.DataFrame, path: _To = None) -> Figure:
    """Shares of items, events and users that a catalogue knows and can show."""
    figure, axes = new_axes(coverage, "What the catalogue knows and can show")
    places = range(len(coverage))
    axes.barh(places, coverage["in_catalog"], color=PALE, height=0.62, label="in the catalogue")
    axes.barh(places, coverage["with_photo"], color=LINES[0], height=0.62, label="with a photo")
    row_names(axes, coverage["what"])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: percent(value))
    legend(axes)
    return write_figure(figure, path)


def segments_plot(description: pd.DataFrame, path: _To = None) -> Figure:
    """How many times its share among all each telling value has in each of the segments."""
    refuse_empty(description)
    first = description[description["z"] > 0].groupby("segment").head(_TELLING)
    values = list(dict.fromkeys(zip(first["attribute"], first["value"], strict=True)))
    lifts = description.pivot_table(
        index="segment", columns=["attribute", "value"], values="lift", observed=True
    )
    shown = lifts.reindex(columns=pd.MultiIndex.from_tuples(values)).to_numpy()
    figure, axes = new_figure((2 * SIZE[0], 1.5 + 0.32 * len(shown)))
    style_axes(axes, "Share in the segment over share among all: 1 is as often as everybody")
    with np.errstate(divide="ignore"):
        strength = np.clip(np.log2(shown), -2, 2)
    axes.imshow(strength, cmap=_shades(), vmin=-2, vmax=2, aspect="auto")
    for (row, column), lift in np.ndenumerate(shown):
        text = "" if np.isnan(lift) else f"{lift:.1f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=INK)
    names = [shortened(str(value)) for _, value in values]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", parse_math=False)
    axes.set_yticks(range(len(shown)), [f"segment {number + 1}" for number in lifts.index])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    return write_figure(figure, path)


def _counts_plot(
    table: pd.DataFrame, column: str, title: str, words: dict[str, str], path: _To
) -> Figure:
    """Share of rows by a count."""
    figure, axes = new_axes(table, title, **words)
    bars(axes, _binned(table[column], _COUNTS, _COUNT_NAMES))
    return write_figure(figure, path)


def _binned(values: pd.Series, edges: tuple[float, ...], names: tuple[str, ...]) -> pd.Series:
    """Share of the values in each bin, from the first bin to the last that holds any."""
    bins = pd.cut(values, edges, right=False, labels=names)
    shares = bins.value_counts(normalize=True, sort=False).fillna(0)
    return shares.iloc[: int(np.flatnonzero([1, *shares])[-1])]


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("lift", ["#e5a97f", "#ffffff", "#8fb1d3"])
