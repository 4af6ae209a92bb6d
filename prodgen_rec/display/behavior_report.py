"""A log in words, tables and plots, before any model: for people to read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prodgen_rec import behavior
from prodgen_rec.catalog import Catalog
from prodgen_rec.columns import EVENT, EVENT_WEIGHTS, TIMESTAMP
from prodgen_rec.display import behavior_sections as sections
from prodgen_rec.display import catalog_sections
from prodgen_rec.display._words import count, share
from prodgen_rec.display.report import ReportSection, write_report
from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.events import Events
from prodgen_rec.interactions import build_interactions
from prodgen_rec.preferences import ALS
from prodgen_rec.segments import taste_segments, typical_items

_DAY = pd.Timedelta(days=1)
_PURCHASE = "purchase"
_MOST_PERIODS = 1000
_FACTORS = 32
_MOST_SEGMENTS, _LEAST_USERS, _LEAST_ITEMS = 8, 25, 3
_FEWEST_VALUES, _MOST_VALUES, _MOST_ATTRIBUTES = 2, 60, 4


@dataclass(frozen=True, eq=False)
class BehaviorReport:
    """What a log says.

    Attributes
    ----------
    figures
        Numbers and rows of tables under names of their own, for scripts; NaN is not known.
    note, summary, sections
        Parts of the page, see `write_report`.
    """

    figures: dict[str, Any]
    note: str
    summary: dict[str, str]
    sections: list[ReportSection]

    def write(self, path: str | os.PathLike[str], *, title: str = "What the log says") -> Path:
        """Write it as one self-contained HTML page, whole or not at all; returns its path."""
        return write_report(path, self.sections, title=title, note=self.note, summary=self.summary)


def behavior_report(
    events: Events,
    catalog: Catalog | None = None,
    *,
    event_weights: Mapping[str, float] = EVENT_WEIGHTS,
    attributes: Sequence[str] | None = None,
    period_days: float | None = None,
    gap_minutes: float = 30.0,
) -> BehaviorReport:
    """Say what a log holds, before anything is learned from it for use.

    Parameters
    ----------
    events
        At least one.
    catalog
        Adds how much of the log it can show and, where there are enough users, segments of like
        tastes. Its photos are shown, if it has any.
    event_weights
        Evidence of one event by name, for the segments.
    attributes
        Columns of the catalogue that describe items. None takes the first few that hold text of 2
        to 60 different values.
    period_days
        Length of the periods that are compared. None takes days, weeks or months of 30 days, by
        the length of the log.
    gap_minutes
        Pause that ends a session.

    Raises
    ------
    InputError
        There are no events.
    ConfigError
        A length is out of range, there are more than 1,000 periods, or the catalogue has no such
        attribute.
    """
    if len(events) == 0:
        raise InputError(f"there are no events in {events!r}; expected at least one")
    names = _attributes(catalog, attributes)
    users, popularity = behavior.recency_and_frequency(events), behavior.popularity(events)
    funnel, visits = behavior.funnel(events), behavior.sessions(events, gap_minutes=gap_minutes)
    times = events.to_pandas()[TIMESTAMP]
    of_days = bool((times == times.dt.floor("D")).all())
    days = _period_days(times, period_days)
    drift = behavior.drift(events, days=days)
    last_days = (times.max() - drift["start"].iloc[-1]) / _DAY + of_days
    figures = _figures(events, users, visits, popularity) | _conversion(funnel)
    parts = [
        sections.reading_section(events.report),
        sections.funnel_section(funnel, len(users)),
        sections.sessions_section(visits, gap_minutes=gap_minutes, of_days=of_days),
        sections.users_section(users),
        sections.repeats_section(figures),
        sections.popularity_section(popularity),
        catalog_sections.top_items_section(popularity, len(users), catalog, names),
        sections.drift_section(drift, days, last_days),
    ]
    tables, shown = {"funnel": funnel, "drift": drift}, {}
    if catalog is not None:
        tables["coverage"] = behavior.photo_coverage(events, catalog)
        parts.append(catalog_sections.coverage_section(tables["coverage"], catalog))
        shown["Events with items of the item table"] = share(
            tables["coverage"]["in_catalog"].iloc[1]
        )
        parts.append(_segments(events, catalog, names, event_weights, tables))
    rows = {name: _records(table) for name, table in tables.items()}
    found: dict[str, Any] = {"log": asdict(events.report), "figures": figures, **rows}
    return BehaviorReport(found, _note(figures, of_days), _summary(figures) | shown, parts)


def _figures(
    events: Events, users: pd.DataFrame, visits: pd.DataFrame, popularity: pd.DataFrame
) -> dict[str, Any]:
    table = events.to_pandas()
    purchases = events.where((table[EVENT] == _PURCHASE).to_numpy())
    buyers = behavior.recency_and_frequency(purchases)
    n_bought = int(buyers["n_items"].sum())
    n_pairs = int(popularity["n_users"].sum())
    return {
        "n_events": len(table),
        "n_users": len(users),
        "n_items": len(popularity),
        "n_pairs": n_pairs,
        "density": n_pairs / (len(users) * len(popularity)),
        "first": table[TIMESTAMP].min().isoformat(),
        "last": table[TIMESTAMP].max().isoformat(),
        "n_sessions": len(visits),
        "sessions_with_purchase": float(visits["purchased"].mean()),
        "users_again": float((users["n_days"] > 1).mean()),
        "users_of_three_items": float((users["n_items"] >= _LEAST_ITEMS).mean()),
        "buyers": len(buyers) / len(users),
        "buyers_again": float((buyers["n_days"] > 1).mean()),
        "pairs_again": int(buyers["n_repeated"].sum()) / n_bought if n_bought else np.nan,
        "gini": behavior.gini(popularity),
    }


def _conversion(funnel: pd.DataFrame) -> dict[str, float]:
    views = funnel.loc[funnel[EVENT] == "view", "purchased"]
    return {"viewed_pairs_purchased": float(views.iloc[0]) if len(views) else np.nan}


def _summary(figures: Mapping[str, Any]) -> dict[str, str]:
    """The figures that matter most; those that the log cannot tell are left out."""
    counts = {"Events": "n_events", "Users": "n_users", "Items": "n_items"}
    shares = {
        "Possible pairs of user and item that occur": "density",
        "Viewed pairs that were purchased": "viewed_pairs_purchased",
        "Users who came on more than one day": "users_again",
        f"Users with at least {_LEAST_ITEMS} items": "users_of_three_items",
    }
    told = {text: count(figures[name]) for text, name in counts.items()}
    return told | {
        text: share(figures[name]) for text, name in shares.items() if not np.isnan(figures[name])
    }


def _note(figures: Mapping[str, Any], of_days: bool) -> str:
    first, last = (pd.Timestamp(figures[name]).strftime("%Y-%m-%d") for name in ("first", "last"))
    span = f"of {first}" if first == last else f"from {first} to {last}"
    return f"A behaviour log {span}{', in days' if of_days else ''}, before any model."


def _period_days(times: pd.Series, wanted: float | None) -> float:
    """What is wanted; otherwise days, weeks or months, by how many of them the log has."""
    span = (times.max() - times.min()) / _DAY
    if wanted is not None:
        if span > _MOST_PERIODS * wanted:
            raise ConfigError(
                f"period_days = {wanted:g}: the log is of {span:,.0f} days, which makes more than "
                f"{_MOST_PERIODS:,} periods; expected longer ones"
            )
        return wanted
    return 1.0 if span < 28 else 7.0 if span < 400 else 30.0


def _attributes(catalog: Catalog | None, wanted: Sequence[str] | None) -> list[str]:
    if catalog is None:
        return []
    table = catalog.attributes
    for name in wanted or ():
        if name not in table:
            raise ConfigError(f"the catalogue has no attribute {name!r}; it has {list(table)}")
    if wanted is not None:
        return list(wanted)
    texts = table.select_dtypes(["object", "string", "category", "bool"])
    n_values = texts.astype(str).nunique()
    fitting = texts.columns[n_values.between(_FEWEST_VALUES, _MOST_VALUES)]
    return [str(name) for name in fitting[:_MOST_ATTRIBUTES]]


def _segments(
    events: Events,
    catalog: Catalog,
    attributes: list[str],
    event_weights: Mapping[str, float],
    tables: dict[str, pd.DataFrame],
) -> ReportSection:
    """Segments of users with enough items; where there are none, why."""
    history = build_interactions(events, event_weights=event_weights)
    n_taken = np.diff((history.matrix > 0).tocsr().indptr)
    known = history.users.take(np.flatnonzero(n_taken >= _LEAST_ITEMS))
    n_segments = min(_MOST_SEGMENTS, len(known) // _LEAST_USERS)
    if not attributes:
        why = (
            f"the item table has no column of {_FEWEST_VALUES} to {_MOST_VALUES} different words "
            "to describe them with"
        )
    elif n_segments < 2:
        why = (
            f"{len(known):,} users took {_LEAST_ITEMS} items or more, and at least "
            f"{2 * _LEAST_USERS} are needed"
        )
    elif not tables["coverage"]["in_catalog"].iloc[0]:
        why = "the item table knows no item of the log"
    else:
        recommender = ALS(_FACTORS).fit(history.for_users(known))
        found = taste_segments(recommender, catalog, attributes, n_segments=n_segments)
        tables["segments"] = found.description
        typical = typical_items(recommender, found.users)
        return catalog_sections.segments_section(found.users, found.description, typical, catalog)
    return ReportSection("Which tastes are there?", note=f"Not looked for: {why}.")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    times = table.select_dtypes("datetimetz").columns
    texts = {name: table[name].map(pd.Timestamp.isoformat) for name in times}
    return table.assign(**texts).to_dict("records")  # type: ignore[return-value]
