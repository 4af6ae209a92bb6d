"""Items that nobody took: vectors by features, and that they disturb no others."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, random_array
from threadpoolctl import threadpool_limits

from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, ItemFeatures
from prodgen_rec.preferences.unseen import unseen_items, vectors_by_features

N_PRODUCTS, N_COLORS = 20, 4


def world(n_items=60, n_features=25, n_users=90, seed=0):
    """Random vectors, evidence and features; the last ten items are taken by nobody."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_items, 5)).astype(np.float32)
    evidence = random_array((n_users, n_items), density=0.1, rng=rng, format="csr")
    evidence = csr_array(evidence.toarray() * (np.arange(n_items) < n_items - 10), dtype=np.float32)
    features = random_array((n_features, n_items), density=0.2, rng=rng, format="csr")
    return vectors, evidence, csr_array(features * 4, dtype=np.float32)


def shop():
    """Every user takes all colors of one product but the last color, which is new."""
    index = np.arange(N_PRODUCTS * N_COLORS)
    table = pd.DataFrame({"product": index // N_COLORS, "color": index % N_COLORS})
    own = np.arange(4 * N_PRODUCTS)[:, None] % N_PRODUCTS == table["product"].to_numpy()
    taken = own & (table["color"] < N_COLORS - 1).to_numpy()
    taken |= (np.random.default_rng(0).random(own.shape) < 0.02) & taken.any(axis=0)
    users = IdMap.of(range(len(own)))
    log = Interactions(users, IdMap.of(index), csr_array(taken.astype(np.float32)))
    return log, table, ItemFeatures.of_columns(index, table, {"product": 5.0})


def als(**settings):
    return ALS(24, regularization=1.0, alpha=5.0, iterations=10, **settings)


@pytest.mark.parametrize("n_features", [25, 200])  # fewer and more than there are items
def test_vectors_solve_the_normal_equations(n_features):
    vectors, evidence, features = world(n_features=n_features)
    unseen = unseen_items(evidence, features)
    assert unseen.tolist() == [False] * 50 + [True] * 10
    found = vectors_by_features(vectors, evidence, features, unseen, regularization=3.0)
    phi = np.sqrt(features.toarray().T.astype(float) / evidence.data[evidence.data > 0].mean())
    n = np.diag((evidence.toarray() != 0).sum(axis=0)).astype(float)
    b = np.linalg.solve(phi.T @ n @ phi + 3.0 * np.eye(n_features), phi.T @ n @ vectors)
    np.testing.assert_allclose(found, (phi @ b)[unseen], rtol=1e-3, atol=1e-4)


def test_the_unit_of_evidence_does_not_matter():
    vectors, evidence, features = world()
    unseen = unseen_items(evidence, features)
    one, other = (
        vectors_by_features(vectors, evidence * unit, features * unit, unseen, 3.0)
        for unit in (np.float32(1), np.float32(8))
    )
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_one_factor_is_a_matrix_still():
    vectors, evidence, features = world()
    unseen = unseen_items(evidence, features)
    one = vectors_by_features(vectors[:, :1], evidence, features, unseen, 3.0)
    all_of_them = vectors_by_features(vectors, evidence, features, unseen, 3.0)
    np.testing.assert_allclose(one, all_of_them[:, :1], rtol=1e-6)


def test_without_a_feature_in_common_there_is_nothing_to_say():
    vectors, evidence, _ = world()
    own = csr_array(np.eye(60, dtype=np.float32)[50:])  # each of the new ones has one of its own
    unseen = unseen_items(evidence, own)
    assert unseen.sum() == 10
    assert not vectors_by_features(vectors, evidence, own, unseen, 3.0).any()


def test_an_item_that_was_only_returned_has_been_seen():
    _, evidence, features = world()
    evidence = evidence.tolil()
    evidence[0, 50], evidence[0, 51] = -1.0, 1.0
    assert unseen_items(csr_array(evidence), features)[50:].tolist() == [False] * 2 + [True] * 8


def test_a_record_of_no_net_evidence_is_none():
    evidence = csr_array(([1.0, 0.0], ([0, 0], [0, 1])), shape=(1, 2), dtype=np.float32)
    features = csr_array(np.ones((1, 2), np.float32))
    assert unseen_items(evidence, features).tolist() == [False, True]


def test_others_have_the_vectors_of_a_fit_without_them():
    log, table, features = shop()
    sold = table.index[table["color"] < N_COLORS - 1]
    model = als().fit(log, features)
    known = IdMap.of(sold)
    only_sold = ItemFeatures(known, features.for_items(known))
    alone = als().fit(log.for_items(known), only_sold)
    assert model.item_vectors_[sold].tobytes() == alone.item_vectors_.tobytes()


def test_a_refit_keeps_them_apart_too():
    log, table, features = shop()
    sold = table.index[table["color"] < N_COLORS - 1]
    known = IdMap.of(sold)
    only_sold = ItemFeatures(known, features.for_items(known))
    before = log.for_items(known)
    model = als().fit(before).refit(log, features)
    alone = als().fit(before).refit(before, only_sold)
    assert model.item_vectors_[sold].tobytes() == alone.item_vectors_.tobytes()
    unseen = table.index.difference(sold)
    expected = vectors_by_features(
        model.item_vectors_, log.matrix, features.matrix, np.isin(table.index, unseen), 1.0
    )
    assert model.item_vectors_[unseen].tobytes() == expected.tobytes()


def test_who_never_saw_it_does_not_speak_against_it():
    """The new color of the product comes before all that its users do not own."""
    log, table, features = shop()
    first = als().fit(log, features).recommend(None, 1)
    assert (table.loc[first["item_id"], "color"] == N_COLORS - 1).mean() > 0.9
    of_product = table.loc[first["item_id"], "product"].to_numpy()
    assert (of_product == first["user_id"] % N_PRODUCTS).mean() > 0.9


def test_same_bits_at_any_number_of_threads():
    log, _, features = shop()
    with threadpool_limits(1):
        one = als().fit(log, features)
    many = als().fit(log, features)
    assert one.item_vectors_.tobytes() == many.item_vectors_.tobytes()
    assert one.user_vectors_.tobytes() == many.user_vectors_.tobytes()
