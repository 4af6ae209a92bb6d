"""A shop in which the truth is known: items with photos, a behaviour log, and planted tastes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from prodgen_rec import columns
from prodgen_rec.datasets import behavior
from prodgen_rec.datasets.drawing import PRODUCT_TYPES, draw_photo
from prodgen_rec.datasets.palette import COLORS
from prodgen_rec.datasets.patterns import PATTERNS
from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.storage import atomic_folder

PHOTO_SIZE: Final = 96
"""Edge of the photos in pixels; larger than what image models are trained on by default."""

_PATTERN_SHARES = {"solid": 0.48, "stripes": 0.14, "dots": 0.14, "check": 0.12, "block": 0.12}
_PATTERN_WORDS = {"stripes": "striped", "dots": "dotted", "check": "checked", "block": "two-tone"}
# Shops put markup, quotes and commas into titles; whoever shows them has to escape them.
_TITLES = (
    '{title} "Marina"',
    "<b>New:</b> {title}",
    "{title}, mended & loved",
    "{title} – l'été",
)
_PRICES = {
    "tee": 19,
    "dress": 59,
    "trousers": 49,
    "sneaker": 79,
    "hat": 35,
    "watch": 149,
    "bag": 89,
    "backpack": 75,
    "umbrella": 29,
    "mug": 14,
    "lamp": 69,
    "chair": 129,
}
"""Median price of every product type."""


@dataclass(frozen=True, eq=False)
class Shop:
    """A synthetic shop in memory.

    Parameters
    ----------
    items
        ``item_id`` (str), ``type``, ``color``, ``pattern``, ``price`` and ``title``.
    photos
        uint8 RGB, shape (n_items, size, size, 3), in the order of the items.
    events
        The log up to the holdout, as exported: with text timestamps and broken rows.
    holdout
        The weeks after the log, of the same users, without broken rows.
    truth
        The planted tastes, three rows per user: ``user_id``, ``attribute`` (``type`` twice, best
        first, and ``color``), ``value``, and ``share`` of the user's looks that it leads.
    """

    items: pd.DataFrame
    photos: npt.NDArray[np.uint8]
    events: pd.DataFrame
    holdout: pd.DataFrame
    truth: pd.DataFrame


@dataclass(frozen=True)
class ShopFiles:
    """Where the files of a written shop are.

    Parameters
    ----------
    folder
        What :func:`write_shop` wrote.
    """

    folder: Path

    @property
    def events(self) -> Path:
        """The behaviour log up to the holdout, CSV."""
        return self.folder / "events.csv"

    @property
    def holdout(self) -> Path:
        """The behaviour after the log, CSV with the same columns."""
        return self.folder / "holdout.csv"

    @property
    def items(self) -> Path:
        """The item table, CSV."""
        return self.folder / "items.csv"

    @property
    def photos(self) -> Path:
        """Folder of one JPEG per item, named by its id."""
        return self.folder / "photos"

    @property
    def truth(self) -> Path:
        """The planted tastes, CSV."""
        return self.folder / "truth.csv"


def make_shop(
    *,
    n_items: int = 1200,
    n_users: int = 1500,
    n_weeks: int = 10,
    photo_size: int = PHOTO_SIZE,
    seed: int = 0,
) -> Shop:
    """Make a synthetic shop.

    Parameters
    ----------
    n_items
        At least one per product type.
    n_users
        At least 1.
    n_weeks
        Length of the log with its holdout, at least 2; the last fifth is held out.
    photo_size
        Edge of the photos in pixels, at least 16.
    seed
        The same seed makes the same shop.

    Raises
    ------
    ConfigError
        A number is too small.

    Examples
    --------
    >>> shop = make_shop(n_items=24, n_users=10, photo_size=32)
    >>> shop.photos.shape
    (24, 32, 32, 3)
    """
    _check_at_least(len(PRODUCT_TYPES), n_items=n_items)
    _check_at_least(1, n_users=n_users)
    _check_at_least(2, n_weeks=n_weeks)
    items_rng, tastes_rng, log_rng, export_rng = (_stream(seed, i) for i in range(4))
    items = _draw_items(n_items, items_rng)
    tastes = behavior.draw_tastes(n_users, rng=tastes_rng)
    log = behavior.draw_log(items, tastes, n_weeks=n_weeks, rng=log_rng)
    train_weeks = n_weeks - behavior.holdout_weeks(n_weeks)
    held_out = log[columns.TIMESTAMP] >= behavior.START + np.timedelta64(train_weeks, "W")
    holdout = log[held_out].reset_index(drop=True)
    holdout[columns.TIMESTAMP] = behavior.iso_text(holdout[columns.TIMESTAMP])
    return Shop(
        items=items,
        photos=_draw_photos(items, photo_size, seed),
        events=behavior.exported(log[~held_out], rng=export_rng),
        holdout=holdout,
        truth=behavior.truth_table(tastes),
    )


def write_shop(
    folder: str | Path,
    *,
    n_items: int = 1200,
    n_users: int = 1500,
    n_weeks: int = 10,
    seed: int = 0,
) -> ShopFiles:
    """Make a synthetic shop and write it as the files that a shop would hand over.

    A few photos are missing and a few end in the middle, as in a real export. The folder appears
    complete or not at all.

    Parameters
    ----------
    folder
        Where to write; it must be new or empty.
    n_items, n_users, n_weeks, seed
        See :func:`make_shop`. The same values give the same bytes.

    Raises
    ------
    InputError
        The folder holds something already.
    ConfigError
        A number is too small.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; name a new folder, or delete this one first")
    shop = make_shop(n_items=n_items, n_users=n_users, n_weeks=n_weeks, seed=seed)
    with atomic_folder(folder) as partial:
        _write_files(shop, ShopFiles(partial), _stream(seed, 5))
    return ShopFiles(folder)


