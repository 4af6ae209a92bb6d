"""Segments of planted tastes, and what sets them apart."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score

from prodgen_rec import ALS, read_catalog
from prodgen_rec.errors import ConfigError
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.segments import taste_segments, typical_items

KINDS = ["mug", "hat", "lamp"]


@pytest.fixture(scope="module")
def planted():
    """A half takes mugs, a third hats, a sixth lamps, 15 of each; colors say nothing."""
    rng = np.random.default_rng(0)
    taste = np.repeat([0, 0, 0, 1, 1, 2], 20)
    kind = np.arange(45) // 15
    own = taste[:, None] == kind
    taken = rng.random(own.shape) < np.where(own, 0.4, 0.03)
    users, items = IdMap.of(range(121)), IdMap.of(range(45))
    matrix = csr_array(np.vstack([taken, np.zeros((1, 45))]).astype(np.float32))
    model = ALS(8, regularization=1.0, alpha=5.0).fit(Interactions(users, items, matrix))
    table = pd.DataFrame(
        {
            "item_id": range(45),
            "kind": [KINDS[k] for k in kind],
            "color": np.where(np.arange(45) % 2, "red", "blue"),
        }
    )
    photo = np.zeros((16, 16, 3), np.uint8)
    return model, read_catalog(table, dict.fromkeys(range(45), photo), size=16), taste


def test_planted_tastes_are_found_and_told(planted):
    model, catalog, taste = planted
    found = taste_segments(model, catalog, ["kind", "color"], n_segments=3)
    assert found.users["user_id"].tolist() == list(range(120))  # the last took nothing
    assert adjusted_rand_score(taste, found.users["segment"]) > 0.9
    assert np.diff(found.users["segment"].value_counts().sort_index()).max() < 0
    first = found.description.groupby("segment").head(1)
    assert first["value"].tolist() == KINDS
    assert (first["lift"] > 1.5).all()
    assert (first["z"] > 5).all()
    colors = found.description[found.description["attribute"] == "color"]
    assert colors["z"].abs().max() < 4


def test_typical_items_are_of_the_planted_kinds(planted):
    model, catalog, _ = planted
    found = taste_segments(model, catalog, ["kind"], n_segments=3)
    typical = typical_items(model, found.users, n=5)
    assert typical["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    assert (typical["item_id"] // 15).tolist() == np.repeat([0, 1, 2], 5).tolist()
    first = typical.iloc[0]
    members = found.users.loc[found.users["segment"] == 0, "user_id"]
    matrix = model.interactions_.matrix.toarray()
    assert first["n_users"] == (matrix[members, first["item_id"]] > 0).sum()


def test_shares_are_those_of_what_was_taken(planted):
    model, catalog, _ = planted
    found = taste_segments(model, catalog, ["kind"], n_segments=1)
    counts = model.interactions_.matrix.toarray().sum(axis=0).reshape(3, 15).sum(axis=1)
    told = found.description.set_index("value").loc[KINDS]
    np.testing.assert_allclose(told["share"], counts / counts.sum())
    np.testing.assert_allclose(told["lift"], 1.0)
    np.testing.assert_allclose(told["z"], 0.0, atol=1e-9)


def test_the_same_seed_gives_the_same_segments(planted):
    model, catalog, _ = planted
    one, again = (taste_segments(model, catalog, [], n_segments=4, seed=7) for _ in range(2))
    assert one.users.equals(again.users)
    assert one.description.empty


def test_what_cannot_be_segmented_is_refused(planted):
    model, catalog, _ = planted
    with pytest.raises(ConfigError, match="no attribute 'knd'; it has"):
        taste_segments(model, catalog, ["knd"])
    with pytest.raises(ConfigError, match="n_segments = 121: expected 1 to 120"):
        taste_segments(model, catalog, ["kind"], n_segments=121)
