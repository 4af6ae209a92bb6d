"""Behaviour with planted tastes: who likes what is known, and the log shows it.

Every user has two favourite product types and a favourite color. Nine looks in ten go to these,
the rest to whatever is popular. A look may lead on to a wishlist, a cart, a purchase and a return,
as it does in a shop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from prodgen_rec import columns
from prodgen_rec.datasets.drawing import PRODUCT_TYPES
from prodgen_rec.datasets.palette import COLORS

START: Final = np.datetime64("2025-03-03T00:00:00", "s")
"""First second of every log, UTC; a Monday."""

FIRST_TYPE_SHARE: Final = 0.54
"""Share of a user's looks that go to the first favourite type."""
SECOND_TYPE_SHARE: Final = 0.36
"""Share of a user's looks that go to the second favourite type; the rest goes to anything."""
COLOR_SHARE: Final = 0.8
"""Share of the looks at a favourite type that also go to the favourite color."""

BROKEN_SHARE: Final = 0.005
"""Broken rows per good row in the exported log."""
BREAKAGES: Final[tuple[tuple[str, Any], ...]] = (
    (columns.USER_ID, ""),
    (columns.ITEM_ID, ""),
    (columns.EVENT, "vew"),
    (columns.TIMESTAMP, "yesterday evening"),
    (columns.TIMESTAMP, "2999-12-31T23:59:59Z"),
    (columns.QUANTITY, -1),
)
"""What is broken: a column and the value found in it. All kinds are equally frequent."""

_LOOKS_PER_SESSION = 3
_DAY = 24 * 3600
_WEEKDAY_WEIGHTS = np.array([1.0, 1.0, 1.0, 1.0, 1.2, 1.7, 1.8])
_HOUR_WEIGHTS = np.array(
    [3, 1, 1, 1, 1, 1, 2, 4, 6, 7, 8, 9, 10, 9, 8, 8, 9, 11, 14, 18, 20, 19, 13, 7], dtype=float
)

TYPE: Final = "type"
"""Column: product type of an item."""
COLOR: Final = "color"
"""Column: named color of an item, or the favourite color of a user."""
FIRST_TYPE: Final = "first_type"
"""Column: favourite product type of a user."""
SECOND_TYPE: Final = "second_type"
"""Column: second favourite product type of a user."""

Indices = npt.NDArray[np.int64]


def draw_tastes(n_users: int, *, rng: np.random.Generator) -> pd.DataFrame:
    """Plant the tastes of users.

    Returns
    -------
    One row per user: ``user_id`` (str), ``first_type``, ``second_type`` and ``color`` (names).
    """
    first = rng.integers(len(PRODUCT_TYPES), size=n_users)
    second = (first + rng.integers(1, len(PRODUCT_TYPES), size=n_users)) % len(PRODUCT_TYPES)
    types, colors = np.array(PRODUCT_TYPES), np.array(list(COLORS))
    return pd.DataFrame(
        {
            columns.USER_ID: [f"user-{number:05d}" for number in range(n_users)],
            FIRST_TYPE: types[first],
            SECOND_TYPE: types[second],
            COLOR: colors[rng.integers(len(colors), size=n_users)],
        }
    )


def truth_table(tastes: pd.DataFrame) -> pd.DataFrame:
    """Write tastes as what each user wants.

    Returns
    -------
    Three rows per user, in the order of ``tastes``: ``user_id``, ``attribute`` (``type`` or
    ``color``, as in the item table), ``value``, and ``share`` of the user's looks that are led by
    this taste.
    """
    planted = [
        (FIRST_TYPE, TYPE, FIRST_TYPE_SHARE),
        (SECOND_TYPE, TYPE, SECOND_TYPE_SHARE),
        (COLOR, COLOR, round(COLOR_SHARE * (FIRST_TYPE_SHARE + SECOND_TYPE_SHARE), 2)),
    ]
    wants = [
        pd.DataFrame(
            {
                columns.USER_ID: tastes[columns.USER_ID],
                "attribute": attribute,
                columns.VALUE: tastes[taste],
                "share": share,
            }
        )
        for taste, attribute, share in planted
    ]
    return pd.concat(wants).sort_index(kind="stable", ignore_index=True)


