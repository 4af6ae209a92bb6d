"""One small shop, and one personalizer fitted on its files, for all tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prodgen_rec import Personalizer, PersonalizerConfig, datasets, read_catalog

if "PYTEST_XDIST_WORKER" in os.environ:  # one worker per core needs no more threads than that
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

SMALL = {
    "attributes": ["type", "color"],
    "preferences": {"factors": 16},
    "imagery": {
        "size": 32,
        "width": 12,
        "latent_channels": 4,
        "learning_rate": 4e-3,
        "prior_width": 192,
        "prior_depth": 2,
        "prior_share": 0.7,
    },
}
"""Settings of a personalizer that is fitted in seconds."""


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory) -> datasets.ShopFiles:
    """Files of a shop of 240 items and 200 users; not to be changed."""
    folder = tmp_path_factory.mktemp("small") / "shop"
    return datasets.write_shop(folder, n_items=240, n_users=200, n_weeks=6, seed=0)


@pytest.fixture(scope="session")
def fitted(small_shop) -> Personalizer:
    """A personalizer fitted on the small shop; not to be changed."""
    catalog = read_catalog(small_shop.items, small_shop.photos, size=32)
    personalizer = Personalizer(PersonalizerConfig.parse(SMALL), seed=0)
    return personalizer.fit(small_shop.events, catalog, steps=800, progress=False)


@pytest.fixture(scope="session")
def bundle(fitted, tmp_path_factory) -> Path:
    """The bundle of the fitted personalizer; not to be changed."""
    path = tmp_path_factory.mktemp("saved") / "bundle"
    fitted.save(path)
    return path
