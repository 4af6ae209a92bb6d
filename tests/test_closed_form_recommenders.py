"""EASE, neighbors and the graph filter: that they are what their formulas say."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from prodgen_rec.errors import BundleCorruptError, ConfigError, TrainingDivergedError
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import EASE, GraphFilter, ItemFeatures, ItemKNN, Recommender
from prodgen_rec.storage import load_arrays, save_arrays

FACTORIES = {
    "EASE": lambda: EASE(regularization=1.0),
    "cosine": lambda: ItemKNN(10),
    "tf-idf": lambda: ItemKNN(10, "tf-idf"),
    "bm25": lambda: ItemKNN(10, "bm25"),
    "graph filter": lambda: GraphFilter(8),
}


@pytest.fixture(scope="module")
def taken():
    """Net evidence of 40 users and 12 items, with returns; nobody took the last item."""
    rng = np.random.default_rng(4)
    dense = (rng.random((40, 12)) < 0.3) * rng.choice([1.0, 5.0, -2.0], (40, 12), p=[0.6, 0.3, 0.1])
    dense[:, -1] = 0.0
    return dense.astype(np.float32)


@pytest.fixture(scope="module")
def world(taken):
    return Interactions(IdMap.of(range(40)), IdMap.of(range(12)), csr_array(taken))


def test_each_column_of_ease_is_a_ridge_regression_on_the_other_items(taken, world):
    """The problem that the closed form solves, solved column by column."""
    liked, ridge = (taken > 0).astype(float), 3.0
    weights = EASE(ridge).fit(world).item_weights_
    for item in range(12):
        others = np.delete(np.arange(12), item)
        x = liked[:, others]
        solution = np.linalg.solve(x.T @ x + ridge * np.eye(11), x.T @ liked[:, item])
        np.testing.assert_allclose(weights[others, item], solution, atol=1e-6)
    assert not np.diag(weights).any()


def test_weights_of_many_items_are_those_of_a_dense_inverse():
    """More items than are moved at once; the last part is a short one."""
    n_items = 1300
    rng = np.random.default_rng(0)
    taken = (rng.random((400, n_items)) < 0.02).astype(np.float32)
    world = Interactions(IdMap.of(range(400)), IdMap.of(range(n_items)), csr_array(taken))
    gram = taken.T.astype(float) @ taken.astype(float)
    inverse = np.linalg.inv(gram + 2.0 * np.eye(n_items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    np.testing.assert_allclose(EASE(2.0).fit(world).item_weights_, weights, atol=1e-6)


def test_a_regularization_that_is_lost_in_rounding_is_refused():
    """Two items that all users took: without it their matrix has no inverse."""
    world = Interactions(IdMap.of(range(9)), IdMap.of([0, 1]), csr_array(np.ones((9, 2), "f4")))
    with pytest.raises(TrainingDivergedError, match="regularization = 1e-30 is lost"):
        EASE(1e-30).fit(world)


def test_scores_of_ease_are_histories_by_weights(taken, world):
    model = EASE(3.0).fit(world)
    lists = model.recommend(None, 12, exclude_seen=False)
    scores = (taken > 0).astype(float) @ model.item_weights_.astype(float)
    given = scores[lists["user_id"], lists["item_id"]]
    np.testing.assert_allclose(lists["score"], given, atol=1e-6)


def test_neighbors_by_cosine_are_those_of_the_definition(taken, world):
    liked = (taken > 0).astype(float)
    lengths = np.linalg.norm(liked, axis=0)
    cosine = (liked.T @ liked) / np.outer(lengths, lengths).clip(1e-9)
    np.fill_diagonal(cosine, 0.0)
    weights = ItemKNN(4).fit(world).item_weights_.toarray()
    assert ((weights > 0).sum(axis=1) <= 4).all()
    kept = weights > 0
    np.testing.assert_allclose(weights[kept], cosine[kept], atol=1e-6)
    fourth = -np.sort(-cosine, axis=1)[:, 3]
    assert (cosine[~kept] <= np.repeat(fourth[:, None], 12, axis=1)[~kept] + 1e-6).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("factors", [4, 12])
def test_the_graph_filter_is_its_formula(taken, world, smoothing, factors):
    liked = (taken > 0).astype(float)
    of_users, of_items = liked.sum(axis=1), liked.sum(axis=0)
    down_u, down_i = (
        np.divide(1.0, np.sqrt(d), out=np.zeros_like(d), where=d > 0) for d in (of_users, of_items)
    )
    scaled = down_u[:, None] * liked * down_i
    value, vector = np.linalg.eigh(scaled.T @ scaled)
    value, vector = value[::-1][:factors].clip(1e-12), vector[:, ::-1][:, :factors]
    expected = (liked * down_i) @ (vector * value**smoothing) @ vector.T * np.sqrt(of_items)
    model = GraphFilter(factors, smoothing).fit(world)
    np.testing.assert_allclose(model.user_vectors_ @ model.item_vectors_.T, expected, atol=2e-5)


@pytest.mark.parametrize("name", FACTORIES)
def test_features_bring_in_an_item_that_nobody_took(world, name):
    """It is of one product with item 0, and goes to those who took that."""
    table = pd.DataFrame({"product": [0, *range(1, 11), 0]})
    features = ItemFeatures.of_columns(world.items, table, {"product": 20.0})
    model = FACTORIES[name]().fit(world, features)
    lists = model.recommend(None, 12, exclude_seen=False)
    score = lists.loc[lists["item_id"] == 11].set_index("user_id")["score"]
    took = world.matrix.toarray()[:, 0] > 0
    assert score[took].mean() > score[~took].mean() + 1e-3


def test_weights_of_another_catalogue_are_refused(world, tmp_path):
    EASE(1.0).fit(world).save(tmp_path / "model")
    file = tmp_path / "model" / "arrays.npz"
    arrays = load_arrays(file)
    save_arrays(file, arrays | {"weights": arrays["weights"][:5, :5]})
    with pytest.raises(BundleCorruptError, match="weights of shape"):
        Recommender.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: EASE(0.0), "regularization = 0.0"),
        (lambda: ItemKNN(0), "neighbors = 0"),
        (lambda: ItemKNN(weighting="jaccard"), "weighting = 'jaccard': expected one of"),
        (lambda: GraphFilter(0), "factors = 0"),
        (lambda: GraphFilter(smoothing=-1.0), "smoothing = -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(make, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make()
