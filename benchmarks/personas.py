"""What is lost where users share the pictures of a persona, on purchases and photos of H&M.

python benchmarks/personas.py OUT     OUT is that of benchmarks/pictures.py, with its model "full"
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from pictures import Shop, in_item_order, pairs_of, served_users, trained

import prodgen_rec as pg
from prodgen_rec.evaluation.judged_items import JudgedItems
from prodgen_rec.evaluation.personalization import match_auc
from prodgen_rec.nightly.sharing import Personas
from prodgen_rec.personalizer.fitted import Fitted

N_PICTURES = 4


def main(out: Path) -> None:
    """Print the match of pictures of one's own, and of more and more personas."""
    data = Path(os.environ["PRODGEN_REC_DATA"]) / "hm_fashion"
    shop = Shop(data, out, 64)
    model = trained("full", shop, 0, out / "full")
    index = shop.known.photo_index
    personalizer = pg.Personalizer(pg.PersonalizerConfig(imagery=model.config))
    personalizer._learned = Fitted(
        personalizer.config,
        0,
        shop.recommender,
        shop.known,
        model,
        model.encode(shop.known.photos)[index[index >= 0]],
        {},
    )
    users = served_users(shop)
    history, future = shop.history.for_users(users), pairs_of(shop, users)
    items = JudgedItems(
        shop.catalog.with_photo(), in_item_order(shop, shop.judged_photos()), shop.judge.name
    )

    def seen(histories: pg.Interactions) -> np.ndarray:
        made = personalizer.imagine(None, N_PICTURES, events=histories, cold="popular")
        return shop.judge.features(made.images)

    def tell(what: str, features: np.ndarray) -> None:
        match = match_auc(np.repeat(users, N_PICTURES), features, future, items)
        print(f"{what:24} {match.mean}", flush=True)

    tell("pictures of one's own", seen(history))
    for n in (10, 30, 100, 300, 1000, 3000):
        sitters = Personas.fit(personalizer, n, seed=0)(history)
        features = seen(sitters.histories).reshape(sitters.histories.n_users, N_PICTURES, -1)
        tell(f"{n:,} personas", features[sitters.place].reshape(len(users) * N_PICTURES, -1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
