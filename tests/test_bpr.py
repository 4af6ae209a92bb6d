"""Bayesian personalized ranking: what is corrected, solved and drawn, and that it is repeatable."""

import numpy as np
import pandas as pd
import pytest
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_array, csr_matrix
from threadpoolctl import threadpool_limits

from prodgen_rec.errors import ConfigError, TrainingDivergedError
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import BPR, ItemFeatures
from prodgen_rec.tuning import tune


def world(dense):
    dense = np.asarray(dense, np.float32)
    n_users, n_items = dense.shape
    return Interactions(IdMap.of(range(n_users)), IdMap.of(range(n_items)), csr_array(dense))


def clustered():
    """Three groups of users, each with its own third of the items; some returns."""
    rng = np.random.default_rng(0)
    same = np.arange(90)[:, None] % 3 == np.arange(30) % 3
    touched = rng.random((90, 30)) < np.where(same, 0.4, 0.02)
    return world(touched * rng.choice([1.0, 5.0, -1.0], touched.shape))


def test_users_are_a_ridge_regression_on_what_implicit_learned():
    """Its item vectors, the logarithms added to their bias, and the normal equations."""
    interactions = clustered()
    liked = (interactions.matrix.toarray() > 0).astype(np.float32)
    theirs = BayesianPersonalizedRanking(
        8, 0.05, 0.02, iterations=20, num_threads=1, random_state=3
    )
    theirs.fit(csr_matrix(liked), show_progress=False)
    vectors = theirs.item_factors.astype(float)
    vectors[:, -1] += np.log(liked.sum(axis=0))
    ridge = 0.03 * (vectors**2).sum() * np.eye(9)
    users = np.linalg.solve(vectors.T @ vectors + ridge, vectors.T @ liked.T).T
    model = BPR(8, 0.05, 0.02, iterations=20, seed=3).fit(interactions)
    scores = model.user_vectors_ @ model.item_vectors_.T
    np.testing.assert_allclose(scores, users @ vectors.T, atol=1e-5)


def test_where_taste_is_by_chance_the_popular_comes_first():
    """What is drawn as often as it is taken would else seem to be as good as anything."""
    rng = np.random.default_rng(1)
    chance = np.linspace(0.02, 0.4, 40)
    interactions = world(rng.random((300, 40)) < chance)
    model = BPR(8, iterations=50).fit(interactions)
    scores = model.user_vectors_.astype(float) @ model.item_vectors_.T
    ranks = pd.DataFrame({"score": scores.mean(axis=0), "chance": chance}).rank()
    assert ranks.corr().loc["score", "chance"] > 0.9


def test_the_vector_of_a_user_is_the_sum_of_those_of_the_items_taken():
    interactions = clustered()
    dense = interactions.matrix.toarray()
    dense[0] = 0
    dense[1] = -np.abs(dense[1])
    model = BPR(8, iterations=5).fit(world(dense))
    np.testing.assert_allclose(
        model.user_vectors_, (dense > 0).astype(float) @ model.item_vectors_, atol=1e-5
    )
    assert not model.user_vectors_[:2].any()


def test_same_bits_at_any_number_of_threads():
    interactions = clustered()
    with threadpool_limits(1):
        one = BPR(8, iterations=10).fit(interactions)
    many = BPR(8, iterations=10).fit(interactions)
    np.testing.assert_array_equal(one.item_vectors_, many.item_vectors_)
    np.testing.assert_array_equal(one.user_vectors_, many.user_vectors_)
    other = BPR(8, iterations=10, seed=1).fit(interactions)
    assert not np.array_equal(one.item_vectors_, other.item_vectors_)


def test_an_item_that_nobody_took_is_learned_by_its_features():
    """It is of one product with item 0, and goes to those who took that, the more it says so."""
    dense = clustered().matrix.toarray()
    dense[:, 29] = 0
    product = np.arange(30)
    product[29] = 0
    table = pd.DataFrame({"product": product})
    lead = []
    for weight in (1.0, 60.0):
        features = ItemFeatures.of_columns(range(30), table, {"product": weight})
        model = BPR(8, iterations=50).fit(world(dense), features)
        score = model.user_vectors_.astype(float) @ model.item_vectors_[29]
        took = dense[:, 0] > 0
        lead.append(score[took].mean() - score[~took].mean())
    assert lead[1] > max(lead[0], 0) + 0.1
    assert not BPR(8, iterations=5).fit(world(dense)).item_vectors_[29].any()


def test_divergence_is_an_error_that_says_what_to_do():
    with pytest.raises(TrainingDivergedError, match="lower learning_rate or regularization"):
        BPR(4, learning_rate=1e4, iterations=5, regularization=1.0).fit(clustered())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("factors", 0),
        ("factors", 8.5),
        ("iterations", 0),
        ("seed", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("regularization", -0.1),
        ("regularization", float("nan")),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} = {value}: expected"):
        BPR(**{name: value})


def test_a_search_goes_over_its_own_settings():
    tuned = tune(clustered(), BPR(iterations=5), n_trials=3, k=5)
    assert {"factors", "learning_rate", "regularization"} < set(tuned.trials)
    assert tuned.recommender.iterations == 5
    assert tuned.value == tuned.trials["value"].max() > 0
