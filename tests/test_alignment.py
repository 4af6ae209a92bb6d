"""Alignment of fits: scores stay, vectors come near, and the account of a refit is right."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import ortho_group

from prodgen_rec.errors import InputError, NotFittedError
from prodgen_rec.evaluation import evaluate_drift
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, EASE, GraphFilter, Popularity, Recommender, align

N_USERS, N_ITEMS, D = 120, 50, 6


def log(n_users=N_USERS, n_items=N_ITEMS, seed=0):
    rng = np.random.default_rng(seed)
    same = np.arange(n_users)[:, None] % 5 == np.arange(n_items) % 5
    taken = rng.random((n_users, n_items)) < np.where(same, 0.5, 0.05)
    return Interactions(
        IdMap.of(range(n_users)), IdMap.of(range(n_items)), csr_array(taken.astype(np.float32))
    )


def als(seed=0):
    return ALS(D, regularization=1.0, alpha=4.0, seed=seed)


def turned(model, seed):
    """The fit, seen from elsewhere: what another start of the same solver might have given."""
    rotation = ortho_group.rvs(model.item_vectors_.shape[1], random_state=seed)
    other = copy.copy(model)
    other.item_vectors_ = (model.item_vectors_ @ rotation).astype(np.float32)
    other.user_vectors_ = other.fold_in(model.interactions_)
    return other


def scores(model):
    return model.user_vectors_.astype(float) @ model.item_vectors_.T.astype(float)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_fit_that_was_turned_is_turned_back(seed):
    reference = als().fit(log())
    back = align(turned(reference, seed), reference)
    np.testing.assert_allclose(back.item_vectors_, reference.item_vectors_, atol=1e-5)
    np.testing.assert_allclose(back.user_vectors_, reference.user_vectors_, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "reference"), [(als(1), als(0)), (GraphFilter(D, seed=1), GraphFilter(D))]
)
def test_scores_and_lists_stay_and_folding_in_agrees(model, reference, tmp_path):
    model, reference = model.fit(log()), reference.fit(log(seed=1))
    before = model._arrays()
    aligned = align(model, reference)
    assert not np.allclose(aligned.item_vectors_, model.item_vectors_, atol=1e-2)
    np.testing.assert_allclose(scores(aligned), scores(model), atol=1e-5)
    lists, as_they_were = aligned.recommend(None, 3), model.recommend(None, 3)
    assert (lists["item_id"] == as_they_were["item_id"]).mean() > 0.99  # rounding may part equals
    np.testing.assert_array_equal(aligned.fold_in(log()), aligned.user_vectors_)
    parts = aligned.explain(lists["user_id"][0], lists["item_id"][0])["part"]
    assert parts.sum() == pytest.approx(lists["score"][0], rel=1e-4)
    aligned.save(tmp_path / "model")
    assert Recommender.load(tmp_path / "model").recommend(None, 3).equals(lists)
    assert all(array is before[name] or name == "alpha" for name, array in model._arrays().items())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.1, 1.0]))
def test_no_other_rotation_brings_items_nearer(seed, size):
    """The orthogonal factor of I + size · noise turns a little or a lot away from the optimum."""
    reference, model = als().fit(log()), als(1).fit(log(seed=1))
    near = align(model, reference).item_vectors_.astype(float)
    noise = np.random.default_rng(seed).standard_normal((D, D))
    other, _ = np.linalg.qr(np.eye(D) + size * noise)
    target = reference.item_vectors_
    best = np.square(near - target).sum()
    assert best <= np.square(near @ other - target).sum() + 1e-6
    assert best <= np.square(model.item_vectors_ - target).sum()


def test_vectors_without_a_pair_turn_as_well():
    history = log()
    reference, model = als().fit(log(seed=1)), als(1).fit(history)
    aligned = align(model, reference)
    lengths = [np.linalg.norm(fit.leave_one_out(history), axis=1) for fit in (model, aligned)]
    np.testing.assert_allclose(*lengths, rtol=1e-4, atol=1e-7)


def test_only_items_of_both_fits_decide():
    """Items of one fit alone are turned along; the order of ids does not matter."""
    reference = als().fit(log())
    some = IdMap.of(range(5, N_ITEMS))
    model = turned(reference, 3)
    fewer = copy.copy(model)
    fewer.interactions_ = model.interactions_.for_items(some)
    fewer.item_vectors_ = model.item_vectors_[5:]
    fewer.user_vectors_ = fewer.fold_in(fewer.interactions_)
    for one, other in ((fewer, reference), (model, align(fewer, reference))):
        back = align(one, other)
        places = reference.items_.index(back.items_.arrow)
        np.testing.assert_allclose(back.item_vectors_, reference.item_vectors_[places], atol=1e-5)


def test_new_items_after_alignment_are_those_before_it():
    later = log(n_items=N_ITEMS + 8)
    reference = als().fit(log(seed=1))
    model = als(1).fit(later.for_items(log().items))
    aligned = align(model, reference).partial_fit(later)
    np.testing.assert_allclose(scores(aligned), scores(model.partial_fit(later)), atol=1e-5)


def test_the_account_of_a_fit_that_was_only_turned():
    reference = als().fit(log())
    drift = evaluate_drift(turned(reference, 5), reference, k=5)
    assert drift.vectors.loc["items"].loc["before", "mean"] < 0.7
    for what, n in (("items", N_ITEMS), ("users", N_USERS)):
        row = drift.vectors.loc[(what, "aligned")]
        assert row["n"] == n
        assert row[["mean", "q05", "q75"]].to_numpy() == pytest.approx(1.0)
        assert row["residual"] == pytest.approx(0.0, abs=1e-4)
    assert drift.overlap.value > 0.99


def test_the_account_of_a_refit_by_hand():
    reference = als().fit(log().for_users(range(10, N_USERS)))
    model = als(1).fit(log(N_USERS - 20, N_ITEMS + 7, seed=1))
    drift = evaluate_drift(model, reference, k=5)
    users = range(10, N_USERS - 20)
    assert drift.overlap.n == drift.vectors.loc[("users", "before"), "n"] == len(users)
    lists = [
        fit.recommend(users, 5).groupby("user_id")["item_id"].agg(set) for fit in (model, reference)
    ]
    shared = [len(one & other) / 5 for one, other in zip(*lists, strict=True)]
    assert drift.overlap.value == pytest.approx(np.mean(shared))
    ours, theirs = model.user_vectors_[10:], reference.user_vectors_[: len(users)]
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    found = drift.vectors.loc[("users", "before")]
    assert found["mean"] == pytest.approx(cosines.mean(), abs=1e-5)
    assert found["q25"] == pytest.approx(np.quantile(cosines, 0.25), abs=1e-5)
    residual = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
    assert found["residual"] == pytest.approx(residual, rel=1e-4)
    assert drift.vectors.loc[("users", "aligned"), "mean"] > found["mean"]


class RemembersWhereItWas(ALS):
    """Its users do not follow its items."""

    def _vectors_of(self, histories):
        return super()._vectors_of(histories) + np.float32(1)


def test_what_cannot_be_aligned_is_refused():
    model = als().fit(log())
    far = Interactions(log().users, IdMap.of(range(900, 900 + N_ITEMS)), log().matrix)
    for wrong, complaint in (
        (ALS(4).fit(log()), "vectors of 6 numbers cannot be turned to vectors of 4"),
        (als().fit(far), "0 items have vectors in both fits, of 50 and 50; .* at least 6"),
        (EASE().fit(log()), "EASE has no vectors to align"),
    ):
        with pytest.raises(InputError, match=complaint):
            align(model, wrong)
    with pytest.raises(InputError, match="EASE has no vectors"):
        align(EASE().fit(log()), model)
    with pytest.raises(InputError, match="users of RemembersWhereItWas do not turn"):
        align(RemembersWhereItWas(D, 1.0, 4.0).fit(log(seed=1)), model)
    for pair in ((als(), model), (model, als())):
        with pytest.raises(NotFittedError, match="call fit"):
            align(*pair)
    strangers = Interactions(IdMap.of(range(900, 900 + N_USERS)), log().items, log().matrix)
    with pytest.raises(InputError, match="no users have vectors in both fits, of 120 and 120"):
        evaluate_drift(als().fit(strangers), model)


def test_popularity_stays_popularity():
    model = Popularity().fit(log())
    aligned = align(model, Popularity().fit(log(seed=1)))
    np.testing.assert_array_equal(aligned.item_vectors_, model.item_vectors_)
