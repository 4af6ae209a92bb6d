"""Features of items: what they say to a recommender, and to items that nobody took yet."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, vstack
from sklearn.feature_extraction.text import CountVectorizer

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, ItemFeatures, Popularity

N_PRODUCTS, N_COLORS, N_USERS = 20, 3, 80


@pytest.fixture
def table():
    """Every product comes in three colors; the last product was never sold."""
    index = np.arange(N_PRODUCTS * N_COLORS)
    return pd.DataFrame({"product": index // N_COLORS, "color": index % N_COLORS}, index=index)


@pytest.fixture
def sales(table):
    """Users of two tastes, even and odd products; no item of the last product is known."""
    rng = np.random.default_rng(0)
    sold = table.index[table["product"] < N_PRODUCTS - 1]
    own = np.arange(N_USERS)[:, None] % 2 == table.loc[sold, "product"].to_numpy() % 2
    return _interactions(sold, own & (rng.random(own.shape) < 0.25))


def _interactions(items, taken):
    matrix = csr_array(taken.astype(np.float32))
    return Interactions(IdMap.of(range(matrix.shape[0])), IdMap.of(items), matrix)


def small_als():
    return ALS(8, regularization=1.0, alpha=5.0, iterations=10)


def test_values_of_columns_are_features_with_their_weights():
    table = pd.DataFrame({"kind": ["b", None, "a", "b"], "size": [1.0, 1.0, np.nan, 2.0]})
    features = ItemFeatures.of_columns([10, 20, 30, 40], table, {"kind": 3.0, "size": 0.5})
    expected = [[0, 0, 3, 0], [3, 0, 0, 3], [0.5, 0.5, 0, 0], [0, 0, 0, 0.5]]
    assert features.matrix.toarray().tolist() == expected


def test_ids_of_any_integer_type_are_the_same_items():
    table = pd.DataFrame({"kind": ["a", "b"]})
    features = ItemFeatures.of_columns(np.array([3, 5], np.int32), table, {"kind": 1.0})
    assert features.items == IdMap.of([3, 5])
    with pytest.raises(InputError, match="a table of 2 rows came with 3 items"):
        ItemFeatures.of_columns([3, 5, 7], table, {"kind": 1.0})


def test_words_of_titles_are_features():
    counts = CountVectorizer().fit_transform(["red mug", "red red bag", "bag"]).T
    features = ItemFeatures.of_matrix(IdMap.of(range(3)), counts)
    assert features.matrix.toarray().tolist() == [[0, 1, 1], [1, 0, 0], [1, 2, 0]]


@pytest.mark.parametrize(
    ("matrix", "complaint"),
    [
        (np.ones((4, 2)), r"features of shape \(4, 2\) came with 3 items; .* per item$"),
        (np.ones((3, 2)), "it seems to be items × features: pass matrix.T"),
        (np.ones(3), r"features of shape \(3,\)"),
        (-np.eye(3), r"3 values that are below 0 or not finite, the first is -1.0 for item 'a'"),
        (np.diag([1, np.nan, 1]), "1 values .* the first is nan for item 'b'"),
        (np.diag([1, 1, np.inf]), "the first is inf for item 'c'"),
    ],
)
def test_matrices_that_are_no_features_are_refused(matrix, complaint):
    for make in (ItemFeatures.of_matrix, ItemFeatures):
        with pytest.raises(InputError, match=complaint):
            make(IdMap.of(["a", "b", "c"]), csr_array(matrix, dtype=np.float32))


def test_a_product_by_what_is_no_weight_is_refused():
    features = ItemFeatures.of_matrix(IdMap.of(range(3)), np.eye(3))
    for weight in (-1.0, float("nan")):
        with pytest.raises(InputError, match="below 0 or not finite"):
            features.times(weight)


@pytest.mark.parametrize(
    ("shape", "n", "error", "complaint"),
    [
        ((2, 4), 1, InputError, r"vectors of shape \(2, 4\) came with 4 items"),
        ((4, 2), 4, ConfigError, "n = 4: expected 1 to 3 neighbors"),
        ((4, 2), 0, ConfigError, "n = 0: expected 1 to 3 neighbors"),
    ],
)
def test_neighbors_that_there_are_not_are_refused(shape, n, error, complaint):
    vectors = np.ones(shape, np.float32)
    with pytest.raises(error, match=complaint):
        ItemFeatures.of_neighbors(IdMap.of(range(4)), vectors, n=n, weight=1.0)


def test_neighbors_are_those_with_the_highest_cosine():
    angles = np.radians([0, 10, 35, 90])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1.0], [7.0], [2.0], [1.0]]
    features = ItemFeatures.of_neighbors(
        IdMap.of(range(4)), vectors.astype(np.float32), n=1, weight=2.0
    )
    expected = [[2, 2, 0, 0], [2, 2, 0, 0], [0, 2, 2, 0], [0, 0, 2, 2]]
    assert features.matrix.toarray().tolist() == expected


def test_features_are_further_users(sales, table):
    """The very item vectors of a fit in which features were users, and users' own vectors."""
    known = table.loc[sales.items.ids]
    features = ItemFeatures.of_columns(sales.items, known, {"product": 2.0, "color": 0.5})
    model = small_als().fit(sales, features)
    stacked = vstack([sales.matrix, features.matrix], format="csr")
    users = IdMap.of(range(stacked.shape[0]))
    plain = small_als().fit(Interactions(users, sales.items, stacked))
    np.testing.assert_array_equal(model.item_vectors_, plain.item_vectors_)
    np.testing.assert_array_equal(model.user_vectors_, plain.user_vectors_[:N_USERS])
    assert model.users_ == sales.users


