"""Sections of a report on a log: one question each, in words, plots and figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from prodgen_rec.behavior import gini
from prodgen_rec.columns import EVENT
from prodgen_rec.display import behavior_plots as plots
from prodgen_rec.display._words import NOTHING, count, days_of, rows, share, spread_of
from prodgen_rec.display.report import ReportSection
from prodgen_rec.events import ReadReport

_TOP_SHARES = (0.01, 0.05, 0.2, 0.5)
_N_PERIODS = 12
_WHOLE = 0.95
"""Of a period, from when on it counts as a whole one."""


def reading_section(report: ReadReport) -> ReportSection:
    """What became of the rows of the log."""
    counts = {
        "Rows read": report.n_rows,
        "Good": report.n_good,
        "… of these exact repetitions": report.n_duplicates,
        "Refused": report.n_bad,
    } | {f"… {reason}": n for reason, n in report.reasons.items()}
    alike = "".join(f" Of {name}, {found}." for name, found in report.look_alikes.items())
    return ReportSection(
        "Can the log be read?",
        note="All that follows is of the good rows. A log that knows days alone repeats a row "
        f"where a product was taken twice on a day, so repetitions are kept.{alike}",
        table=[
            {"Rows": name, "How many": count(n), "Share": share(n / report.n_rows)}
            for name, n in counts.items()
        ],
    )


def funnel_section(funnel: pd.DataFrame, n_users: int) -> ReportSection:
    """How far interest goes."""
    note = "A pair is a user and an item that met, however often."
    if len(funnel) == 1:
        note += f" The log holds {funnel[EVENT].iloc[0]} events alone, so nothing leads to another."
    elif "purchase" not in set(funnel[EVENT]):
        note += " The log holds no purchases, so it cannot say what interest leads to."
    columns = {
        "Events": funnel["n_events"].map(count),
        "Users": funnel["n_users"].map(count),
        "Of all users": (funnel["n_users"] / n_users).map(share),
        "Items": funnel["n_items"].map(count),
        "Pairs": funnel["n_pairs"].map(count),
    }
    terms = {}
    if len(funnel) > 1:
        columns["Of the row above"] = funnel["of_previous"].map(share)
        columns["Purchased"] = funnel["purchased"].map(share)
        terms = {
            "Of the row above": "Of the pairs in the row above, how many had this event, too.",
            "Purchased": "Of the pairs of the row, how many were purchased, before or after.",
        }
    return ReportSection(
        "How far does interest go?",
        note=note,
        plots={"Pairs by event": plots.funnel_plot(funnel)} if len(funnel) > 1 else {},
        table=rows("Event", funnel[EVENT], columns),
        terms=terms,
    )


def sessions_section(sessions: pd.DataFrame, *, gap_minutes: float, of_days: bool) -> ReportSection:
    """What a visit looks like."""
    note = (
        "The log knows days and no times, so a session here is all that a user did on one day, and "
        "how long it took is not known."
        if of_days
        else f"A pause of more than {gap_minutes:g} minutes begins a new session."
    )
    bought = share(sessions["purchased"].mean())
    note += f" There are {count(len(sessions))}; {bought} of them hold a purchase."
    shown = {"Sessions by the number of their items": plots.session_size_plot(sessions)}
    spread = {"Events": sessions["n_events"], "Different items": sessions["n_items"]}
    if not of_days:
        shown["Sessions by their minutes"] = plots.session_length_plot(sessions)
        spread["Minutes"] = sessions["minutes"]
    return ReportSection(
        "What does a visit look like?", note=note, plots=shown, table=spread_of("Session", spread)
    )


def users_section(users: pd.DataFrame) -> ReportSection:
    """How often users come, how much they leave behind, and since when they are gone."""
    return ReportSection(
        "How much is known of a user?",
        note="Tastes can be learned of users with several items; those with one or two are served "
        "mostly by what is popular among people like them.",
        plots={
            "Users by the number of their items": plots.history_plot(users),
            "Users by the number of their days": plots.frequency_plot(users),
            "Users who came in the last days of the log": plots.recency_plot(users),
        },
        table=spread_of(
            "User",
            {
                "Events": users["n_events"],
                "Different items": users["n_items"],
                "Days with an event": users["n_days"],
                "Days since the last event": users["recency_days"],
            },
        ),
    )


def repeats_section(figures: dict[str, Any]) -> ReportSection:
    """Who comes back, and for what."""
    told = {
        "Users who came on more than one day": "users_again",
        "Users who purchased": "buyers",
        "Buyers who purchased on more than one day": "buyers_again",
        "Purchased pairs that were purchased again on another day": "pairs_again",
    }
    if np.isnan(figures["buyers_again"]):
        told = dict(list(told.items())[:2])
    return ReportSection(
        "Who comes back?",
        note="Where the last row is high, what users took before is worth showing again.",
        table=[{"Who": text, "Share": share(figures[name])} for text, name in told.items()],
    )


def popularity_section(popularity: pd.DataFrame) -> ReportSection:
    """How interest is spread over the items."""
    found = []
    for part in _TOP_SHARES:
        n = max(1, round(part * len(popularity)))
        covered = float(popularity["share"].iloc[n - 1])
        found.append(
            {
                "Most popular items": f"{100 * part:g} %",
                "Items": count(n),
                "Of all pairs": share(covered),
            }
        )
    return ReportSection(
        "How unequal are items?",
        note="The more the curve bends away from the straight line, the more a few items have of "
        "all that is taken. Items of one or two users can hardly be learned from behaviour.",
        plots={
            "Share of pairs of the most popular items": plots.concentration_plot(popularity),
            "Items by the number of their users": plots.item_users_plot(popularity),
        },
        table=found,
        terms={
            f"Gini {gini(popularity):.2f}": "Inequality in one figure: 0 where all items have as "
            "many users, near 1 where a few have nearly all."
        },
    )


def drift_section(drift: pd.DataFrame, days: float, last_days: float) -> ReportSection:
    """How users and tastes change."""
    note = f"Periods of {days_of(days)}, counted from the day of the first event."
    if len(drift) == 1:
        note += " The log is of one period, so nothing can be compared."
    elif last_days < _WHOLE * days:
        note += (
            f" The last period ends after {days_of(last_days)}: its counts are of that time alone."
        )
    if len(drift) > _N_PERIODS:
        note += f" The table shows the last {_N_PERIODS} of {len(drift)}."
    last = drift.tail(_N_PERIODS)
    shown = {"Users by period": plots.activity_plot(drift)}
    if drift["distance"].notna().any():
        shown["Change between periods"] = plots.change_plot(drift)
    columns = {
        "Events": last["n_events"].map(count),
        "Users": last["n_users"].map(count),
        "New users": last["new_users"].map(share),
        "Items": last["n_items"].map(count),
        "New items": last["new_items"].map(share),
        "Distance": last["distance"].map(
            lambda value: NOTHING if np.isnan(value) else f"{value:.2f}"
        ),
    }
    return ReportSection(
        "Does the shop change?",
        note=note,
        plots=shown,
        table=rows("Period from", last["start"].dt.strftime("%Y-%m-%d"), columns),
        terms={
            "New": "Not seen in the log before; in its first period that is everybody.",
            "Distance": "Jensen-Shannon distance of what was taken from the period before: 0 the "
            "same items as often, 1 no item in common. Few events make it large by chance.",
        },
    )
