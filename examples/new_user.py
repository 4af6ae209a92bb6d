"""A shopper arrives after the fit: fold in a few clicks, recommend and picture at once.

    python examples/new_user.py --out new-user

Shows that nothing has to be refitted for a new user, and how a taste forms event by event.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import prodgen_rec as pg
from prodgen_rec.datasets import write_shop
from prodgen_rec.display import comparison_rows


def main() -> None:
    """Fit on a shop, then follow one new user through four views."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("new-user"))
    parser.add_argument("--steps", type=int, default=6000, help="training steps of the pictures")
    arguments = parser.parse_args()
    out = arguments.out
    shop = write_shop(out / "shop", n_items=300, n_users=300)
    catalog = pg.read_catalog(shop.items, shop.photos, size=32)
    settings = pg.PersonalizerConfig(
        preferences={"factors": 32, "regularization": 1.0},
        imagery=pg.ImageryConfig.quick(size=32, width=16),
    )
    personalizer = pg.Personalizer(settings, seed=0)
    personalizer.fit(shop.events, catalog, steps=arguments.steps)

    mugs = catalog.items.ids[(catalog.attributes["type"] == "mug").to_numpy()][:4]
    rows = {}
    for n_views in range(1, len(mugs) + 1):
        clicks = views("new-shopper", mugs[:n_views])
        pictures = personalizer.imagine(["new-shopper"], n=8, events=clicks)
        rows[f"after {n_views}"] = pictures.images
        nearest = pictures.table["item_id"].map(attribute(catalog, "type"))
        print(f"after {n_views} views of mugs: {(nearest == 'mug').sum()} of 8 pictures show one")
    comparison_rows(rows, out / "taste.png", title="What is imagined, view by view")


def views(user_id: str, item_ids: np.ndarray) -> pd.DataFrame:
    """A log of one user looking at items, one a minute."""
    start = pd.Timestamp("2025-05-12 20:00", tz="UTC")
    return pd.DataFrame(
        {
            "user_id": user_id,
            "item_id": item_ids,
            "event": "view",
            "timestamp": [start + pd.Timedelta(minutes=i) for i in range(len(item_ids))],
        }
    )


def attribute(catalog: pg.Catalog, name: str) -> dict[object, object]:
    """One attribute of every item, by item id."""
    return dict(zip(catalog.items.ids, catalog.attributes[name], strict=True))


if __name__ == "__main__":
    main()