def _stream(seed: int, *path: int) -> np.random.Generator:
    """Random numbers for one purpose, independent of those for any other."""
    return np.random.default_rng([seed, *path])


def _check_at_least(least: int, **given: int) -> None:
    for name, value in given.items():
        if value < least:
            raise ConfigError(f"{name} is {value}; a shop needs at least {least}")


def _draw_photos(items: pd.DataFrame, size: int, seed: int) -> npt.NDArray[np.uint8]:
    looks = zip(items[behavior.TYPE], items[behavior.COLOR], items["pattern"], strict=True)
    return np.stack(
        [
            draw_photo(kind, color, pattern, rng=_stream(seed, 4, number), size=size)
            for number, (kind, color, pattern) in enumerate(looks)
        ]
    )


def _draw_items(n_items: int, rng: np.random.Generator) -> pd.DataFrame:
    # Types take turns, and every type goes through all colors before one of them comes again.
    round_, kind = np.divmod(np.arange(n_items), len(PRODUCT_TYPES))
    palettes = [rng.permutation(list(COLORS)) for _ in PRODUCT_TYPES]
    types = [PRODUCT_TYPES[k] for k in kind]
    colors = [str(palettes[k][r % len(COLORS)]) for k, r in zip(kind, round_, strict=True)]
    patterns = rng.choice(PATTERNS, n_items, p=[_PATTERN_SHARES[name] for name in PATTERNS])
    prices = np.array([_PRICES[name] for name in types]) * rng.lognormal(0, 0.25, n_items)
    looks = zip(patterns, colors, types, strict=True)
    return pd.DataFrame(
        {
            columns.ITEM_ID: [f"SKU-{number:05d}" for number in range(n_items)],
            behavior.TYPE: types,
            behavior.COLOR: colors,
            "pattern": patterns,
            columns.PRICE: np.floor(prices) + 0.95,
            "title": [_title(number, *look) for number, look in enumerate(looks)],
        }
    )


def _title(number: int, pattern: str, color: str, product_type: str) -> str:
    """Name an item; every tenth gets a title that has to be escaped somewhere."""
    plain = f"{_PATTERN_WORDS.get(pattern, '')} {color} {product_type}".strip().capitalize()
    turn, plain_one = divmod(number, 10)
    return plain if plain_one else _TITLES[turn % len(_TITLES)].format(title=plain)


def _write_files(shop: Shop, files: ShopFiles, rng: np.random.Generator) -> None:
    files.photos.mkdir()
    _write_photos(shop, files.photos, rng)
    for table, file in (
        (shop.items, files.items),
        (shop.events, files.events),
        (shop.holdout, files.holdout),
        (shop.truth, files.truth),
    ):
        table.to_csv(file, index=False, lineterminator="\n", encoding="utf-8")


def _write_photos(shop: Shop, folder: Path, rng: np.random.Generator) -> None:
    n_items = len(shop.items)
    n_missing, n_truncated = max(1, n_items // 240), max(1, n_items // 600)
    unlucky = rng.permutation(n_items)[: n_missing + n_truncated]
    for number, item_id in enumerate(shop.items[columns.ITEM_ID]):
        if number in unlucky[:n_missing]:
            continue
        file = folder / f"{item_id}.jpg"
        Image.fromarray(shop.photos[number]).save(file, quality=92, subsampling=0)
        if number in unlucky[n_missing:]:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