def test_an_item_that_nobody_took_is_recommended_by_its_features(table):
    """All colors of a product but one are sold; the users of the others get that one."""
    rng = np.random.default_rng(1)
    sold = table.index[table["color"] > 0]
    own = np.arange(N_USERS)[:, None] % N_PRODUCTS == table.loc[sold, "product"].to_numpy()
    sales = _interactions(sold, own | (rng.random(own.shape) < 0.02))
    features = ItemFeatures.of_columns(table.index, table, {"product": 5.0})
    model = ALS(24, regularization=1.0, alpha=5.0, iterations=10).fit(sales, features)
    new = table.index[table["color"] == 0]
    first = model.recommend(None, 1, candidates=new)
    assert (first["item_id"] == np.arange(N_USERS) % N_PRODUCTS * N_COLORS).mean() > 0.9
    without = small_als().fit(sales.for_items(IdMap.of(table.index)))
    assert not without.item_vectors_[without.items_.index(new)].any()


def test_items_of_features_become_items_of_the_fit(sales, table):
    features = ItemFeatures.of_columns(table.index, table, {"color": 1.0})
    for model in (small_als(), Popularity()):
        fitted = model.fit(sales, features)
        assert fitted.items_.ids.tolist() == table.index.tolist()
        assert fitted.fold_in(sales).shape == fitted.user_vectors_.shape


def test_features_of_both(table):
    half = len(table) // 2
    first = ItemFeatures.of_columns(table.index[:half], table[:half], {"product": 1.0})
    second = ItemFeatures.of_columns(table.index[half:], table[half:], {"color": 2.0})
    both = first.and_also(second)
    assert both.items.ids.tolist() == table.index.tolist()
    assert both.matrix.toarray()[: N_PRODUCTS // 2, half:].sum() == 0
    assert both.matrix.sum() == half + 2 * half


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({"prodct": 1.0}, "no column 'prodct' of items; did you mean 'product'"),
        ({"product": 0.0}, "weight of 'product' is 0.0: expected a number above 0"),
        ({"product": float("nan")}, "weight of 'product' is nan"),
    ],
)
def test_what_cannot_be_a_feature_is_refused(table, weights, complaint):
    with pytest.raises(ConfigError, match=complaint):
        ItemFeatures.of_columns(table.index, table, weights)
