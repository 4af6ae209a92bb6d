"""New items in a fitted factorization: their vectors, and that nothing else turns."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tastes import N_NEW, N_OLD, N_USERS, NEW, OLD, closed_form, fitted, interactions, log

from prodgen_rec.errors import InputError, NotFittedError
from prodgen_rec.evaluation import evaluate_ranking
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, ItemFeatures, Recommender, parallel


def test_a_new_item_has_the_vector_of_the_closed_form_and_no_other_changes():
    dense = log()
    model = fitted(dense[:, OLD])
    items, users = model.item_vectors_.copy(), model.user_vectors_.copy()
    assert model.partial_fit(interactions(dense)) is model
    assert model.item_vectors_.dtype == np.float32
    assert model.item_vectors_[OLD].tobytes() == items.tobytes()
    expected = np.stack([closed_form(users, dense[:, item], dense[:, OLD].T) for item in NEW])
    np.testing.assert_allclose(model.item_vectors_[NEW], expected, rtol=1e-5, atol=1e-6)


def test_users_are_those_that_are_folded_in_on_all_items():
    dense = log()
    model = fitted(dense[:, OLD])
    before = model.user_vectors_
    model.partial_fit(interactions(dense))
    np.testing.assert_array_equal(model.fold_in(interactions(dense)), model.user_vectors_)
    expected = [closed_form(model.item_vectors_, row, dense[:, OLD]) for row in dense]
    np.testing.assert_allclose(model.user_vectors_, expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(model.user_vectors_, before, atol=1e-3)
    assert model.recommend(None, 5, history=interactions(dense)).equals(model.recommend(None, 5))


def test_a_feature_is_one_more_user_who_is_folded_in():
    dense = log()
    kinds = pd.DataFrame({"taste": np.arange(N_OLD + N_NEW) % 3})
    features = ItemFeatures.of_columns(range(N_OLD + N_NEW), kinds, {"taste": 1.5})
    model = fitted(dense[:, OLD])
    users, items = model.user_vectors_, model.item_vectors_
    model.partial_fit(interactions(dense), features)
    rows = features.matrix.toarray()
    fixed = np.concatenate(
        [users, [closed_form(items, row, dense[:, OLD]) for row in rows[:, OLD]]]
    )
    evidence = np.concatenate([dense, rows])
    expected = np.stack([closed_form(fixed, evidence[:, item], dense[:, OLD].T) for item in NEW])
    np.testing.assert_allclose(model.item_vectors_[NEW], expected, rtol=1e-4, atol=1e-5)
    assert model.users_ == IdMap.of(range(N_USERS))


def test_what_nobody_took_yet_has_the_mean_of_its_kind_shrunk():
    """With one feature for each, ridge regression is a mean: φ² sum of n y / (λ + φ² sum of n)."""
    dense = log()
    dense[:, NEW[:3]] = 0
    kinds = pd.DataFrame({"taste": np.arange(N_OLD + N_NEW) % 3})
    features = ItemFeatures.of_columns(range(N_OLD + N_NEW), kinds, {"taste": 1.5})
    model = fitted(dense[:, OLD]).partial_fit(interactions(dense), features)
    n, evidence = (dense != 0).sum(axis=0), 1.5 / dense[dense > 0].mean()
    vectors = model.item_vectors_.astype(float)
    for item in NEW[:3]:
        kind = np.arange(N_OLD + N_NEW) % 3 == item % 3
        total = (n[kind, None] * vectors[kind]).sum(axis=0)
        expected = evidence * total / (2.0 + evidence * n[kind].sum())
        np.testing.assert_allclose(model.item_vectors_[item], expected, rtol=1e-4, atol=1e-5)


def test_items_of_features_alone_become_items():
    dense = log()
    features = ItemFeatures.of_columns(
        [0, 3, 999], pd.DataFrame({"kind": ["a", "a", "a"]}), {"kind": 2.0}
    )
    model = fitted(dense[:, OLD]).partial_fit(interactions(dense[:, OLD]), features)
    assert model.items_ == IdMap.of([*OLD, 999])
    assert 999 in model.similar_items([0, 3], 25)["similar_id"].tolist()


@settings(max_examples=20, deadline=None)
@given(st.sets(st.sampled_from(NEW.tolist()), min_size=1))
def test_who_else_is_new_does_not_matter(some):
    dense = log()
    model, alone = fitted(dense[:, OLD]), fitted(dense[:, OLD])
    model.partial_fit(interactions(dense))
    items = IdMap.of([*OLD, *some])
    alone.partial_fit(interactions(dense).for_items(items))
    np.testing.assert_array_equal(
        alone.item_vectors_, model.item_vectors_[model.items_.index(items.arrow)]
    )


def test_threads_change_no_bit_and_the_order_of_users_nothing_but_rounding(monkeypatch):
    dense = log()
    fits = []
    for n_threads in (1, 5):
        monkeypatch.setattr(parallel, "n_cpus", lambda n=n_threads: n)
        fits.append(fitted(dense[:, OLD]).partial_fit(interactions(dense)))
    np.testing.assert_array_equal(fits[0].item_vectors_, fits[1].item_vectors_)
    np.testing.assert_array_equal(fits[0].user_vectors_, fits[1].user_vectors_)
    backwards = interactions(dense).for_users(range(N_USERS)[::-1])
    turned = fitted(dense[:, OLD]).partial_fit(backwards)
    np.testing.assert_allclose(turned.item_vectors_, fits[0].item_vectors_, atol=1e-6)
    np.testing.assert_allclose(turned.user_vectors_[::-1], fits[0].user_vectors_, atol=1e-6)


def test_items_are_sorted_wherever_new_ones_fall():
    """Old and new ids alternate; whose vector is whose follows from the id."""
    dense = log()
    old = np.delete(np.arange(dense.shape[1]), NEW - N_OLD + 3)
    world = interactions(dense)
    model = ALS(6, 2.0, 3.0, 10).fit(world.for_items(IdMap.of(old)))
    before = dict(zip(model.items_.ids, model.item_vectors_, strict=True))
    model.partial_fit(world)
    assert model.items_.ids.tolist() == list(range(dense.shape[1]))
    for item, vector in before.items():
        np.testing.assert_array_equal(model.item_vectors_[item], vector)


def test_the_new_item_of_a_taste_goes_to_those_who_have_it():
    """Withheld takers of new items get them about as often as from a fit of everything."""
    dense = np.abs(log(seed=3))
    user, item = np.nonzero(dense)
    out = (np.random.default_rng(4).random(len(user)) < 0.3) & (item >= N_OLD)
    dense[user[out], item[out]] = 0
    holdout = pd.DataFrame({"user_id": user[out], "item_id": item[out]})
    model = fitted(dense[:, OLD]).partial_fit(interactions(dense))
    lists = model.recommend(None, 3, candidates=NEW)
    assert (lists["user_id"] % 3 == lists["item_id"] % 3).mean() > 0.8
    recall = {
        name: evaluate_ranking(found.recommend(None, 3, candidates=NEW), holdout, k=3)
        .intervals["recall@3"]
        .value
        for name, found in (("partial", model), ("full", fitted(dense)))
    }
    assert recall["full"] > 0.5  # chance gives a quarter
    assert recall["partial"] > recall["full"] - 0.05


def test_new_users_lost_users_and_lost_items():
    dense = log()
    model = fitted(dense[:, OLD])
    items = model.item_vectors_
    dense[:, 7] = 0
    later = interactions(dense[50:], users=range(50, N_USERS))
    stranger = interactions(dense[:1], users=[5000])
    model.partial_fit(later.for_items(IdMap.of(np.delete(np.arange(dense.shape[1]), 7))))
    assert model.users_ == later.users
    np.testing.assert_array_equal(model.item_vectors_[7], items[7])
    model.partial_fit(stranger)
    assert model.users_.ids.tolist() == [5000]
    assert len(model.items_) == dense.shape[1]


def test_what_had_no_vector_is_new_and_what_nobody_likes_has_none():
    dense = log()
    never, returned = NEW[:2]
    first = dense.copy()
    first[:, NEW] = 0
    model = fitted(first)
    assert not model.item_vectors_[NEW].any()
    dense[:, never], dense[:, returned] = 0, -np.abs(dense[:, returned])
    model.partial_fit(interactions(dense))
    assert not model.item_vectors_[[never, returned]].any()
    assert model.item_vectors_[NEW[2:]].any(axis=1).all()
    once_more = model.item_vectors_.copy()
    model.partial_fit(interactions(log()))
    np.testing.assert_array_equal(model.item_vectors_[NEW[2:]], once_more[NEW[2:]])
    assert model.item_vectors_[[never, returned]].any(axis=1).all()


def test_without_new_items_users_alone_are_folded_in():
    dense = log()
    model = fitted(dense[:, OLD])
    items = model.item_vectors_
    model.partial_fit(interactions(dense[::-1, OLD]))
    np.testing.assert_array_equal(model.item_vectors_, items)
    np.testing.assert_array_equal(model.user_vectors_, model.fold_in(model.interactions_))


def test_it_is_kept_on_disk(tmp_path):
    dense = log()
    model = fitted(dense[:, OLD]).partial_fit(interactions(dense))
    model.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    assert loaded.recommend(None, 5).equals(model.recommend(None, 5))
    for name, array in model._arrays().items():
        np.testing.assert_array_equal(loaded._arrays()[name], array)
    np.testing.assert_array_equal(loaded.fold_in(interactions(dense)), model.user_vectors_)


def test_what_is_refused_changes_nothing():
    dense = log()
    with pytest.raises(NotFittedError, match="call fit"):
        ALS().partial_fit(interactions(dense))
    model = fitted(dense[:, OLD])
    before = model._arrays()
    only_new = interactions(dense).for_items(IdMap.of(NEW))
    texts = Interactions(only_new.users, IdMap.of([f"a{i}" for i in NEW]), only_new.matrix)
    for wrong, complaint in (
        (only_new, "none of 150 users has positive evidence for one of the 60 items of the fit"),
        (interactions(-np.abs(dense)), "none of 150 users has positive evidence"),
        (texts, "12 items are text, the first is 'a60', where the 60 known ones are int"),
        (pd.DataFrame({"user_id": [1]}), "expected Interactions, got DataFrame"),
    ):
        with pytest.raises(InputError, match=complaint):
            model.partial_fit(wrong)
    with pytest.raises(InputError, match="expected ItemFeatures, got DataFrame"):
        model.partial_fit(interactions(dense), pd.DataFrame())
    for name, array in model._arrays().items():
        assert array is before[name] or name == "alpha"
    assert len(model.items_) == N_OLD


def test_ids_of_both_kinds_meet_where_nothing_is_lost():
    assert IdMap.of([3, 1]).union(IdMap.of(["2", "3"])) == IdMap.of([1, 2, 3])
    assert IdMap.of(["3", "x"]).union(IdMap.of([2, 3])) == IdMap.of(["2", "3", "x"])
    with pytest.raises(InputError, match="1 items are text, the first is '07'"):
        IdMap.of([7]).union(IdMap.of(["8", "07"]), what="item")
