"""A fit that goes on from an older one: where it comes to, what moves, and what is refused."""

import copy

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import vstack
from tastes import (
    N_NEW,
    N_OLD,
    N_USERS,
    NEW,
    OLD,
    closed_form,
    fitted,
    interactions,
    log,
    objective,
)
from threadpoolctl import threadpool_limits

from prodgen_rec.errors import ConfigError, InputError, NotFittedError, TrainingDivergedError
from prodgen_rec.evaluation import evaluate_drift
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, ItemFeatures, Recommender, parallel

ALL = np.arange(N_OLD + N_NEW)


def test_vectors_of_the_same_log_stay():
    world = interactions(log())
    model = ALS(3, 2.0, 3.0, iterations=100).fit(world)
    items, users = model.item_vectors_, model.user_vectors_
    assert model.refit(world, passes=5) is model
    assert model.item_vectors_ is not items
    np.testing.assert_allclose(model.item_vectors_, items, atol=1e-4)
    np.testing.assert_allclose(model.user_vectors_, users, atol=1e-4)
    another_start = ALS(3, 2.0, 3.0, iterations=100, seed=1).fit(world)
    assert np.abs(another_start.item_vectors_ - items).max() > 0.1


def test_a_pass_is_users_on_items_then_items_on_users():
    """In three dimensions, three steps of conjugate gradients are exact."""
    dense = log()
    model = ALS(3, 2.0, 3.0, iterations=20).fit(interactions(dense[:, OLD]))
    start = copy.copy(model).partial_fit(interactions(dense)).item_vectors_
    users = np.stack([closed_form(start, row, dense) for row in dense])
    items = np.stack([closed_form(users, column, dense.T) for column in dense.T])
    model.refit(interactions(dense), passes=1)
    np.testing.assert_allclose(model.item_vectors_, items, atol=1e-4)


def test_every_pass_lowers_the_objective_to_that_of_a_fit():
    dense = log()
    first, world = fitted(dense[:, OLD]), interactions(dense)

    def reached(model):
        return objective(world.matrix.toarray(), model.user_vectors_, model.item_vectors_)

    after = [reached(copy.copy(first).refit(world, passes=n)) for n in (1, 2, 3, 10, 100)]
    assert reached(copy.copy(first).partial_fit(world)) > after[0]
    assert sorted(after, reverse=True) == after
    assert after[-1] == pytest.approx(reached(ALS(6, 2.0, 3.0, 100).fit(world)), rel=0.01)


def test_users_stay_nearer_than_those_of_a_new_fit_that_is_aligned():
    dense = log()
    before = np.where(np.random.default_rng(5).random(dense.shape) < 0.9, dense, 0)
    first, world = fitted(before), interactions(dense)
    aligned = evaluate_drift(ALS(6, 2.0, 3.0, 10, seed=1).fit(world), first, k=5)
    refit = evaluate_drift(copy.copy(first).refit(world), first, k=5)
    for what in ("items", "users"):
        assert refit.vectors.loc[(what, "before"), "mean"] > 0.95
        gap = 1 - aligned.vectors.loc[(what, "aligned"), "mean"]
        assert gap > 2 * (1 - refit.vectors.loc[(what, "before"), "mean"])


def test_users_and_items_are_those_of_the_log():
    dense = log()
    model = fitted(dense[:, OLD])
    left = np.delete(ALL, [7, 8])
    later = interactions(dense[50:], users=range(50, N_USERS)).for_items(IdMap.of(left))
    stranger = interactions(dense[:1], users=[5000]).for_items(later.items)
    rows = vstack([later.matrix, stranger.matrix], format="csr")
    model.refit(Interactions(later.users.union(stranger.users), later.items, rows))
    assert model.users_.ids.tolist() == [*range(50, N_USERS), 5000]
    assert model.items_.ids.tolist() == left.tolist()
    assert model.item_vectors_.any(axis=1).all()
    assert model.user_vectors_[-1].any()
    lists = model.recommend([5000], 4, candidates=NEW, exclude_seen=False)
    assert lists["item_id"].mod(3).tolist() == [0] * 4  # as user 0, whose history it has


