"""From a log and photos to recommendations and pictures, in one page.

    python examples/quickstart.py --out quickstart

Makes a small synthetic shop first, so that it runs anywhere; put your own files in its place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import prodgen_rec as pg
from prodgen_rec.datasets import write_shop
from prodgen_rec.display import contact_sheet


def main() -> None:
    """Read, fit, recommend, imagine, save, load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("quickstart"))
    parser.add_argument("--steps", type=int, default=6000, help="training steps of the pictures")
    arguments = parser.parse_args()
    out = arguments.out
    shop = write_shop(out / "shop", n_items=300, n_users=300)

    events = pg.read_events(shop.events)
    print(events)
    catalog = pg.read_catalog(shop.items, shop.photos, size=32)
    print(catalog.report.summary())

    settings = pg.PersonalizerConfig(
        preferences={"factors": 32, "regularization": 1.0},
        imagery=pg.ImageryConfig.quick(size=32, width=16),
    )
    personalizer = pg.Personalizer(settings, seed=0)
    personalizer.fit(events, catalog, steps=arguments.steps)

    users = events.to_pandas()["user_id"].unique()[:10]
    print(personalizer.recommend(users, n=3).merge(catalog_titles(catalog), on="item_id"))
    pictures = personalizer.imagine(users, n=10, seed=0)
    contact_sheet(pictures.images, out / "pictures.png", title="One row per user")

    personalizer.save(out / "bundle")
    again = pg.Personalizer.load(out / "bundle").imagine(users, n=10, seed=0)
    same = bool((again.images == pictures.images).all())
    print(f"after a reload the pictures are {'the same' if same else 'DIFFERENT'}")


def catalog_titles(catalog: pg.Catalog) -> object:
    """Item ids and titles of a catalogue."""
    return catalog.attributes[["title"]].assign(item_id=catalog.items.ids)


if __name__ == "__main__":
    main()
