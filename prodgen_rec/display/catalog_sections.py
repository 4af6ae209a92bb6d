"""Sections of a report on a log that look its items up in a catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec.catalog import Catalog
from prodgen_rec.columns import ITEM_ID
from prodgen_rec.display._words import NOTHING, count, rows, share
from prodgen_rec.display.behavior_plots import coverage_plot, segments_plot
from prodgen_rec.display.report import ReportSection

_N_TOP = 10
_N_TELLING = 4
_LEAST_Z = 2.0


def top_items_section(
    popularity: pd.DataFrame, n_users: int, catalog: Catalog | None, attributes: list[str]
) -> ReportSection:
    """The items of most users, with what a catalogue says of them and its photos."""
    top = popularity.head(_N_TOP)
    columns = {
        "Users": top["n_users"].map(count),
        "Of all users": (top["n_users"] / n_users).map(share),
        "Events": top["n_events"].map(count),
    }
    pictures = {}
    if catalog is not None:
        place = catalog.items.find(top[ITEM_ID].to_numpy())
        for name in attributes:
            said = catalog.attributes[name].iloc[place].where(place >= 0)
            columns[_heading(name)] = said.map(lambda one: NOTHING if pd.isna(one) else str(one))
        pictures = _photos("Photos", catalog, place)
    return ReportSection(
        "Which items are the most popular?",
        table=rows("Item", top[ITEM_ID], columns),
        pictures=pictures,
        words=[*map(_heading, attributes)],
    )


def coverage_section(coverage: pd.DataFrame, catalog: Catalog) -> ReportSection:
    """How much of the log a catalogue can show."""
    columns = {
        "In the log": coverage["n"].map(count),
        "In the item table": coverage["in_catalog"].map(share),
    }
    shown = {}
    note = f"The item table holds {count(len(catalog.items))} items"
    if catalog.report.n_photos:
        missing = len(catalog.items) - catalog.report.n_photos
        note += f", {count(missing)} of them without a photo" if missing else ", all with a photo"
        columns["With a photo"] = coverage["with_photo"].map(share)
        shown = {"What the catalogue knows and can show": coverage_plot(coverage)}
    names = coverage["what"].str.capitalize().replace("Users", "Users with such an item")
    if not coverage["in_catalog"].any():
        note += (
            ", and none of them is in the log: are their ids written in the same way, zeros in "
            "front of them, too?"
        )
    return ReportSection(
        "Can what happens be shown?",
        note=note if note.endswith("?") else f"{note}.",
        plots=shown,
        table=rows("Of the log", names, columns),
    )


def segments_section(
    users: pd.DataFrame, description: pd.DataFrame, typical: pd.DataFrame, catalog: Catalog
) -> ReportSection:
    """Groups of users with like tastes, and what sets them apart."""
    sizes = users["segment"].value_counts().sort_index()
    told = description[(description["z"] >= _LEAST_Z) & (description["lift"] > 1)]
    words = [
        "; ".join(
            f"{row.value} {share(row.share)} (×{row.lift:.1f})".replace(" %", "\u00a0%")
            for row in told[told["segment"] == segment].head(_N_TELLING).itertuples()
        )
        or "nothing beyond chance"
        for segment in sizes.index
    ]
    columns = {
        "Users": sizes.map(count),
        "Of these users": (sizes / len(users)).map(share),
        "Takes more than others": pd.Series(words, sizes.index),
    }
    pictures: dict[str, Any] = {}
    for segment, items in typical.groupby("segment"):
        place = catalog.items.find(items[ITEM_ID].to_numpy())
        pictures |= _photos(f"Segment {int(str(segment)) + 1}", catalog, place)
    shown = {}
    if (description["z"] > 0).any():
        shown["Lift of telling values by segment"] = segments_plot(description)
    return ReportSection(
        "Which tastes are there?",
        note=f"{count(len(users))} users of several items, in groups whose preference vectors "
        "point the same way, and the words of the item table that set a group apart: their share "
        "of what the group took, and how many times their share of what everybody took.",
        plots=shown,
        table=rows("Segment", pd.Series(sizes.index + 1), columns),
        words=["Takes more than others"],
        pictures=pictures,
    )


def _heading(attribute: str) -> str:
    """Name of the column of an attribute: no other column has it, and a browser can break it."""
    return f"Its {attribute.replace('_', ' ')}"


def _photos(label: str, catalog: Catalog, place: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Photos of the items at some places of a catalogue, -1 for unknown, that have one."""
    rows = catalog.photo_index[place[place >= 0]]
    rows = rows[rows >= 0]
    return {label: np.asarray(catalog.photos[rows])} if len(rows) else {}
