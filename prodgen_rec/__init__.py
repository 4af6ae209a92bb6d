"""From shop behaviour logs to latent preference vectors, and from those to product images.

In the order in which data flows:

**Behaviour**

- `read_events` reads a log from a file or a table into `Events`. Rows that cannot be used go
  to a quarantine table, with the reason, and are counted.
- `build_interactions` sums events into `Interactions`: one number of evidence per user and item.
- `split_by_time`, `split_last_out`, `split_pairs` and `split_users` hold out a part to judge on.

**Catalogue**

- `read_catalog` reads items, attributes and photos into a `Catalog`.

**Preferences**

- `ALS` learns a preference vector for every user and item, `BPR` learns them from comparisons,
  `GraphFilter` finds them in closed form; `EASE` and `ItemKNN` weigh items by items, and
  `Popularity` is the baseline. Each is a `Recommender`: fit, recommend, save, load; a `Quota`
  limits how many items of a group a list may hold.
- `ItemFeatures` tells them what is known of items besides who took them, and `tune` searches for
  their hyper-parameters. `align` turns the vectors of a new fit to those of an old one.
- `NewcomerTaste` finds vectors of users without a history, from what is known of them.

**Pictures**

- `ConditionalVAE` decodes preference vectors into pictures. `ImageryConfig` holds its settings,
  `Budget` says how long it trains.

**All of it**

- `Personalizer` joins both halves: fit, recommend, imagine, illustrate, save, load.
  `PersonalizerConfig` holds its settings, `Imagined` is what it imagines for users,
  `Illustrated` for items.

**Every night**

- `prodgen_rec.nightly`: runs that are written part by part, published in one step, read whole,
  rolled back, and rid of a user.

**Beside it**

- `prodgen_rec.errors`: every exception that is raised on purpose.
- `prodgen_rec.behavior`: what a log says before any model, in tables; `taste_segments` groups
  users by their vectors, and says what sets them apart.
- `prodgen_rec.evaluation`: judges of lists and pictures, each figure with its interval.
- `prodgen_rec.display`: contact sheets, training curves, the gallery page, and reports, also
  on a log and on a nightly run.
- `prodgen_rec.datasets`: a synthetic shop in which everybody's taste is known.
- `prodgen_rec.testing`: contracts that recommenders and image models must pass, your own too.

Every name is loaded when it is first used: importing this package loads neither TensorFlow
nor pandas.
"""

from typing import TYPE_CHECKING

from prodgen_rec._lazy import lazily
from prodgen_rec._version import __version__

if TYPE_CHECKING:
    from prodgen_rec import behavior, datasets, display, errors, evaluation, nightly, testing
    from prodgen_rec.catalog import Catalog, read_catalog
    from prodgen_rec.config import PersonalizerConfig
    from prodgen_rec.events import Events, read_events
    from prodgen_rec.imagery import Budget, ConditionalVAE, ImageryConfig
    from prodgen_rec.interactions import Interactions, build_interactions
    from prodgen_rec.personalizer import Illustrated, Imagined, Personalizer
    from prodgen_rec.preferences import (
        ALS,
        BPR,
        EASE,
        GraphFilter,
        ItemFeatures,
        ItemKNN,
        NewcomerTaste,
        Popularity,
        Quota,
        Recommender,
        align,
    )
    from prodgen_rec.segments import taste_segments
    from prodgen_rec.splits import split_by_time, split_last_out, split_pairs, split_users
    from prodgen_rec.tuning import tune
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "behavior": [],
            "catalog": ["Catalog", "read_catalog"],
            "config": ["PersonalizerConfig"],
            "datasets": [],
            "display": [],
            "errors": [],
            "evaluation": [],
            "events": ["Events", "read_events"],
            "imagery": ["Budget", "ConditionalVAE", "ImageryConfig"],
            "interactions": ["Interactions", "build_interactions"],
            "nightly": [],
            "personalizer": ["Illustrated", "Imagined", "Personalizer"],
            "preferences": [
                "ALS",
                "BPR",
                "EASE",
                "GraphFilter",
                "ItemFeatures",
                "ItemKNN",
                "NewcomerTaste",
                "Popularity",
                "Quota",
                "Recommender",
                "align",
            ],
            "segments": ["taste_segments"],
            "splits": ["split_by_time", "split_last_out", "split_pairs", "split_users"],
            "testing": [],
            "tuning": ["tune"],
        },
    )

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "Budget",
    "Catalog",
    "ConditionalVAE",
    "Events",
    "GraphFilter",
    "Illustrated",
    "ImageryConfig",
    "Imagined",
    "Interactions",
    "ItemFeatures",
    "ItemKNN",
    "NewcomerTaste",
    "Personalizer",
    "PersonalizerConfig",
    "Popularity",
    "Quota",
    "Recommender",
    "__version__",
    "align",
    "behavior",
    "build_interactions",
    "datasets",
    "display",
    "errors",
    "evaluation",
    "nightly",
    "read_catalog",
    "read_events",
    "split_by_time",
    "split_last_out",
    "split_pairs",
    "split_users",
    "taste_segments",
    "testing",
    "tune",
]