def test_folding_in_is_the_refit_and_disk_keeps_it(tmp_path):
    dense = log()
    model = fitted(dense[:, OLD]).refit(interactions(dense))
    np.testing.assert_array_equal(model.fold_in(interactions(dense)), model.user_vectors_)
    expected = [closed_form(model.item_vectors_, row, dense) for row in dense]
    np.testing.assert_allclose(model.user_vectors_, expected, rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    assert loaded.recommend(None, 5).equals(model.recommend(None, 5))
    again = loaded.refit(interactions(dense)), model.refit(interactions(dense))
    np.testing.assert_array_equal(again[0].item_vectors_, again[1].item_vectors_)


def test_threads_change_no_bit_and_the_order_of_users_nothing_but_rounding(monkeypatch):
    dense = log()
    fits = []
    for n_threads in (1, 5):
        monkeypatch.setattr(parallel, "n_cpus", lambda n=n_threads: n)
        with threadpool_limits(n_threads, user_api="openmp"):
            fits.append(fitted(dense[:, OLD]).refit(interactions(dense)))
    np.testing.assert_array_equal(fits[0].item_vectors_, fits[1].item_vectors_)
    np.testing.assert_array_equal(fits[0].user_vectors_, fits[1].user_vectors_)
    backwards = interactions(dense).for_users(range(N_USERS)[::-1])
    turned = fitted(dense[:, OLD]).refit(backwards)
    np.testing.assert_allclose(turned.item_vectors_, fits[0].item_vectors_, atol=1e-5)
    np.testing.assert_allclose(turned.user_vectors_[::-1], fits[0].user_vectors_, atol=1e-5)


def test_confidence_follows_the_log_unless_it_is_given():
    dense = np.abs(log())
    model = ALS(6).fit(interactions(dense[:, OLD]))
    twice = interactions(2 * dense)
    assert model.refit(twice).alpha_ == ALS(6).fit(twice).alpha_
    np.testing.assert_array_equal(model.fold_in(twice), model.user_vectors_)
    assert ALS(6, alpha=2.5).fit(interactions(dense)).refit(twice).alpha_ == 2.5


def test_features_are_users_and_bring_items_of_their_own():
    dense = log()
    kinds = pd.DataFrame({"taste": [*ALL % 3, 1]})
    features = ItemFeatures.of_columns([*ALL, 999], kinds, {"taste": 3.0})
    dense[:, NEW[:3]] = 0  # nobody took these yet
    model = fitted(dense[:, OLD]).refit(interactions(dense), features)
    assert model.items_.ids.tolist() == [*ALL, 999]
    assert model.users_ == IdMap.of(range(N_USERS))
    assert model.item_vectors_.any(axis=1).all()
    assert model.similar_items([999], 5)["similar_id"].mod(3).tolist() == [1] * 5
    without = fitted(dense[:, OLD]).refit(interactions(dense))
    assert not without.item_vectors_[NEW[:3]].any()


def test_what_is_refused_changes_nothing():
    dense = log()
    world = interactions(dense)
    with pytest.raises(NotFittedError, match="call fit"):
        ALS().refit(world)
    model = fitted(dense[:, OLD])
    before = model._arrays()
    only_new = world.for_items(IdMap.of(NEW))
    for passes in (0, 2.5, None):
        with pytest.raises(ConfigError, match=f"passes = {passes}: expected a whole number, at"):
            model.refit(world, passes=passes)
    for error, wrong, complaint in (
        (InputError, only_new, "none of 150 users has positive evidence for one of the 60 items"),
        (InputError, interactions(-np.abs(dense)), "none of 150 users has positive evidence"),
        (InputError, pd.DataFrame({"user_id": [1]}), "expected Interactions, got DataFrame"),
        (TrainingDivergedError, interactions(dense * 1e15), "raise regularization, or lower alpha"),
        (InputError, interactions(dense * 1e36), "its vector is not finite, the confidence of a"),
    ):
        with pytest.raises(error, match=complaint):
            model.refit(wrong)
    with pytest.raises(InputError, match="expected ItemFeatures, got DataFrame"):
        model.refit(world, pd.DataFrame())
    for name, array in model._arrays().items():
        assert array is before[name] or name == "alpha"
    assert len(model.items_) == N_OLD