def draw_log(
    items: pd.DataFrame, tastes: pd.DataFrame, *, n_weeks: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Let users with planted tastes loose on the items.

    Parameters
    ----------
    items
        ``item_id``, ``type``, ``color`` and ``price``, one row per item.
    tastes
        As :func:`draw_tastes` returns them.
    n_weeks
        Length of the log. Everybody comes at least once before its last fifth.
    rng
        Decides everything.

    Returns
    -------
    ``user_id``, ``item_id``, ``event``, ``timestamp`` (datetime64[s], UTC), ``quantity`` (int64)
    and ``price`` (float64), in order of time.
    """
    n_looks = rng.lognormal(np.log(18), 0.6, len(tastes)).clip(8, 300).astype(np.int64)
    user = np.repeat(np.arange(len(tastes)), n_looks)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(n_looks) - n_looks, n_looks)
    item = _choose_items(items, tastes.iloc[user], rng)
    repeats = (nth > 0) & (rng.random(len(user)) < 0.08)
    item[repeats] = item[np.flatnonzero(repeats) - 1]
    funnel = _funnel(_look_times(user, nth, n_weeks, rng), rng)
    look, event, second = (np.concatenate(parts) for parts in zip(*funnel, strict=True))
    pieces = 1 + rng.binomial(2, 0.06, len(user))
    paid = items[columns.PRICE].to_numpy()[item] * rng.choice([1.0, 0.8], len(user), p=[0.9, 0.1])
    log = pd.DataFrame(
        {
            columns.USER_ID: tastes[columns.USER_ID].to_numpy()[user[look]],
            columns.ITEM_ID: items[columns.ITEM_ID].to_numpy()[item[look]],
            columns.EVENT: event,
            columns.TIMESTAMP: START + second.astype("timedelta64[s]"),
            columns.QUANTITY: np.where(np.isin(event, ["view", "wishlist"]), 1, pieces[look]),
            columns.PRICE: paid[look].round(2),
        }
    )
    log = log[second < n_weeks * 7 * _DAY]
    return log.sort_values([columns.TIMESTAMP, columns.USER_ID], kind="stable", ignore_index=True)


def exported(log: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Write the log as a shop exports it: times as ISO 8601 text, broken rows in between.

    Returns
    -------
    All rows of the log in their order, plus ``round(BROKEN_SHARE * len(log))`` broken copies of
    some of them, each with one of the :data:`BREAKAGES`.
    """
    text = log.assign(**{columns.TIMESTAMP: iso_text(log[columns.TIMESTAMP])})
    at = np.sort(rng.integers(len(text), size=round(BROKEN_SHARE * len(text))))
    copies = text.iloc[at].copy()
    kind = rng.permutation(len(copies)) % len(BREAKAGES)
    for number, (column, value) in enumerate(BREAKAGES):
        copies.loc[kind == number, column] = value
    order = np.argsort(np.concatenate([np.arange(len(text)), at]), kind="stable")
    return pd.concat([text, copies], ignore_index=True).iloc[order].reset_index(drop=True)


def iso_text(timestamps: pd.Series[Any]) -> npt.NDArray[np.str_]:
    """UTC timestamps as text, such as ``2025-03-03T18:22:05Z``."""
    return np.strings.add(timestamps.to_numpy().astype("datetime64[s]").astype(str), "Z")


def _choose_items(
    items: pd.DataFrame, tastes: pd.DataFrame, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Index of one item per row of tastes; popular items more often (Zipf's law)."""
    kind = _codes(items[TYPE], PRODUCT_TYPES) * len(COLORS) + _codes(items[COLOR], COLORS)
    shelves = np.argsort(kind, kind="stable")
    edges = np.searchsorted(kind[shelves], np.arange(len(PRODUCT_TYPES) * len(COLORS) + 1))
    appeal = 1 / (1 + rng.permutation(len(items))) ** 0.6
    reach = np.concatenate([[0], np.cumsum(appeal[shelves])])
    low, high = _wanted_shelves(tastes, edges, rng)
    # On a line where every item is as long as its appeal, a uniform point picks the item.
    point = reach[low] + rng.random(len(tastes)) * (reach[high] - reach[low])
    found = np.searchsorted(reach, point, side="right") - 1
    return np.asarray(shelves[found.clip(low, high - 1)])


def _wanted_shelves(
    tastes: pd.DataFrame, edges: Indices, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """First and last+1 place, on shelves sorted by type and color, of what each look is after."""
    n_types, n_colors = len(PRODUCT_TYPES), len(COLORS)
    mood = rng.random(len(tastes))
    first = _codes(tastes[FIRST_TYPE], PRODUCT_TYPES)
    second = _codes(tastes[SECOND_TYPE], PRODUCT_TYPES)
    wanted = np.where(mood < FIRST_TYPE_SHARE, first, second) * n_colors
    shelf = wanted + _codes(tastes[COLOR], COLORS)
    # A shop may be too small to have every type in every color: then another color will do.
    color = (rng.random(len(tastes)) < COLOR_SHARE) & (edges[shelf] < edges[shelf + 1])
    low, high = np.where(color, shelf, wanted), np.where(color, shelf + 1, wanted + n_colors)
    anything = mood >= FIRST_TYPE_SHARE + SECOND_TYPE_SHARE
    low, high = np.where(anything, 0, low), np.where(anything, n_types * n_colors, high)
    return edges[low], edges[high]


def _look_times(
    user: Indices, nth: Indices, n_weeks: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Second of every look since the start; looks come in sessions, most of them in evenings."""
    opens = nth % _LOOKS_PER_SESSION == 0
    session = np.cumsum(opens) - 1
    weekdays = np.tile(_WEEKDAY_WEIGHTS, n_weeks)
    day = rng.choice(7 * n_weeks, opens.sum(), p=weekdays / weekdays.sum())
    debut = nth[opens] == 0
    day[debut] %= 7 * (n_weeks - holdout_weeks(n_weeks))
    hour = rng.choice(24, opens.sum(), p=_HOUR_WEIGHTS / _HOUR_WEIGHTS.sum())
    start = day * _DAY + hour * 3600 + rng.integers(3600, size=opens.sum())
    return np.asarray(
        start[session] + nth % _LOOKS_PER_SESSION * 150 + rng.uniform(0, 120, len(user))
    )


def holdout_weeks(n_weeks: int) -> int:
    """How many weeks at the end of a log are held out: a fifth, at least one."""
    return max(1, n_weeks // 5)


def _funnel(
    second: npt.NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[Indices, npt.NDArray[np.str_], npt.NDArray[np.int64]]]:
    """Let looks lead on to more: (look, event, second) of what happened, per kind of event."""
    n = len(second)
    wished = rng.random(n) < 0.07
    carted = rng.random(n) < 0.5
    bought = carted & (rng.random(n) < 0.8)
    returned = bought & (rng.random(n) < 0.06)
    delays = {
        "view": (np.ones(n, dtype=bool), np.zeros(n)),
        "wishlist": (wished, rng.uniform(10, 60, n)),
        "cart": (carted, rng.uniform(20, 120, n)),
        "purchase": (bought, rng.uniform(300, 1200, n)),
        "return": (returned, rng.uniform(3, 14, n) * _DAY),
    }
    return [
        (
            np.flatnonzero(happened),
            np.full(happened.sum(), event),
            (second + delay)[happened].astype(np.int64),
        )
        for event, (happened, delay) in delays.items()
    ]


def _codes(names: pd.Series[Any], known: Iterable[str]) -> Indices:
    return pd.Index(list(known)).get_indexer(pd.Index(names)).astype(np.int64)
