"""What a personalizer shows its users: history, recommendations and imagined pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prodgen_rec.catalog import Catalog
from prodgen_rec.columns import ITEM_ID, RANK, SIMILARITY, USER_ID, VALUE
from prodgen_rec.display.gallery import GalleryUser, Picture
from prodgen_rec.display.grids import comparison_rows
from prodgen_rec.interactions import Interactions
from prodgen_rec.personalizer import Imagined, Personalizer

_TITLES = ("title", "name", "product_name", "prod_name")
_NO_PHOTO = 245
"""Grey level of the picture of an item without a photo."""


def gallery_users(
    personalizer: Personalizer,
    history: Interactions,
    users: Iterable[Any],
    *,
    n: int = 8,
    seed: int = 0,
    guidance: float | None = None,
) -> list[GalleryUser]:
    """Users as `write_gallery` shows them.

    Parameters
    ----------
    personalizer
        Fitted.
    history
        Holds the users' histories.
    users
        Raw user ids, each once.
    n
        Pictures of each kind.
    seed, guidance
        See `Personalizer.imagine`.
    """
    asked = history.for_users(users)
    listed = personalizer.recommend(None, n, events=asked, cold="popular")
    made = personalizer.imagine(None, n, events=asked, seed=seed, guidance=guidance, cold="popular")
    words = Words(personalizer.catalog_)
    recommended = dict(iter(listed.groupby(USER_ID, sort=False)))
    return [
        GalleryUser(
            user_id,
            history=words.pictures(liked(asked, user_id, n)),
            recommended=words.pictures(recommended[user_id][ITEM_ID]),
            imagined=words.imagined(made, user_id),
        )
        for user_id in asked.users.ids
    ]


def user_sheet(
    personalizer: Personalizer,
    history: Interactions,
    made: Imagined,
    users: Iterable[Any],
    path: Path,
    *,
    n: int = 4,
) -> None:
    """Write a sheet with a row per user: n photos of the history, then n imagined pictures."""
    words = Words(personalizer.catalog_)
    rows = {
        f"{user_id}": np.concatenate(
            [words.photos(liked(history, user_id, n), fill_to=n), made.of(user_id)[:n]]
        )
        for user_id in users
    }
    comparison_rows(rows, path, title=f"{n} photos of what each user took, then {n} imagined")


def liked(history: Interactions, user_id: Any, n: int) -> npt.NDArray[Any]:
    """Ids of the n items with the strongest positive evidence in a user's history."""
    table = history.history(user_id)
    return np.asarray(table.loc[table[VALUE] > 0, ITEM_ID].head(n))


class Words:
    """Photos of items with their names."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        names = [name for name in _TITLES if name in catalog.attributes]
        ids = catalog.items.ids.astype(str)
        self.titles = catalog.attributes[names[0]].astype(str).to_numpy() if names else ids

    def pictures(self, item_ids: Iterable[Any]) -> list[Picture]:
        """Photos of items, each with its name."""
        ids = list(item_ids)
        rows = self.catalog.items.find(ids)
        return [
            Picture(photo, str(self.titles[row]) if row >= 0 else "", str(item_id))
            for photo, row, item_id in zip(self.photos(ids), rows, ids, strict=True)
        ]

    def imagined(self, made: Imagined, user_id: Any) -> list[Picture]:
        """Pictures of a user, each with the item that it is nearest to."""
        rows = made.table[made.table[USER_ID] == user_id]
        return [
            Picture(made.images[place], self._nearest(row), f"similarity {row[SIMILARITY]:.2f}")
            for place, row in rows.sort_values(RANK).iterrows()
        ]

    def photos(self, item_ids: Iterable[Any], fill_to: int = 0) -> npt.NDArray[np.uint8]:
        """Photos uint8 (n, size, size, 3), at least ``fill_to``; plain grey where there is none."""
        rows = self.catalog.items.find(list(item_ids))
        rows = np.append(rows, np.full(max(0, fill_to - len(rows)), -1))
        photo = np.where(rows >= 0, self.catalog.photo_index[rows], -1)
        size = self.catalog.size
        pictures = np.full((len(rows), size, size, 3), _NO_PHOTO, np.uint8)
        pictures[photo >= 0] = self.catalog.photos[photo[photo >= 0]]
        return pictures

    def _nearest(self, row: Any) -> str:
        (place,) = self.catalog.items.find([row[ITEM_ID]])
        return f"like {self.titles[place]}"
